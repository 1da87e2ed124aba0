"""The table as Markdown and as LaTeX."""

import re
from pathlib import Path

from helpers.synthetic import ladder, result

from roadmap.results.collate import report, rows
from roadmap.results.markup import escape, inline, page, to_latex, to_markdown
from roadmap.results.table import read_csv

RESULTS = Path(__file__).parents[1] / "results" / "published" / "fashion_mnist"


def test_one_seed_has_blanks_and_the_page_says_so() -> None:
    text = report(rows(ladder()), ladder())
    assert "One seed: no intervals" in text
    assert "| step | n | top-1, % | change [95 % CI] | parameters, M | MFLOPs | images/s | min per run |" in text
    assert "| gelu | 1 | 86.00 | +1.50 | 1.64 | 12.3 | 1,000 | 1.00 | 80.62 | +0.05 |\n" in text
    some = [result("resnet", 0), result("resnet", 1), result("training_recipe")]
    text = report(rows(some), some)
    assert "No change has a p value, since none is between two steps of several seeds. One seed, no in" in text
    assert "all 0 changes" not in text and "No interval either" not in text
    some = [result("resnet"), result("training_recipe", 0), result("training_recipe", 1)]
    why = "One seed, no interval: resnet. No interval either, after a step of one seed: training_recipe (after resnet)."
    assert why in report(rows(some), some)


def test_missing_steps_stay_blank() -> None:
    text = to_markdown(rows([result("resnet")]))
    assert "| gelu |  |  |  |  |  |  | 80.62 | +0.05 |\n" in text and "| kernel_5 (side) |" in text
    assert "ReLU to GELU &  &  &  &  & $80.62$ & $+0.05$ \\\\\n" in to_latex(rows([result("resnet")]))


def test_a_metric_that_a_run_adds_has_a_column() -> None:
    results = [result("gelu", 0), result("gelu", 1), result("layer_norm")]
    for value, each in enumerate(results):
        each["metrics"]["expected_error"] = 0.02 + value / 100
    table = rows(results)
    lines = to_markdown(table).splitlines()
    assert lines[0].endswith("| paper, change | expected_error |") and lines[1].endswith("|--:|")
    assert [line.split(" | ")[-1] for line in lines if line.startswith(("| gelu", "| layer_norm", "| resnet"))] == [
        " |", "0.0250 ± 0.0071 |", "0.0400 |",
    ]  # fmt: skip
    text = to_latex(table)
    assert r"change & expected\_error \\" in text and r"$+0.05$ & $0.0250 \pm 0.0071$ \\" in text
    assert text.count("{lrrcrrrr}") == 1


def test_latex_says_what_the_csv_says() -> None:
    table = read_csv(RESULTS / "ladder.csv")
    text = to_latex(table)
    lines = [line for line in text.splitlines() if re.search(r"GELU|Kernel size 9", line)]
    gelu, kernel_9 = (next(row for row in table if row.step == step) for step in ("gelu", "kernel_9"))
    assert lines == [
        f"\\quad Kernel size 9 & ${kernel_9.top1:.2f} \\pm {kernel_9.top1_std:.2f}$ & ${kernel_9.change:+.2f}$ & "
        f"$[{kernel_9.change_low:+.2f}, {kernel_9.change_high:+.2f}]$ & 1.56 & $80.57$ & $+0.65$ \\\\",
        f"ReLU to GELU & ${gelu.top1:.2f} \\pm {gelu.top1_std:.2f}$ & $\\mathbf{{{gelu.change:+.2f}}}$ & "
        f"$[{gelu.change_low:+.2f}, {gelu.change_high:+.2f}]$ & 1.48 & $80.62$ & $+0.05$ \\\\",
    ]


def test_titles_are_no_latex_commands() -> None:
    escaped = r"50\% a\_b \$x\textasciicircum{}2\$ \textbackslash{}item \{\textasciitilde{}\}"
    assert escape("50% a_b $x^2$ \\item {~}") == escaped
    assert "Mine \\& 5\\%" in to_latex(rows([result("mine", like="gelu", step__title="Mine & 5%")]))


def test_nothing_in_a_result_ends_a_line_or_a_cell_or_makes_html_or_a_link_in_markdown() -> None:
    hostile = "a|b\n- c <script> </b> [x](javascript:1) \x1b[2J <0.001 [0.08, 1.0]"
    shown = r"a\|b\n- c \<script> \</b> [x]\(javascript:1) \x1b[2J <0.001 [0.08, 1.0]"
    assert inline(hostile) == shown
    table = rows([result("gelu")])
    text = page("smoke", [], table, {"Hardware": hostile})
    assert text.endswith(f"\n- Hardware: {shown}\n") and len(text.splitlines()) == len(table) + 7
