"""A finished run in use: loaded, asked about images, and its results as a table."""

from pathlib import Path

import pandas
import pytest
import torch
from helpers.photographs import CLASSES, plant, small
from helpers.smoke import inside, prepared
from helpers.synthetic import ladder, result, write
from PIL import Image

import roadmap
from roadmap import runs
from roadmap.config.compose import load as frozen
from roadmap.config.steps import steps
from roadmap.data.loader import evaluation_batches, load
from roadmap.errors import ConfigError, DataError
from roadmap.training.run import execute


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a finished run on photographs."""
    root = tmp_path_factory.mktemp("photos")
    words = [f"data.root={plant(root / 'images', train=4, val=2)}", "data.num_classes=4", "regime.width=4"]
    directory = runs.prepare(small(words, f"runs_dir={root / 'runs'}"))
    execute(directory)
    return directory


@pytest.mark.parametrize("ema", [False, True])
def test_a_loaded_run_gives_the_counts_of_its_result(undisturbed: Path, ema: bool) -> None:
    trained = roadmap.load(undisturbed, ema=ema)
    config, key = trained.config, "ema_top1" if ema else "top1"
    assert not trained.network.training and trained.classes[0] == "T-shirt/top" and len(trained.classes) == 10
    right = sum(
        int((trained.network(x).argmax(1) == labels).sum())
        for x, labels in evaluation_batches(load(config, train=False), config.data, 70)
    )
    assert right == trained.result["counts"][key]


def test_preprocessing_gives_the_test_images_of_the_run(undisturbed: Path, photos: Path) -> None:
    trained = roadmap.load(undisturbed)
    images = load(trained.config, train=False)
    (wanted, _), *_ = evaluation_batches(images, trained.config.data, 5)
    for index in range(5):
        pixels = images.images[index, 0, 2:30, 2:30]  # type: ignore[union-attr]
        torch.testing.assert_close(trained.preprocess(Image.fromarray(pixels.numpy())), wanted[index], rtol=0, atol=0)
    trained = roadmap.load(photos)
    assert trained.classes == [*CLASSES]
    images = load(trained.config, train=False)
    (wanted, _), *_ = evaluation_batches(images, trained.config.data, 8)
    for index in range(8):
        with Image.open(images.records.name(index)) as image:  # type: ignore[union-attr]
            torch.testing.assert_close(trained.preprocess(image), wanted[index], rtol=0, atol=0)


def test_predict_names_the_classes_that_the_network_finds_likeliest(photos: Path, tmp_path: Path) -> None:
    trained, val = roadmap.load(photos), Path(frozen(photos / runs.CONFIG).data.root) / "val"
    image = val / "coffee" / "0.JPEG"
    shares = trained.network(trained.preprocess(Image.open(image))[None]).softmax(1)[0]
    code, output = inside("scripts/predict.py", f"run={photos}", "top=2", str(image))
    (first, second), (one, two) = shares.topk(2).values.tolist(), shares.topk(2).indices.tolist()
    listed = f"{CLASSES[one]} {100 * first:.1f} %, {CLASSES[two]} {100 * second:.1f} %"
    assert (code, output) == (0, f"{image}: {listed}\n")
    code, output = inside("scripts/predict.py", f"run={photos}", "top=1", str(val))
    assert code == 0 and len(output.splitlines()) == 8
    (tmp_path / "torn.jpg").write_bytes(b"torn")
    hostile = tmp_path / "\x1b]0;x\x07.jpg"
    hostile.write_bytes(image.read_bytes())
    code, output = inside("scripts/predict.py", f"run={photos}", "top=1", str(hostile))
    assert code == 0 and output.startswith(f"{tmp_path}/\\x1b]0;x\\x07.jpg: "), output
    code, output = inside("scripts/predict.py", f"run={photos}", str(tmp_path / "torn.jpg"), str(image))
    assert code == 1 and f"{tmp_path / 'torn.jpg'}: cannot be read: " in output and listed in output


def test_what_cannot_be_loaded_is_refused_in_a_line(undisturbed: Path, tmp_path: Path, data_root: Path) -> None:
    (image := tmp_path / "a.png").write_bytes(b"")
    for words, said in (
        ([f"run={tmp_path}", str(image)], f"run={tmp_path}: allowed is the directory of a run, with its config.yaml"),
        (
            [f"run={prepared(tmp_path, data_root)}", str(image)],
            ": not finished, it has no result.json: the command that began it continues it",
        ),
        ([f"run={undisturbed}"], "allowed is images or folders after run=DIRECTORY"),
        ([f"run={undisturbed}", "gone.png"], "gone.png: no image"),
        (["a.png"], "run=: allowed is the directory of a finished run\n"),
        ([str(undisturbed), "a.png"], f"run=: allowed is the directory of a finished run: write run={undisturbed}\n"),
    ):
        code, output = inside("scripts/predict.py", *words)
        assert code == 2 and said in output and len(output.splitlines()) == 1, output
    (copy := tmp_path / "copy").mkdir()
    for name in (runs.CONFIG, runs.RESULT):
        (copy / name).write_bytes((undisturbed / name).read_bytes())
    with pytest.raises(DataError, match=r"checkpoint\.pt: No such file"):
        roadmap.load(copy)
    text = (copy / runs.CONFIG).read_text()
    for before, after, why in (
        ("act: gelu", "act: mish", r"copy/config\.yaml: model\.act=mish: allowed is one of "),
        ("seed: 0", "seed: 1", r"copy/result\.json: the result of another configuration: .*, seed \(0 there, now 1\)$"),
    ):
        (copy / runs.CONFIG).write_text(text.replace(before, after))
        with pytest.raises(ConfigError, match=why):
            roadmap.load(copy)
        if after == "act: mish":
            with pytest.raises(ConfigError, match=why):
                execute(copy)
            assert (copy / runs.RESULT).exists() and not (copy / runs.FAILURE).exists()


def test_results_are_rows_of_runs_and_numbers_in_ladder_order(tmp_path: Path) -> None:
    write(tmp_path / "runs", [*ladder(seeds=2), result("own", correct=7000, like="gelu")])
    frame = roadmap.results("smoke", tmp_path / "runs", tmp_path)  # type: ignore[operator]
    assert [*frame.columns] == ["study", "step", "seed", "metric", "value"] and isinstance(frame, pandas.DataFrame)
    means = frame.query("metric == 'top1'").groupby("step", sort=False).value.mean()
    assert [*means.index] == [each for step in steps() for each in [step.name, "own"][: 1 + (step.name == "gelu")]]
    assert means["resnet"] == 80.05 and means["own"] == 70.0 and frame.seed.dtype == int
    with pytest.raises(ConfigError, match="study=none: no finished run"):
        roadmap.results("none", tmp_path / "runs", tmp_path)  # type: ignore[operator]
