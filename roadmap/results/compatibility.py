"""Which runs may stand in one table: those whose configurations differ in step and seed alone."""

from collections.abc import Mapping, Sequence, Set
from typing import Any

from roadmap.config.checks import spell
from roadmap.config.identity import DECIDES, difference, under
from roadmap.config.schema import Design, Purpose, StudyConfig
from roadmap.config.steps import steps
from roadmap.config.tuning import parse_tuning
from roadmap.errors import ConfigError
from roadmap.runs import count_of

Result = Mapping[str, Any]
STUDY = ("study.name", "regime", "data", "budget", DECIDES)  # keys that all runs of a study share
FREE = (
    "seed", "training", "tracking", "runs_dir", "study.seeds", "study.reuse_published", "study.purpose", "data.root",
    "step.section", "step.group", "step.title", "recipe.init_weights",
)  # fmt: skip
"""Keys that have no influence on the numbers of a run: how it is carried out, and texts."""


def refuse_incompatible(results: Sequence[Result]) -> None:
    """Refuse results that do not belong into one table.

    All runs share study, regime, data and budget; runs of a step share everything but the seed; runs with a recipe
    of one name share the recipe; a step of the ladder differs from its nearest ancestor with results only in the
    keys that the steps between them declare (ConfigError: names the key, the two values and the two runs).
    """
    by_step: dict[str, Result] = {}
    by_recipe: dict[str, Result] = {}
    for result in results:
        config = result["config"]
        step, recipe = config["step"]["name"], config["recipe"]["name"]
        same_step, same_recipe = by_step.setdefault(step, result), by_recipe.setdefault(recipe, result)
        _compare(results[0], result, STUDY, why="one table is one study")
        _compare(same_step, result, list(config), why="runs of one step differ in their seed alone")
        _compare(same_recipe, result, ["recipe"], why=f"both call their recipe {recipe}", declared=tuned_option(result))
        _refuse_other_deviations(same_recipe, result)
        _refuse_other_deviations(results[0], result, only=("augmentation", "data.resized"))
        _refuse_other_images(results[0], result)
    if results:
        _refuse_undeclared(by_step, ladder_of(results[0]))


def ladder_of(result: Result) -> str:
    """The name of a run's ladder; the first results have none."""
    return str(result["config"]["study"].get("ladder", StudyConfig.ladder))


def design_of(result: Result) -> Design:
    """The design of a run; the first results name none."""
    return Design[result["config"]["study"].get("design", Design.ladder.name)]


def tuned_option(result: Result) -> set[str]:
    """The option that a tuned study chose for each step."""
    text = result["config"]["study"].get("tune", "")
    return {parse_tuning(text).key} if text else set()


def purpose_of(result: Result) -> Purpose:
    """What the numbers of a run's study are for; the first results do not say."""
    return Purpose[result["config"]["study"].get("purpose", Purpose.comparison.name)]


def _compare(a: Result, b: Result, parts: Sequence[str], *, why: str, declared: Set[str] = frozenset()) -> None:
    for key, (left, right) in sorted(difference(a["config"], b["config"]).items()):
        if under(key, parts) and (key == DECIDES or not under(key, FREE)) and not under(key, list(declared)):
            raise ConfigError(f"{key}: {spell(left)} in {_run(a)}, {spell(right)} in {_run(b)}: {why}")


def _refuse_other_deviations(a: Result, b: Result, only: Sequence[str] = ()) -> None:
    """Refuse two results that deviate from the paper differently; old results name no deviations."""
    ours, theirs = a.get("deviations"), b.get("deviations")
    if ours is None or theirs is None:
        return
    for key in only or sorted(ours.keys() | theirs.keys()):
        if ours.get(key) != theirs.get(key) and not under(key, [*FREE, *tuned_option(a)]):
            left, right = (spell(pair[0]) if pair else "as in the paper" for pair in (ours.get(key), theirs.get(key)))
            why = "they deviate from the paper differently"
            raise ConfigError(f"{key}: {left} in {_run(a)}, {right} in {_run(b)}: {why}")


def _refuse_other_images(a: Result, b: Result) -> None:
    """Refuse two results of other images; only image files have a fingerprint."""
    for key, shown in (("test_images", str), ("data", count_of)):
        left, right = a.get(key), b.get(key)
        if left and right and left != right:
            where = f"{shown(left)} in {_run(a)}; {shown(right)} in {_run(b)}"
            raise ConfigError(f"{key}: {where}: one table is one set of images")


def _refuse_undeclared(present: Mapping[str, Result], ladder: str) -> None:
    """Compare each step with its nearest ancestor that has results; the steps between them declare what may change."""
    known = {step.name: step for step in steps(ladder=ladder)}
    for name in [step for step in known if step in present]:
        declared, parent = tuned_option(present[name]) | known[name].declares, known[name].parent
        while parent is not None and parent not in present:
            declared |= known[parent].declares
            parent = known[parent].parent
        if parent is not None:
            why = f"from {parent} to {name} only {', '.join(sorted(declared))} may change"
            _compare(present[parent], present[name], ("model", "recipe"), why=why, declared=declared)


def _run(result: Result) -> str:
    return f"{result['step']}/seed-{result['seed']}"
