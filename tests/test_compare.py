"""Two studies side by side."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from helpers.smoke import inside
from helpers.synthetic import ladder, result, write
from matplotlib.backends.backend_agg import FigureCanvasAgg

from roadmap.report.compare import agreement, draw, paired, rows_of
from roadmap.report.style import style
from roadmap.results.collate import collate
from roadmap.results.table import Row, read_csv


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tables of small studies: a whole ladder, a part of one on another data set, and one step."""
    root = tmp_path_factory.mktemp("studies")
    other: dict[str, Any] = {"study__name": "other", "data__name": "cifar10"}
    part = [r for r in ladder(seeds=2, **other) if r["step"] in ("resnet", "training_recipe", "gelu")]
    own = result("mine", like="gelu", correct=8100, step__parent="gelu", **other)
    for each in ladder(seeds=3), [*part, own], [result("gelu", study__name="single")]:
        write(root / "runs", each)
        collate(each[0]["study"], root / "runs", root / "results")
    return root / "results"


def row(step: str, parent: str | None = None, **known: Any) -> Row:
    return Row("s", "network", "micro", "d", step, parent, "own", step, True, **known)


def test_pairs_in_the_order_of_the_first_study_and_their_agreement_by_hand() -> None:
    pairs = paired([row("a"), row("b")], [row("c"), row("b"), row("d")])
    names = [(here.step, *(side and side.step for side in (a, b))) for here, a, b in pairs]
    assert names == [("a", "a", None), ("b", "b", "b"), ("c", None, "c"), ("d", None, "d")]
    left = [
        row("a", top1=80.0),
        row("b", "a", top1=81.0, change=1.0, significant=True),
        row("c", "a", top1=82.0, change=1.0),
    ]
    right = [
        row("a", top1=70.0),
        row("b", "a", top1=72.0, change=2.0, significant=True),
        row("c", "a", top1=71.0, change=-1.0),
    ]
    assert agreement(paired(left, right)).startswith("not stated: 3 steps")
    left, right = ([*side, row("d", top1=90.0), row("e", top1=91.0)] for side in (left, right))
    assert agreement(paired(left, right)) == (
        "Kendall's tau 0.80 over 5 steps; 1 of 2 changes have the same sign (50%), "
        "1 of the 1 that are significant in both"
    )


def test_the_committed_study_and_the_paper(committed: Path, tmp_path: Path) -> None:
    table = committed / "results" / "published" / "fashion_mnist" / "ladder.csv"
    shutil.copytree(table.parent, tmp_path / "fashion_mnist")
    code, said = inside("scripts/compare.py", "a=fashion_mnist", "b=paper", f"results_dir={tmp_path}")
    base = tmp_path / "compare" / "fashion_mnist--paper"
    assert (code, said.split()) == (0, [f"{base}.{kind}" for kind in ("md", "png", "svg")])
    page = Path(f"{base}.md").read_text()
    theirs = {"depthwise_conv": "78.28 ± 0.08 | -1.23 [-1.61, -0.85] | yes", "layer_scale": " |  | "}
    for ours in (each for each in read_csv(table) if each.step in theirs):
        change = f"{ours.change:+.2f} [{ours.change_low:+.2f}, {ours.change_high:+.2f}]"
        here = f"{ours.top1:.2f} ± {ours.top1_std:.2f} | {change} | {'yes' if ours.significant else 'no'}"
        assert f"| {ours.step} | {here} | {theirs[ours.step]} |\n" in page
    before = Path(f"{base}.svg").read_bytes()
    inside("scripts/compare.py", "b=paper", "a=fashion_mnist", f"results_dir={tmp_path}")
    assert Path(f"{base}.svg").read_bytes() == before


def test_the_figure_has_the_changes_of_both(results: Path) -> None:
    pairs = paired(rows_of("smoke", results), rows_of("other", results))
    with style():
        figure = draw(pairs, ("smoke", "other"))
        FigureCanvasAgg(figure).draw()
    (panel,) = [axes for axes in figure.axes if axes.get_xlabel()]
    marks = [(line.get_marker(), line.get_xdata()[0]) for line in panel.get_lines() if len(line.get_xdata()) == 1]
    lines = [list(line.get_xdata()) for line in panel.get_lines() if len(line.get_xdata()) == 2][1:]  # the first: zero
    for marker, side in (("o", 1), ("D", 2)):
        wanted = [pair[side].change for pair in pairs if pair[side] and pair[side].change is not None]
        assert [x for each, x in marks if each == marker] == wanted and wanted
    assert [[p[s].change_low, p[s].change_high] for s in (1, 2) for p in pairs if p[s] and p[s].change_low] == lines
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert texts == ["smoke (fashion_mnist, 3 seeds)", "other (cifar10, 1 to 2 seeds)"]


def test_studies_may_be_named_with_commas_and_equals_signs(results: Path) -> None:
    name = shutil.copytree(results / "smoke", results / "smoke,recipe.smoothing=0").name
    code, said = inside("scripts/compare.py", "a=other", f"b={name}", f"results_dir={results}")
    assert code == 0 and f"{results}/compare/other--{name}.md\n" in said


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["a=smoke", "b=smoke"], "b=smoke: allowed is another study than a"),
        (["a=smoke", "b=nothing"], "study=nothing: no "),
        (["a=../smoke"], "a=../smoke: allowed is letters, digits and _"),
        (["smoke", "paper"], "smoke: allowed is a=... b=... results_dir=..."),
        (["a=single"], "a=single b=paper: no step has a change in both"),
    ],
)
def test_studies_that_cannot_be_compared_are_refused_in_a_line(results: Path, words: list[str], message: str) -> None:
    before = {*results.rglob("*")}
    code, said = inside("scripts/compare.py", *words, f"results_dir={results}")
    assert code == 2 and {*results.rglob("*")} == before
    assert said.startswith(f"compare: {message}") and said.count("\n") == 1
