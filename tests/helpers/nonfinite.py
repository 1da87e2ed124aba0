"""train.py with a NaN gradient in the last process at step 2: never (`none`), `once` or `ever`.

torchrun --nproc_per_node=2 tests/helpers/nonfinite.py none|once|ever key=value ...
"""

import runpy
import sys
from pathlib import Path
from typing import Any

from torch import Tensor

from roadmap.training.distributed import Replica, World

if __name__ == "__main__":
    fault = sys.argv.pop(1)
    world = World.from_env()
    genuine, taken, spoilt = Replica.backward, Replica.begin, [0]

    def begin(self: Any) -> None:
        """Count the steps, again from 0 after a return to the start."""
        taken(self)
        self.steps = getattr(self, "steps", -1) + 1

    def backward(self: Any, loss: Tensor) -> None:
        """Backward pass of a NaN loss where a fault is due."""
        due = fault == "ever" or (fault == "once" and not spoilt[0])
        bad = due and self.steps == 2 and world.rank == world.size - 1
        spoilt[0] += bad
        genuine(self, loss * float("nan") if bad else loss)

    Replica.begin, Replica.backward = begin, backward  # type: ignore[method-assign]
    sys.path.insert(0, str(Path(__file__).parents[2]))
    runpy.run_path(str(Path(__file__).parents[2] / "train.py"), run_name="__main__")
