"""The command that makes the results of a study those that are committed."""

from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

from roadmap.errors import ConfigError
from roadmap.results import collate, sources
from roadmap.runs import PUBLISHED


def publish(
    study: str,
    runs_dir: Path = Path("runs"),
    results_dir: Path = Path("results"),
    *,
    replace: bool = False,
    fewer: bool = False,
    say: Callable[[str], object] = lambda _line: None,
) -> list[Path]:
    """Write results, tables and figure of a study to <results_dir>/published/<study>; returns the tables and figures.

    The published results stay and those of <runs_dir> and <results_dir>/<study>/runs are added.

    Raises:
        ConfigError: there is no own result; a run has two results with different numbers (unless `replace`, which
            takes one's own); or a step would have fewer seeds than are published (unless `fewer`).
    """
    from roadmap.report.plot import plot

    *own, published = sources.directories(study, results_dir, runs_dir)
    mine, theirs = sources.joined(study, own), sources.read(published, study)
    if not mine:
        raise ConfigError(f"study={study}: no finished run in {own[0]}; first run: python scripts/sweep.py")
    equal = _equal(mine, theirs, replace=replace)
    found = sources.joined(study, [*own, published], say)
    _refuse_fewer(found.values(), theirs.values(), fewer=fewer)
    if uncommitted := sum(bool(result.get("dirty")) for result in found.values()):
        say(f"{uncommitted} of {len(found)} results were made with uncommitted changes")
    new = {path: result for path, result in found.items() if sources.place(result) not in equal}
    kept = {sources.place(result) for result in found.values()}
    sources.keep(new, published)
    for path in theirs:
        if path.relative_to(published) not in kept:
            path.unlink()
    contents = collate.tables(sources.read(published, study), [published, *own])
    tables = collate.write_tables(contents, published.parent)
    return [*tables, *plot(study, results_dir / PUBLISHED)]


def _equal(mine: sources.Found, theirs: sources.Found, *, replace: bool) -> set[Path]:
    """The places where the published result says all that the own one does.

    A ConfigError for different numbers, unless `replace`.
    """
    known, equal = {sources.place(result): result for result in theirs.values()}, set()
    for path, result in mine.items():
        other = known.get(sources.place(result))
        if other and _agree(result, other):
            equal |= set() if _says_more(result, other) else {sources.place(result)}
        elif other and not replace:
            both = " and ".join(f"{each['metrics']['top1']} ({each['config_hash']})" for each in (result, other))
            raise ConfigError(
                f"{path}: top-1 {both} published: two results of one run; replace=true publishes this one"
            )
    return equal


def _agree(a: sources.Result, b: sources.Result) -> bool:
    """Whether two results of one run have equal numbers, as far as both have them."""
    shared = a["metrics"].keys() & b["metrics"].keys()
    return all(a[key] == b[key] for key in ("config_hash", "counts")) and all(
        a["metrics"][name] == b["metrics"][name] for name in shared
    )


def _says_more(result: sources.Result, other: sources.Result) -> bool:
    """Whether a result has metrics or answers that the other one is too old for."""
    return bool(result["metrics"].keys() - other["metrics"].keys()) or ("answers" in result and "answers" not in other)


def _refuse_fewer(new: Iterable[sources.Result], old: Iterable[sources.Result], *, fewer: bool) -> None:
    counts, published = (Counter(result["step"] for result in results) for results in (new, old))
    for step, seeds in published.items():
        if counts[step] < seeds and not fewer:
            raise ConfigError(f"{step}: {counts[step]} seeds, and {seeds} are published; fewer=true publishes fewer")


def main(words: list[str]) -> int:
    """Publish a study: write its results, tables and figure to results/published/<study>, which is committed.

        python scripts/publish.py                   the default study
        python scripts/publish.py study=cifar10     another study, or one named by the words of its sweep

    The published results stay, and one's own are added.

    replace=true   publish one's own result of a run in place of a published one with other numbers
    fewer=true     allow fewer seeds of a step than are published
    """
    from roadmap.cli import flag, study_options

    chosen = study_options(words, {"replace": "false", "fewer": "false"})
    directories = (Path(chosen[key]) for key in ("runs_dir", "results_dir"))
    replace, fewer = (flag(chosen, key) for key in ("replace", "fewer"))
    for path in publish(chosen["study"], *directories, replace=replace, fewer=fewer, say=print):
        print(path)
    return 0
