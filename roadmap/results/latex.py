r"""The ladder as a LaTeX table, for \input into a paper; it needs the package booktabs."""

from collections.abc import Sequence
from itertools import groupby

from roadmap.results.table import Row, gflops

HEAD = r"""% The ladder of study %STUDY%. Needs \usepackage{booktabs}.
\begin{tabular}{lrrcrrr}
\toprule
 & & \multicolumn{2}{c}{change} & & \multicolumn{2}{c}{paper} \\
\cmidrule(lr){3-4} \cmidrule(lr){6-7}
step & top-1, \% & mean & 95\,\% interval & GFLOPs & top-1, \% & change \\
\midrule
"""
TAIL = "\\bottomrule\n\\end{tabular}\n"
SPECIAL = {char: f"\\{char}" for char in "&%$#_{}"} | {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
}  # fmt: skip


def to_latex(rows: Sequence[Row]) -> str:
    """Rows as a `tabular`: changes that are told from zero in bold, side rungs indented, a gap between groups."""
    parts = [
        "".join(" & ".join(_cells(row)) + " \\\\\n" for row in members)
        for _, members in groupby(rows, lambda row: row.group)
    ]
    return HEAD.replace("%STUDY%", rows[0].study) + "\\addlinespace\n".join(parts) + TAIL


def escape(text: str) -> str:
    """Text in which nothing is a command."""
    return "".join(SPECIAL.get(char, char) for char in text)


def _cells(row: Row) -> list[str]:
    def number(value: float | None, form: str) -> str:
        return "" if value is None else f"${format(value, form)}$"

    top1 = number(row.top1, ".2f")
    if row.top1_std is not None:
        top1 = f"{top1[:-1]} \\pm {row.top1_std:.2f}$"
    change = number(row.change, "+.2f")
    known = row.change_low is not None and row.change_high is not None
    return [
        f"\\quad {escape(row.title)}" if row.side else escape(row.title),
        top1,
        f"$\\mathbf{{{change[1:-1]}}}$" if row.significant else change,
        f"$[{row.change_low:+.2f}, {row.change_high:+.2f}]$" if known else "",
        "" if row.gflops is None else gflops(row.gflops),
        number(row.paper_top1, ".2f"),
        number(row.paper_change, "+.2f"),
    ]
