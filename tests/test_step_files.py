"""Step files as people write them: what works, and what is refused in one line that names the file."""

import os
import time
from pathlib import Path

import pytest
from helpers.own_conf import forget
from helpers.smoke import ROOT, inside

from roadmap.config.compose import compose
from roadmap.config.step_files import read_ladder
from roadmap.config.steps import find, model_config, steps
from roadmap.errors import ConfigError

BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{key}: &{key} [{', '.join([f'*{before}'] * 9)}]\n" for before, key in zip("abcdefgh", "bcdefghi", strict=True)
)
STEP = "step: {parent: large_kernel}\n"
WRONG = {
    "a missing bracket": ("step: {parent: large_kernel\nmodel: {act: silu}\n", "line 2: expected ',' or '}'"),
    "a list that does not end": (f"{STEP}model: {{block: [dwconv, norm}}", "line 2: expected ',' or ']', but got '}'"),
    "an empty file": ("", "it is empty"),
    "a list": ("- step", "allowed are keys with values"),
    "no parent": ("step: {title: Mine}", "it needs its parent: step: {parent: NAME}"),
    "no step": ("model: {act: silu}", "it needs its parent: step: {parent: NAME}"),
    "a title that is no text": ("step: {parent: gelu, title: 5}", "step.title=5: allowed is text, one line"),
    "a section that is no text": ("step: {parent: gelu, section: 2.4}", "step.section=2.4: allowed is text"),
    "a title of two lines": ('step: {parent: gelu, title: "a\\nb"}', "step.title=a\\nb: allowed is one line"),
    "a model that is a number": (f"{STEP}model: 5", "model=5: allowed is keys with values: stem block"),
    "a model without content": (f"{STEP}model:\n", "model=null: allowed is keys with values"),
    "a step that is a name": ("step: large_kernel", "step=large_kernel: allowed is keys with values: name parent"),
    "an unknown key": (f"{STEP}modle: {{act: silu}}", "key=modle: allowed is one of step defaults model recipe (did"),
    "an unknown option": (f"{STEP}model: {{kernal_size: 5}}", "model.kernal_size: allowed is one of stem"),
    "a word for a number": (
        f"{STEP}model: {{kernel_size: large}}",
        "model.kernel_size=large: allowed is a whole",
    ),
    "a fraction": (f"{STEP}model: {{width: 1.5}}", "model.width=1.5: allowed is a whole number"),
    "text for a list": (f"{STEP}model: {{block: dwconv}}", "model.block=dwconv: allowed is a list"),
    "an unknown optimizer": (f"{STEP}recipe: {{opt: lion}}", "recipe.opt=lion: allowed is one of sgd adamw"),
    "a key twice": (f"{STEP}model: {{act: relu}}\nmodel: {{act: gelu}}", "a key stands here twice"),
    "another's name": ("step: {name: gelu, parent: large_kernel}", "step.name=gelu: allowed is mine, as the file is"),
    "two parents": ("defaults: [gelu, _self_]\nstep: {parent: large_kernel}", "allowed is gelu, as its defaults say"),
    "an unknown parent": ("step: {parent: glu}", "(did you mean gelu?)"),
    "itself as parent": ("step: {parent: mine}", "step.parent=mine: allowed is a step that does not build on"),
    "an unknown group": ("step: {parent: gelu, group: macr}", "step.group=macr: allowed is one of start recipe macro"),
    "defaults without override": (
        f"defaults: [recipe: modern]\n{STEP}",
        "defaults={'recipe': 'modern'}: allowed is",
    ),
    "another part in defaults": (f"defaults: [override /data: cifar10]\n{STEP}", "allowed is override /model: NAME or"),
    "an unknown recipe": (f"defaults: [override /recipe: modrn]\n{STEP}", "allowed is one of modern original (did you"),
    "defaults that are a name": (f"defaults: gelu\n{STEP}", "defaults=gelu: allowed is a list"),
    "aliases that explode": (BOMB, "line 2: write the value, not *a"),
    "a thousand brackets": ("[" * 50_000, "nested too deeply"),
    "much text": (f"# {'x' * 200_000}\n{STEP}", "200,032 bytes: allowed are 100,000"),
    "an object of Python": ("!!python/object/apply:os.system [exit]", "could not determine a constructor for the tag"),
    "not UTF-8": (b"step: {parent: \xff}", "can't decode byte 0xff"),
}
COMMANDS = (
    ("train.py", "study=smoke", "+step=mine"),
    ("train.py", "study=smoke", "+step=mine", "--cfg"),
    ("scripts/sweep.py", "study=smoke", "--dry-run"),
    ("scripts/plan.py", "study=smoke", "images_per_second=100"),
    ("scripts/show.py",),
    ("scripts/show.py", "step=mine"),
)


