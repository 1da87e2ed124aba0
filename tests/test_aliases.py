"""Files and command lines in old names are read in the new ones."""

import json
from pathlib import Path

import pytest

from roadmap.config.aliases import renamed, renamed_override
from roadmap.errors import ConfigError
from roadmap.runs import checksum, find_results, read_json, read_result, write_json, write_result

ROOT = Path(__file__).parents[1]
BEFORE = Path(__file__).parent / "data" / "result_before.json"


def test_a_result_in_the_old_format_is_read_in_the_new_names() -> None:
    old, new = json.loads(BEFORE.read_text()), read_result(BEFORE)
    keys = ("top1", "top5", "ema_top1", "ema_top5")
    assert new["metrics"] == {**{key: old[key] for key in keys}, "train_loss": old["train_loss"]}
    assert new["counts"] == {key: old[f"{key}_count"] for key in keys}
    assert new["deviations"] == old["departures"]
    assert new["config"]["study"] == {"name": "fashion_mnist", "seeds": 1, "ladder": "network", "design": "ladder"}
    assert not {"top1", "top1_count", "train_loss", "departures"} & new.keys()
    assert {"params", "macs", "test_images", "versions"} <= new.keys()


def test_an_old_result_is_read_by_its_own_checksums_and_a_changed_number_refused(tmp_path: Path) -> None:
    old = json.loads(BEFORE.read_text())
    path = tmp_path / "result.json"
    write_json(path, old | {"checksum": checksum(old)})
    assert read_result(path)["metrics"] == read_result(BEFORE)["metrics"]
    write_json(path, old | {"checksum": checksum(old), "top1_count": 1})
    with pytest.raises(ConfigError, match="damaged: its checksum"):
        read_result(path)
    write_json(path, old | {"config": old["config"] | {"seed": 7}})
    with pytest.raises(ConfigError, match="damaged: its config_hash"):
        read_result(path)
    old["config"]["recipe"]["sync_bn"] = 8  # a number of processes at that time
    old["config_hash"] = "82fb2cc77c4dfacc"  # by the code of that time
    write_json(path, old | {"checksum": checksum(old)})
    assert read_result(path)["config"]["recipe"]["sync_bn"] is True


def test_every_committed_result_is_sound() -> None:
    paths = [path for study in (ROOT / "results/published").glob("*/runs") for path in find_results(study)]
    assert len(paths) >= 72
    for path in paths:
        result = read_result(path)
        assert result["metrics"]["top1"] == pytest.approx(100 * result["counts"]["top1"] / result["test_images"])


def test_old_options_are_read_in_the_new_names() -> None:
    config = {"study": {"road": "recipe", "design": "path"}, "seed": 0}
    assert renamed(config) == {"study": {"ladder": "recipe", "design": "ladder"}, "seed": 0}
    assert config["study"] == {"road": "recipe", "design": "path"}, "the argument is left as it is"
    assert renamed({"study": {"design": "add_one"}}) == {"study": {"design": "add_one"}}
    assert [renamed({"recipe": {"sync_bn": n}})["recipe"]["sync_bn"] for n in (1, 8, True)] == [False, True, True]
    old = "only=path design=path study.road=recipe recipe.lr=0.1 recipe.sync_bn=1 recipe.sync_bn=8"
    new = "only=main_sequence design=ladder study.ladder=recipe recipe.lr=0.1 recipe.sync_bn=false recipe.sync_bn=true"
    assert [renamed_override(word) for word in old.split()] == new.split()


def test_a_written_result_is_read_as_it_was_written_and_what_is_not_whole_refused(tmp_path: Path) -> None:
    path, result = tmp_path / "result.json", read_result(BEFORE)
    result["metrics"]["ece"] = 0.031  # a metric that nothing else knows
    written = write_result(path, result)
    assert read_result(path) == written == result | {"checksum": written["checksum"]}
    for key in ("step", "metrics", "counts", "test_images"):
        write_result(path, {name: value for name, value in result.items() if name != key})
        with pytest.raises(ConfigError, match=f"not a result: {key} is missing"):
            read_result(path)
    for text in ("", "[]", '{"step": "gelu"}'):
        path.write_text(text)
        with pytest.raises(ConfigError, match="not a result"):
            read_result(path)
    assert read_json(tmp_path / "none.json") is None
