"""train.py in processes of which the last, at step 2, computes a gradient that is no number: `once` or `ever`.

torchrun --nproc_per_node=2 tests/helpers/spoilt.py none|once|ever key=value ...
"""

import runpy
import sys
from pathlib import Path
from typing import Any

from torch import Tensor

from roadmap.training import replica
from roadmap.training.distributed import of_environment

if __name__ == "__main__":
    fault = sys.argv.pop(1)
    world = of_environment()
    genuine, taken, spoilt = replica.Replica.backward, replica.Replica.begin, [0]

    def begin(self: Any) -> None:
        """Count the steps; a return to the start begins to count again."""
        taken(self)
        self.steps = getattr(self, "steps", -1) + 1

    def backward(self: Any, loss: Tensor) -> None:
        """The genuine one, of a loss that is no number."""
        bad = (
            self.steps == 2
            and world.rank == world.size - 1
            and (fault == "ever" or (fault == "once" and not spoilt[0]))
        )
        spoilt[0] += bad
        genuine(self, loss * float("nan") if bad else loss)

    replica.Replica.begin, replica.Replica.backward = begin, backward  # type: ignore[method-assign]
    sys.path.insert(0, str(Path(__file__).parents[2]))
    runpy.run_path(str(Path(__file__).parents[2] / "train.py"), run_name="__main__")
