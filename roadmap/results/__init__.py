"""From result files to tables: no torch. `roadmap.results(study)` is a table of every number of every run."""

import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pandas import DataFrame


class _Results(ModuleType):
    """This package, which can also be called."""

    def __call__(self, study: str, runs_dir: str | Path = "runs", results_dir: str | Path = "results") -> "DataFrame":
        """One row per run and number, in ladder order: study, step, seed, metric, value.

        Of runs, kept results and published ones, as for the study's table. A ConfigError if there is none.
        """
        from roadmap.results.collate import tidy

        return tidy(study, Path(runs_dir).expanduser(), Path(results_dir).expanduser())


sys.modules[__name__].__class__ = _Results
