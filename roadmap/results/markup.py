r"""The table of a study as Markdown and as LaTeX, and how numbers are written there."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from roadmap.config.step_files import read_ladder
from roadmap.errors import one_line
from roadmap.numbers import COUNTS, SECONDS, column
from roadmap.results.table import Row

Deviation = tuple[str, str, str]  # an option that deviates, its value here and in the paper
CSV_ONLY = ("top5", "ema_top1", "ema_top5", "train_loss", "test_loss", "ema_test_loss")
"""Metrics of every run that these tables leave out."""


class Column(NamedTuple):
    """A column of a table: a field of `Row` or a metric, the text of each row, and the numbers to sort rows by."""

    key: str
    heading: str
    texts: list[str]
    values: Sequence[float | None]


def page(
    title: str,
    lines: Sequence[str],
    rows: Sequence[Row],
    facts: Mapping[str, str],
    deviations: Sequence[Deviation] = (),
) -> str:
    """A table as a page of Markdown, with lines above it and, below, notes by heading and deviations from the paper."""
    notes = [f"- {inline(heading)}: {inline(text)}" for heading, text in facts.items()]
    table = ["", "## Deviations from the paper", "", markdown(("option", "here", "in the paper"), deviations).rstrip()]
    page = [f"# The ladder: {title}", "", *lines, "", to_markdown(rows), *notes, *table * bool(deviations)]
    return "\n".join(page) + "\n"


def columns(rows: Sequence[Row]) -> list[Column]:
    """The columns of the table after the step's name, without those that are blank in all rows."""

    def texts(key: str, heading: str, write: Callable[[Row], str]) -> Column:
        written = [write(row) for row in rows]
        values = [getattr(row, key) if text else None for row, text in zip(rows, written, strict=True)]
        return Column(key, heading, written, values)

    def scaled(key: str, heading: str, units: Mapping[str, float] | None = None, size: float = 1.0) -> Column:
        values = [getattr(row, key) for row in rows]
        unit, written = column([value and value * size for value in values], units)
        return Column(key, heading.format(unit), written, values)

    found = [
        texts("n", "n", lambda row: str(row.n or "")),
        texts("top1", "top-1, %", top1_text),
        texts("change", "change [95 % CI]", change_text),
        texts("p_holm", "p, Holm", lambda row: p_value(row.p_holm)),
        texts("significant", "significant", lambda row: yes_no(row.significant)),
        scaled("params", "parameters, {}", COUNTS),
        scaled("gflops", "{}FLOPs", COUNTS, 1e9),
        scaled("images_per_second", "images/s"),
        scaled("seconds", "{} per run", SECONDS),
        texts("paper_top1", "paper, %", lambda row: number(row.paper_top1, ".2f")),
        texts("paper_change", "paper, change", lambda row: number(row.paper_change, "+.2f")),
        *(_further(rows, name) for name in further(rows)),
    ]
    return [each for each in found if any(each.texts)]


def to_markdown(rows: Sequence[Row]) -> str:
    found = columns(rows)
    names = [f"{row.step} (side)" if row.side else row.step for row in rows]
    cells = zip(names, *(each.texts for each in found), strict=True)
    return markdown(["step", *(each.heading for each in found)], cells)


def markdown(headings: Sequence[str], cells: Iterable[Sequence[str]]) -> str:
    """A Markdown table: the first column to the left, `significant` centred, all others to the right."""
    rule = ["---", *(":-:" if heading == "significant" else "--:" for heading in headings[1:])]
    rows = [f"| {' | '.join(map(inline, line))} |" for line in (headings, *cells)]
    return "\n".join([rows[0], f"|{'|'.join(rule)}|", *rows[1:]]) + "\n"


def inline(text: str) -> str:
    """Text in a line or a cell of Markdown: it can end neither of them, and make neither HTML nor a link."""
    return re.sub(r"\||<(?=[A-Za-z/!?])|(?<=\])\(", r"\\\g<0>", one_line(text))


