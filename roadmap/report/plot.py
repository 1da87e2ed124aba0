"""The command that draws the ladder of a study."""

from pathlib import Path

from roadmap.errors import ConfigError


def plot(study: str, results_dir: Path = Path("results")) -> list[Path]:
    """Draw <results_dir>/<study>/ladder.png and .svg from the table of the study (`table_of`); returns the two paths.

    The same table gives the same bytes (ConfigError: the table is missing, damaged or without a finished run).
    """
    from roadmap.report.figure import draw
    from roadmap.report.style import save, style
    from roadmap.results.table import read_csv, table_of

    table, directory = table_of(study, results_dir), results_dir / study
    rows = read_csv(table)
    if not any(row.n for row in rows):
        raise ConfigError(f"{table}: no step has a finished run")
    directory.mkdir(parents=True, exist_ok=True)
    with style():
        return save(draw(rows), directory / "ladder")


def main(words: list[str]) -> int:
    """Draw the ladder of a study from its table: results/<study>/ladder.png and ladder.svg.

        python scripts/plot.py                                  the default study
        python scripts/plot.py study=smoke                      another study
        python scripts/plot.py study=smoke recipe.smoothing=0   the study of a sweep, named by the same words

    Reads <results_dir>/<study>/ladder.csv, which scripts/collate.py writes; without it, the published table.
    """
    from roadmap.cli import study_options

    chosen = study_options(words, {})
    for path in plot(chosen["study"], Path(chosen["results_dir"])):
        print(path)
    return 0
