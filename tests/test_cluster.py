"""Options of a cluster."""

import pytest

from roadmap.errors import ConfigError
from roadmap.sweep.plan import make_plan


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (["cluster=moon"], "cluster=moon: allowed is one of local slurm"),
        (["cluster=slurm", "cluster.partitoin=gpu"], "partitoin"),
        (["cluster=slurm", "cluster.nodes=0"], "cluster.nodes=0: allowed is more than 0"),
        (["cluster=slurm", "cluster.nodes=two"], "two"),
        (["cluster=slurm", "cluster.time=10"], "cluster.time=10: allowed is 30 minutes or more"),
        (["cluster=slurm", "cluster.retries=-1"], "cluster.retries=-1: allowed is 0 or more"),
        (["cluster=slurm", "cluster.signal_seconds=5"], "cluster.signal_seconds=5: allowed is 30 to"),
        (["cluster.nodes=2"], "cluster.nodes=2: allowed is 1 on this machine"),
    ],
)
def test_impossible_options_are_refused(asked: list[str], message: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        make_plan(["study=smoke", *asked])
    assert message in str(refusal.value)
    assert len(str(refusal.value).splitlines()) == 1
