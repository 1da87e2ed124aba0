"""How long a run is: what is too short for batch norm is told of."""

from pathlib import Path

from helpers.smoke import inside, tiny, words

from roadmap.config.length import UPDATES, too_short


def test_a_run_too_short_for_the_running_averages_of_batch_norm_says_so(tmp_path: Path, data_root: Path) -> None:
    with_norm, without = (tiny(tmp_path, data_root, f"+step={step}") for step in ("gelu", "layer_norm"))
    assert UPDATES == 50  # two micro-batches in each step
    assert too_short(with_norm, 24).startswith("48 micro-batches in all, batch norm's running averages need about 50: ")
    assert too_short(with_norm, 25) == too_short(without, 1) == ""
    code, said = inside("train.py", *words(tmp_path, data_root, "+step=gelu", "training.max_steps=2"))
    assert code == 0 and said.count("gelu seed 0: 4 micro-batches in all, batch norm's running averages") == 1, said
