import re
from pathlib import Path

from helpers.synthetic import ladder, result

from roadmap.results.collate import rows
from roadmap.results.latex import escape, to_latex
from roadmap.results.table import read_csv

RESULTS = Path(__file__).parents[1] / "results" / "fashion_mnist"


def test_the_table_says_what_the_csv_says() -> None:
    text = (RESULTS / "ladder.tex").read_text()
    table = read_csv(RESULTS / "ladder.csv")
    assert to_latex(table) == text
    lines = [line for line in text.splitlines() if re.search(r"GELU|Kernel size 9", line)]
    gelu, kernel_9 = (next(row for row in table if row.step == rung) for rung in ("gelu", "kernel_9"))
    assert lines == [
        f"\\quad Kernel size 9 & ${kernel_9.top1:.2f} \\pm {kernel_9.top1_std:.2f}$ & ${kernel_9.change:+.2f}$ & "
        f"$[{kernel_9.change_low:+.2f}, {kernel_9.change_high:+.2f}]$ & 0.00156 & $80.57$ & $+0.65$ \\\\",
        f"ReLU to GELU & ${gelu.top1:.2f} \\pm {gelu.top1_std:.2f}$ & $\\mathbf{{{gelu.change:+.2f}}}$ & "
        f"$[{gelu.change_low:+.2f}, {gelu.change_high:+.2f}]$ & 0.00148 & $80.62$ & $+0.05$ \\\\",
    ]


def test_every_row_has_every_cell_and_rules_are_those_of_booktabs() -> None:
    text = to_latex(rows([r for r in ladder() if r["step"] != "gelu"]))
    body = text[text.index("\\midrule") : text.index("\\bottomrule")]
    filled = [line for line in body.splitlines() if line.endswith("\\\\")]
    assert len(filled) == 18 and all(len(re.findall(r"(?<!\\)&", line)) == 6 for line in filled)
    assert "ReLU to GELU &  &  &  &  & $80.62$" in body
    assert "\\hline" not in text and text.count("\\begin{tabular}") == text.count("\\end{tabular}") == 1


def test_titles_are_no_commands() -> None:
    assert (
        escape("50% a_b $x^2$ \\item {~}")
        == r"50\% a\_b \$x\textasciicircum{}2\$ \textbackslash{}item \{\textasciitilde{}\}"
    )
    assert "Mine \\& 5\\%" in to_latex(rows([result("mine", like="gelu", step__title="Mine & 5%")]))
