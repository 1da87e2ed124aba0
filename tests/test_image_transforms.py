"""Transforms of single images: those of timm and torchvision, with the paper's RandAugment."""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.photographs import CLASSES, on_folders, photograph
from PIL import Image
from torchvision import transforms

from roadmap.config.compose import compose
from roadmap.data.image_transforms import eval_pipeline, train_pipeline
from roadmap.data.loader import evaluation_batches, load
from roadmap.data.rng import preserved, reseed

MODERN = compose(["study=imagenet", "+step=training_recipe"])
GOLDEN = {  # means of the green channel in 3 x 3 blocks
    0: [[90, 116, 120], [66, 76, 81], [44, 122, 128]],  # turned, solarized
    3: [[129, 134, 127], [131, 121, 105], [111, 116, 115]],  # pale
    4: [[165, 195, 144], [81, 140, 94], [105, 47, 56]],  # cropped to the left half
    6: [[116, 148, 165], [98, 76, 93], [94, 83, 54]],  # hardly changed
}


def test_evaluation_resizes_to_256_and_crops_the_central_224(photographs: Path) -> None:
    of = on_folders(photographs)
    resized = transforms.Resize(256, transforms.InterpolationMode.BICUBIC), transforms.CenterCrop(224)
    plain = transforms.Compose([*resized, transforms.ToTensor(), transforms.Normalize(of.data.mean, of.data.std)])
    paths = sorted((photographs / "val").rglob("*.JPEG"))
    expected = torch.stack([plain(Image.open(path)) for path in paths])
    batches = list(evaluation_batches(load(of, train=False), of.data, 5))
    assert [len(x) for x, _ in batches] == [5, 5, 5, 1]
    torch.testing.assert_close(torch.cat([x for x, _ in batches]), expected)
    assert torch.cat([t for _, t in batches]).tolist() == [CLASSES.index(path.parent.name) for path in paths]


def test_from_384_on_evaluation_sees_the_whole_image() -> None:
    large = replace(MODERN.data, img_size=384)
    whole = transforms.Resize((384, 384), transforms.InterpolationMode.BICUBIC)
    image = photograph("chelsea")
    expected = transforms.functional.pil_to_tensor(whole(image))
    assert torch.equal(torch.as_tensor(eval_pipeline(MODERN.recipe, large)(image)), expected)


def randaugment(pipeline: Any) -> list[Any]:
    return next(stage.ops for stage in pipeline.transforms if type(stage).__name__ == "RandAugment")


def test_the_papers_randaugment_in_four_thousand_draws() -> None:
    """Two of fifteen ops per draw, each applied with probability one half, magnitudes around 9 of 10."""
    pipeline = train_pipeline(MODERN.recipe, replace(MODERN.data, img_size=32))
    ops = randaugment(pipeline)
    used, bits, solarized = Counter[str](), Counter[int](), list[int]()
    for op in ops:

        def watched(image: Image.Image, *args: int, _op=op, _do=op.aug_fn, **options: object) -> Image.Image:  # type: ignore[no-untyped-def]
            used[_op.name] += 1
            if _op.name == "PosterizeIncreasing":
                bits[args[0]] += 1
            if _op.name == "SolarizeAdd":
                solarized.append(args[0])
            return _do(image, *args, **options)

        op.aug_fn = watched
    image = photograph("astronaut").resize((40, 40))
    draws = 4_000
    with preserved():
        reseed(0)
        for _ in range(draws):
            assert torch.as_tensor(pipeline(image)).shape == (3, 32, 32)
    assert len(ops) == len(used) == 15
    share = draws * 2 * 0.5 / 15
    assert all(abs(count - share) < 5 * share**0.5 for count in used.values()), used
    assert set(bits) == {0, 1} | set(bits) & {2} and 0.005 < bits[0] / bits.total() < 0.06, bits
    # Magnitude 9 +- 0.5, at most 10: 110 * 9 / 10 = 99.
    assert 97 < np.mean(solarized) < 99.5 and 4 < np.std(solarized) < 6


@pytest.mark.parametrize("seed", GOLDEN)
def test_photographs_keep_their_golden_values(seed: int) -> None:
    """Checked by eye when written down: they show if a library changes the meaning of a recipe."""
    with preserved():
        reseed(seed)
        made = torch.as_tensor(train_pipeline(MODERN.recipe, MODERN.data)(photograph("astronaut")))
    blocks = torch.nn.functional.adaptive_avg_pool2d(made[1].float()[None], 3)[0].round()
    assert blocks.sub(torch.tensor(GOLDEN[seed])).abs().max() <= 2


def test_posterize_to_no_bits_is_black() -> None:
    ops = randaugment(train_pipeline(MODERN.recipe, MODERN.data))
    posterize = next(op.aug_fn for op in ops if op.name == "PosterizeIncreasing")
    image = photograph("coffee")
    assert posterize(image, 0, resample=0).getextrema() == ((0, 0),) * 3
    assert (np.asarray(posterize(image, 1, resample=0)) == (np.asarray(image) & 128)).all()
