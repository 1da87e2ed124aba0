"""How a sweep shares the cores of this machine among its runs.

Small networks are trained faster by several processes of one thread than by one process of several threads, which wait
for each other after every layer (docs/performance.md): as many runs at a time as the threads of one fit into the cores.
Where nobody says how many threads that is, a run may need all of the machine's memory or its GPU: one at a time.
"""

import os


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def runs_at_a_time(threads: int | None) -> int:
    """With jobs=auto, by the threads of one."""
    return max(1, cores() // (threads or cores()))


def environment(jobs: int) -> dict[str, str]:
    """What a run among so many at a time starts in: its share of the cores, unless this environment says otherwise."""
    return {"OMP_NUM_THREADS": str(max(1, cores() // jobs))} | os.environ
