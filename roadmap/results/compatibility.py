"""Which runs may stand in one table: those whose configurations differ in step and seed alone."""

from collections.abc import Container, Sequence, Set
from typing import Any

from roadmap.config.identity import difference, under
from roadmap.config.schema import Design, Ladder
from roadmap.config.steps import Step, steps
from roadmap.errors import ConfigError
from roadmap.runs import count_of

STUDY = ("study.name", "regime", "data", "budget")
# How a run is carried out, how many there are, and words about it: not what it computes.
FREE = (
    "seed",
    "training",
    "tracking",
    "runs_dir",
    "study.seeds",
    "data.root",
    "step.section",
    "step.group",
    "step.title",
)


def refuse_mixed(results: Sequence[dict[str, Any]]) -> None:
    """Refuse results that do not belong into one table.

    All runs share study, regime, data and budget; runs of one step share everything but the seed; runs with a
    recipe of one name share the recipe; and a known rung differs from the nearest rung it builds on only in
    what the steps between them declare.

    Raises:
        ConfigError: naming the key, the two values and the two runs.
    """
    study: dict[str, dict[str, Any]] = {}
    by_step: dict[str, dict[str, Any]] = {}
    by_recipe: dict[str, dict[str, Any]] = {}
    for result in results:
        config = result["config"]
        step, recipe = config["step"]["name"], config["recipe"]["name"]
        _compare(study.setdefault("", result), result, STUDY, why="one table is one study")
        _compare(
            by_step.setdefault(step, result),
            result,
            list(config),
            why="runs of one step differ in their seed alone",
        )
        _compare(by_recipe.setdefault(recipe, result), result, ["recipe"], why=f"both call their recipe {recipe}")
        _refuse_other_deviations(by_recipe[recipe], result)
        _refuse_other_deviations(results[0], result, only=("augmentation", "data.resized"))
        _refuse_other_images(results[0], result)
    if results:
        _refuse_undeclared(by_step, ladder_of(results[0]))


def ladder_of(result: dict[str, Any]) -> Ladder:
    """The ladder that a run lies on; results from before there were two say nothing of it."""
    return Ladder[result["config"]["study"].get("ladder", Ladder.network.name)]


def design_of(result: dict[str, Any]) -> Design:
    """The design that a run belongs to; results from before there were others say nothing of it."""
    return Design[result["config"]["study"].get("design", Design.ladder.name)]


def _compare(
    a: dict[str, Any], b: dict[str, Any], parts: Sequence[str], *, why: str, declared: Set[str] = frozenset()
) -> None:
    for key, (left, right) in sorted(difference(a["config"], b["config"]).items()):
        if under(key, parts) and not under(key, FREE) and not under(key, list(declared)):
            raise ConfigError(f"{key}: {_word(left)} in {_run(a)}, {_word(right)} in {_run(b)}: {why}")


def _refuse_other_deviations(a: dict[str, Any], b: dict[str, Any], only: Sequence[str] = ()) -> None:
    """See that both results, where they say so, deviate from the paper alike."""
    ours, theirs = a.get("deviations"), b.get("deviations")
    if ours is None or theirs is None:
        return
    for key in only or sorted(ours.keys() | theirs.keys()):
        if ours.get(key) != theirs.get(key) and not under(key, FREE):
            left, right = (_word(pair[0]) if pair else "as in the paper" for pair in (ours.get(key), theirs.get(key)))
            raise ConfigError(
                f"{key}: {left} in {_run(a)}, {right} in {_run(b)}: they deviate from the paper differently"
            )


def _refuse_other_images(a: dict[str, Any], b: dict[str, Any]) -> None:
    """See that both were trained and tested with the same images, as far as they say so."""
    why = "one table is one set of images"
    if (left := a["test_images"]) != (right := b["test_images"]):
        raise ConfigError(f"test_images: {left} in {_run(a)}, {right} in {_run(b)}: {why}")
    ours, theirs = a.get("data"), b.get("data")
    if ours and theirs and ours != theirs:
        raise ConfigError(f"data: {count_of(ours)} in {_run(a)}; {count_of(theirs)} in {_run(b)}: {why}")


def _refuse_undeclared(present: dict[str, dict[str, Any]], ladder: Ladder) -> None:
    known = {step.name: step for step in steps(ladder=ladder)}
    for name in [step for step in known if step in present]:
        ancestor, declared = _nearest(known[name], known, present)
        if ancestor is not None:
            why = f"from {ancestor} to {name} only {', '.join(sorted(declared))} may change"
            _compare(present[ancestor], present[name], ("model", "recipe"), why=why, declared=declared)


def _nearest(step: Step, known: dict[str, Step], present: Container[str]) -> tuple[str | None, set[str]]:
    """The nearest ancestor that has results, and what the steps from there to `step` declare."""
    declared: set[str] = set()
    while step.parent is not None:
        declared |= step.declares
        if step.parent in present:
            return step.parent, declared
        step = known[step.parent]
    return None, declared


def _run(result: dict[str, Any]) -> str:
    return f"{result['step']}/seed-{result['seed']}"


def _word(value: Any) -> str:
    return "[" + ",".join(map(str, value)) + "]" if isinstance(value, list) else str(value)
