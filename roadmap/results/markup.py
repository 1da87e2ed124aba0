r"""The table of a study as Markdown and as LaTeX, and how numbers are written there."""

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby

from roadmap.config.step_files import read_ladder
from roadmap.errors import one_line
from roadmap.results.table import Row

CSV_ONLY = ("top5", "ema_top1", "ema_top5", "train_loss")  # metrics of every run that these tables leave out


def page(title: str, lines: Sequence[str], rows: Sequence[Row], facts: Mapping[str, str]) -> str:
    """A table as a page of Markdown, with lines above it and notes by heading below."""
    notes = [f"- {inline(heading)}: {inline(text)}" for heading, text in facts.items()]
    return "\n".join([f"# The ladder: {title}", "", *lines, "", to_markdown(rows), *notes]) + "\n"


def to_markdown(rows: Sequence[Row]) -> str:
    more, paper = further(rows), compared(rows)
    headings = (
        *("step", "n", "top-1 %", "std", "change [95 % CI]", "p, Holm", "significant", "parameters", "GFLOPs"),
        *("images/s", *(("paper top-1 %", "paper change") if paper else ()), *more),
    )
    cells = [
        [
            f"{row.step} (side)" if row.side else row.step,
            str(row.n or ""),
            number(row.top1, ".2f"),
            number(row.top1_std, ".2f"),
            change_text(row),
            "" if row.p_holm is None else p_value(row.p_holm),
            yes_no(row.significant),
            number(row.params, ","),
            "" if row.gflops is None else gflops(row.gflops),
            "" if row.images_per_second is None else rate(row.images_per_second),
            *([number(row.paper_top1, ".2f"), number(row.paper_change, "+.2f")] if paper else []),
            *(metric_text(row, name) for name in more),
        ]
        for row in rows
    ]
    return markdown(headings, cells)


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

    more, paper = further(rows), compared(rows)
    # Text before the first cell of a row: pandas knows neither rules below some columns nor gaps between rows.
    spanning = (
        r" & & \multicolumn{2}{c}{change} &" + r" & \multicolumn{2}{c}{paper}" * paper + " &" * len(more) + " \\\\\n"
        "\\cmidrule(lr){3-4}" + " \\cmidrule(lr){6-7}" * paper + "\nstep"
    )
    headings = [r"top-1, \%", r"mean", r"95\,\% interval", r"GFLOPs", *([r"top-1, \%", r"change"] if paper else [])]
    cells: list[list[str]] = []
    for _, members in groupby(rows, lambda row: row.group):
        lines = [_latex_cells(row, more, paper) for row in members]
        lines[0][0] = "\\addlinespace\n" * bool(cells) + lines[0][0]
        cells += lines
    frame = pandas.DataFrame(cells, columns=[spanning, *headings, *map(escape, more)])
    body: str = frame.to_latex(index=False, escape=False, column_format="lrrcr" + "rr" * paper + "r" * len(more))
    return f"% The ladder of study {rows[0].study}. Needs \\usepackage{{booktabs}}.\n{body}"


def escape(text: str) -> str:
    """Text without LaTeX's special characters."""
    special = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    return "".join(f"\\{char}" if char in "&%$#_{}" else special.get(char, char) for char in text)


def number(value: float | None, form: str) -> str:
    """A formatted number; empty if it is unknown."""
    return "" if value is None else format(value, form)


def gflops(value: float) -> str:
    """GFLOPs with two decimals, or with three digits below 1."""
    return f"{value:.2f}" if value >= 1 else f"{value:#.3g}"


def rate(value: float) -> str:
    """Images per second, with two digits below 10."""
    return f"{value:,.0f}" if value >= 9.95 else f"{value:.2g}"


def p_value(value: float) -> str:
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def yes_no(value: bool | None) -> str:
    """A truth value as in CSV and Markdown."""
    return {None: "", True: "yes", False: "no"}[value]


def change_text(row: Row) -> str:
    """The change of a step with its interval: `+0.39 [+0.09, +0.69]`."""
    known = row.change_low is not None and row.change_high is not None
    return number(row.change, "+.2f") + (f" [{row.change_low:+.2f}, {row.change_high:+.2f}]" if known else "")


def compared(rows: Sequence[Row]) -> bool:
    """Whether the ladder of a table has published numbers, which have columns of their own."""
    return read_ladder(rows[0].ladder).options.reference is not None


def further(rows: Iterable[Row]) -> list[str]:
    """Metrics with columns in Markdown and LaTeX, besides top-1."""
    return [name for name in dict.fromkeys(name for row in rows for name in row.metrics) if name not in CSV_ONLY]


def metric_text(row: Row, name: str, form: str = "{} ± {}") -> str:
    """The mean and standard deviation of a further metric."""
    mean, std = row.metrics.get(name, (None, None))
    return number(mean, ".4g") if std is None else form.format(number(mean, ".4g"), number(std, ".2g"))


def _latex_cells(row: Row, more: Sequence[str], paper: bool) -> list[str]:
    def math(text: str) -> str:
        return f"${text}$" if text else ""

    change, _, interval = change_text(row).partition(" ")
    spread = "" if row.top1_std is None else f" \\pm {row.top1_std:.2f}"
    return [
        f"\\quad {escape(row.title)}" if row.side else escape(row.title),
        math(number(row.top1, ".2f") + spread),
        math(f"\\mathbf{{{change}}}" if row.significant else change),
        math(interval),
        "" if row.gflops is None else gflops(row.gflops),
        *([math(number(row.paper_top1, ".2f")), math(number(row.paper_change, "+.2f"))] if paper else []),
        *(math(metric_text(row, name, "{} \\pm {}")) for name in more),
    ]