def to_latex(rows: Sequence[Row]) -> str:
    r"""Rows as a `tabular` for \input into a paper: significant changes bold, side steps indented, gaps by group."""
    import pandas

    paper, shown = compared(rows), columns(rows)
    flops, *more = [each for each in shown if each.key in ("gflops", *further(rows))]
    # Text before the first cell of a row: pandas knows neither rules below some columns nor gaps between rows.
    spanning = (
        r" & & \multicolumn{2}{c}{change} &" + r" & \multicolumn{2}{c}{paper}" * paper + " &" * len(more) + " \\\\\n"
        "\\cmidrule(lr){3-4}" + " \\cmidrule(lr){6-7}" * paper + "\nstep"
    )
    headings = [r"top-1, \%", r"mean", r"95\,\% interval", flops.heading, *([r"top-1, \%", "change"] if paper else [])]
    cells: list[list[str]] = []
    for row, cost, *metrics in zip(rows, flops.texts, *(each.texts for each in more), strict=True):
        line = [*_latex_cells(row, cost, paper), *(_math(text.replace("±", "\\pm")) for text in metrics)]
        gap = cells and row.group != rows[len(cells) - 1].group
        cells.append([("\\addlinespace\n" if gap else "") + line[0], *line[1:]])
    frame = pandas.DataFrame(cells, columns=[spanning, *headings, *(escape(each.heading) for each in more)])
    body: str = frame.to_latex(index=False, escape=False, column_format="lrrcr" + "rr" * paper + "r" * len(more))
    return f"% The ladder of study {rows[0].study}. Needs \\usepackage{{booktabs}}.\n{body}"


def escape(text: str) -> str:
    """Text without LaTeX's special characters."""
    special = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    return "".join(f"\\{char}" if char in "&%$#_{}" else special.get(char, char) for char in text)


def number(value: float | None, form: str) -> str:
    """A formatted number; empty if it is unknown."""
    return "" if value is None else format(value, form)


def p_value(value: float | None) -> str:
    return "" if value is None else "<0.001" if value < 0.001 else f"{value:.3f}"


def yes_no(value: bool | None) -> str:
    """A truth value as in CSV and Markdown."""
    return {None: "", True: "yes", False: "no"}[value]


def top1_text(row: Row) -> str:
    """The accuracy of a step with its standard deviation: `87.15 ± 0.18`."""
    return number(row.top1, ".2f") + ("" if row.top1_std is None else f" ± {row.top1_std:.2f}")


def change_text(row: Row) -> str:
    """The change of a step with its interval: `+0.39 [+0.09, +0.69]`."""
    known = row.change_low is not None and row.change_high is not None
    return number(row.change, "+.2f") + (f" [{row.change_low:+.2f}, {row.change_high:+.2f}]" if known else "")


def compared(rows: Sequence[Row]) -> bool:
    """Whether the ladder of a table has published numbers to compare it with, which have columns of their own."""
    return rows[0].compared and read_ladder(rows[0].ladder).options.reference is not None


def further(rows: Iterable[Row]) -> list[str]:
    """Metrics with columns in Markdown and LaTeX, besides top-1."""
    return [name for name in dict.fromkeys(name for row in rows for name in row.metrics) if name not in CSV_ONLY]


def _further(rows: Sequence[Row], name: str) -> Column:
    """Mean and standard deviation of a further metric, with the same decimals."""
    pairs = [row.metrics.get(name, (None, None)) for row in rows]
    means, texts = [mean for mean, _ in pairs], []
    for text, (_, std) in zip(column(means)[1], pairs, strict=True):
        decimals = len(text.partition(".")[2])
        texts.append(text if std is None else f"{text} ± {std:.{decimals}f}")
    return Column(name, name, texts, means)


def _math(text: str) -> str:
    return f"${text}$" if text else ""


def _latex_cells(row: Row, cost: str, paper: bool) -> list[str]:
    change, _, interval = change_text(row).partition(" ")
    return [
        f"\\quad {escape(row.title)}" if row.side else escape(row.title),
        _math(top1_text(row).replace("±", "\\pm")),
        _math(f"\\mathbf{{{change}}}" if row.significant else change),
        _math(interval),
        cost,
        *([_math(number(row.paper_top1, ".2f")), _math(number(row.paper_change, "+.2f"))] if paper else []),
    ]
