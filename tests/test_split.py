"""A folder of classes is split by share, seed and scene, whole or not at all."""

from collections import Counter
from itertools import chain
from pathlib import Path

import pytest
from helpers.smoke import inside


def classes(root: Path, names: dict[str, list[str]]) -> Path:
    """Folders of empty files."""
    for name, files in names.items():
        for file in files:
            (root / name / file).parent.mkdir(parents=True, exist_ok=True)
            (root / name / file).touch()
    return root


def split(source: Path, to: Path, *words: str, code: int = 0) -> str:
    found, said = inside("scripts/split.py", f"data.root={source}", f"to={to}", *words)
    assert found == code, said
    return said


def files(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def test_every_class_is_split_by_its_share_and_the_seed(tmp_path: Path) -> None:
    names = {
        "cat": [f"{i}.jpg" for i in range(10)],
        "dog": [f"deep/{i}.png" for i in range(21)],
        "owl": ["1.jpg", "2.jpg"],
    }
    source = classes(tmp_path / "classes", names)
    for extra in ("cat/.hidden.jpg", "cat/notes.txt", ".git/1.jpg"):
        classes(source, {str(Path(extra).parent): [Path(extra).name]})
    said = split(source, tmp_path / "a")
    assert "train: 26 images in 3 classes\nval: 7 images in 3 classes\n" in said and ".git cat/.hidden.jpg" in said
    parts = {part: files(tmp_path / "a" / part) for part in ("train", "val")}
    assert Counter(path.partition("/")[0] for path in parts["val"]) == {"cat": 2, "dog": 4, "owl": 1}
    assert sorted(parts["train"] + parts["val"]) == sorted(f"{name}/{file}" for name in names for file in names[name])
    assert (tmp_path / "a" / "val" / parts["val"][0]).resolve() == source / parts["val"][0]
    split(source, tmp_path / "b", "files=copy")
    assert (
        files(tmp_path / "b") == files(tmp_path / "a") and not (tmp_path / "b" / "val" / parts["val"][0]).is_symlink()
    )
    split(source, tmp_path / "c", "seed=1", "share=0.5")
    chosen = files(tmp_path / "c" / "val")
    assert Counter(path.partition("/")[0] for path in chosen) == {"cat": 5, "dog": 10, "owl": 1}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "c", "classes"]


@pytest.mark.parametrize(
    ("prefix", "name"), [("_", "trip_{scene}_{i}.jpg"), ("2", "{scene:02d}x{i}.jpg"), ("/", "{scene}/{i}.jpg")]
)
def test_scenes_stay_together_in_all_classes(tmp_path: Path, prefix: str, name: str) -> None:
    scenes = {scene: [name.format(scene=scene, i=i) for i in range(1 + scene % 3)] for scene in range(20)}
    source = classes(tmp_path / "classes", {each: [*chain(*scenes.values())] for each in ("cat", "dog")})
    split(source, tmp_path / "photos", f"prefix={prefix}", "share=0.3")
    for each in ("cat", "dog"):
        val = {*files(tmp_path / "photos" / "val" / each)}
        assert abs(len(val) - 0.3 * 39) < 1.5 and val == {*files(tmp_path / "photos" / "val" / "cat")}
        assert all({*those} <= val or not {*those} & val for those in scenes.values())


def test_what_cannot_be_split_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    source = classes(tmp_path / "classes", {"cat": ["a_1.jpg", "a_2.jpg"], "dog": ["b_1.jpg", "c_1.jpg"]})
    (tmp_path / "there").mkdir()
    (tmp_path / "empty").mkdir()
    for words, message in (
        ([source, tmp_path / "there"], "allowed is a folder that does not exist yet"),
        ([source, source / "photos"], f"allowed is a folder outside of {source}, whose folders are classes"),
        ([tmp_path / "no", tmp_path / "to"], "data.root="),
        ([tmp_path / "empty", tmp_path / "to"], "no folders of images: a folder for every class is needed"),
        ([source, tmp_path / "to", "share=1"], "share=1: allowed is more than 0, below 1"),
        ([source, tmp_path / "to", "seed=-1"], "seed=-1: allowed is a whole number from 0 on"),
        ([source, tmp_path / "to", "files=move"], "files=move: allowed is one of link copy"),
        ([source, tmp_path / "to", "prefix=_"], "class cat: it needs two images or two scenes: split it by hand"),
    ):
        assert message in split(*words, code=2)  # type: ignore[arg-type]
    assert sorted(path.name for path in tmp_path.rglob("*") if path.parent == tmp_path) == ["classes", "empty", "there"]
    split(source, tmp_path / "to")
    assert "it is split already" in split(tmp_path / "to", tmp_path / "again", code=2)