def add(own: Path, text: str | bytes, name: str = "mine") -> None:
    """Write a step file of the default ladder."""
    (own / "ladder/network" / f"{name}.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
    forget()


@pytest.mark.parametrize("what", WRONG)
def test_what_a_person_writes_wrong_is_refused_in_one_line_with_the_file(what: str, own_conf: Path) -> None:
    add(own_conf, WRONG[what][0])
    began = time.monotonic()
    with pytest.raises(ConfigError) as refusal:
        steps()
    assert str(refusal.value).startswith("conf/ladder/network/mine.yaml: ")
    assert WRONG[what][1] in str(refusal.value) and len(str(refusal.value).splitlines()) == 1
    assert time.monotonic() - began < 20, "it hangs"


@pytest.mark.parametrize("what", ["a missing bracket", "a title that is no text", "itself as parent", "an empty file"])
def test_all_commands_refuse_it_alike(what: str, own_conf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add(own_conf, WRONG[what][0])
    monkeypatch.chdir(own_conf.parent)
    before = sorted(own_conf.parent.iterdir())
    said = {inside(*command) for command in COMMANDS}
    lines = {output.partition(": ")[2] for _, output in said}
    assert {code for code, _ in said} == {2} and len(lines) == 1, said
    assert WRONG[what][1] in lines.pop()
    assert sorted(own_conf.parent.iterdir()) == before


def test_a_cycle_of_parents_and_a_ladder_of_two_starts_or_none_are_refused(own_conf: Path) -> None:
    add(own_conf, "step: {parent: other}")
    add(own_conf, "step: {parent: mine}", "other")
    with pytest.raises(ConfigError, match=r"step.parent=(mine|other): allowed is a step that does not build on this"):
        steps()
    add(own_conf, "step: {parent: null}", "other")
    with pytest.raises(ConfigError, match=r"network: step.parent: allowed is null in one file, .* other.yaml and"):
        steps()


def test_an_illegal_network_is_refused_with_the_file_unless_the_command_line_says_it(own_conf: Path) -> None:
    add(own_conf, f"{STEP}model: {{kernel_size: 4}}")
    for refused in (lambda: compose(["+step=mine"]), lambda: model_config("mine")):
        with pytest.raises(ConfigError, match=r"^conf/ladder/network/mine.yaml: model.kernel_size=4: allowed is an"):
            refused()
    with pytest.raises(ConfigError, match=r"^model.kernel_size=6: allowed is an odd number"):
        compose(["+step=mine", "model.kernel_size=6"])
    add(own_conf, f"{STEP}model: {{width: '${{regime.steps.mine.width}}'}}")
    with pytest.raises(
        ConfigError, match=r"^conf/ladder/network/mine.yaml: Interpolation key 'regime.steps.mine.width'"
    ):
        compose(["+step=mine"])


@pytest.mark.parametrize(
    "head",
    [
        "step: {parent: resnet}",
        "defaults: [resnet, _self_]\nstep: {name: mine, parent: resnet}",
        "# @package _global_\ndefaults: [resnet, _self_]\nstep: {name: mine, parent: resnet, section: own, title: M}",
        "defaults: [resnet]",
    ],
)
def test_the_start_is_a_parent_like_any_other_however_it_is_written(head: str, own_conf: Path) -> None:
    add(own_conf, f"{head}\nmodel: {{act: silu}}")
    config = compose(["study=smoke", "+step=mine"])
    assert (config.step.parent, config.step.group, config.model.act) == ("resnet", "start", "silu")
    assert find("mine").changes == {"model.act": ("relu", "silu")}
    assert inside("scripts/sweep.py", "study=smoke", "--dry-run", "steps=[mine]")[0] == 0


def test_a_step_without_options_is_named_by_its_file_and_has_its_parents_group(own_conf: Path) -> None:
    add(own_conf, f"{STEP}recipe: {{lr: 1e-3, epochs: 7}}", "kernel.x-1")
    config, step = compose(["+step=kernel.x-1"]), find("kernel.x-1")
    assert (step.title, step.group, step.section, step.main_sequence) == ("kernel.x-1", "kernel", "own", False)
    assert (config.recipe.name, config.recipe.lr, config.recipe.epochs) == ("kernel.x-1", 1e-3, 7)


def test_files_of_editors_and_systems_are_no_steps(own_conf: Path) -> None:
    folder, names = own_conf / "ladder/network", [step.name for step in steps()]
    (folder / "._gelu.yaml").write_bytes(b"\0\1")
    (folder / ".#gelu.yaml").symlink_to("nowhere")
    (folder / "gelu.yaml~").write_text("{")
    (folder / "folder.yaml").mkdir()
    os.mkfifo(folder / "pipe.yaml")
    forget()
    assert [step.name for step in steps()] == names
    assert compose(["+step=gelu"]).step.name == "gelu"


def test_other_files_of_conf_are_refused_with_their_name(own_conf: Path) -> None:
    for name, text in (
        ("study/mine", "study: {name: [mine}"),
        ("study/mine", "study: {name: mine, ladder: mobile}"),  # without its first line
        ("data/mine", BOMB),
        ("ladder/recipe/ladder", "title: 5"),
    ):
        path = own_conf / f"{name}.yaml"
        path.write_text(text)
        forget()
        with pytest.raises(ConfigError, match=rf"^conf/{name}.yaml: "):
            read_ladder("recipe") if "ladder" in name else compose(["study=smoke", f"runs_dir={own_conf}"])
        path.unlink()


def test_a_study_of_ones_own_is_written_as_the_page_says(own_conf: Path) -> None:
    page = (ROOT / "docs" / "own_ladder.md").read_text()
    text = page.partition("```yaml\n# @package")[2].partition("```")[0].replace("ladder: mine", "ladder: mobile")
    (own_conf / "study" / "mine.yaml").write_text(f"# @package{text}")
    forget()
    config = compose(["study=mine", "+step=hard_swish"])
    assert (config.study.name, config.study.ladder, config.recipe.epochs) == ("mine", "mobile", 2)
