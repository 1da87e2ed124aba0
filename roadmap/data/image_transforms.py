"""timm's transforms of single images on the CPU: crop, flip and RandAugment for training, resize and crop otherwise."""

from collections.abc import Callable
from typing import Any

from PIL import Image
from timm.data import create_transform
from timm.data.auto_augment import RandAugment, posterize
from torch import Tensor

from roadmap.config.schema import DataConfig, RecipeConfig

Pipeline = Callable[[Image.Image], Tensor]
SQUASH_SIZE = 384  # from this size on, evaluation resizes the whole image without a crop, as the paper does


def train_pipeline(recipe: RecipeConfig, data: DataConfig) -> Pipeline:
    """Random resized crop, flip, RandAugment: PIL image -> (3, img_size, img_size) uint8.

    Draws from the generators of `random`, numpy and torch: see `rng.reseed`.
    """
    pipeline = create_transform(
        input_size=(data.in_chans, data.img_size, data.img_size),
        is_training=True,
        scale=(recipe.scale[0], recipe.scale[1]),
        ratio=(recipe.ratio[0], recipe.ratio[1]),
        hflip=recipe.hflip,
        color_jitter=None,  # type: ignore[arg-type]
        auto_augment=None if recipe.aa == "none" else recipe.aa,
        interpolation=recipe.interpolation,
        mean=tuple(data.mean),
        use_prefetcher=True,  # leaves normalization and random erasing to the batch
    )
    for op in (op for stage in pipeline.transforms if isinstance(stage, RandAugment) for op in stage.ops):
        if op.aug_fn is posterize:
            op.aug_fn = _posterize
    return pipeline


def eval_pipeline(recipe: RecipeConfig, data: DataConfig) -> Pipeline:
    """Resize the short side to img_size / crop_pct and crop the centre: PIL image -> (3, img_size, img_size) uint8."""
    squash = data.img_size >= SQUASH_SIZE
    return create_transform(
        input_size=(data.in_chans, data.img_size, data.img_size),
        interpolation=recipe.interpolation,
        crop_pct=1.0 if squash else data.crop_pct,
        crop_mode="squash" if squash else "center",
        use_prefetcher=True,
    )


def _posterize(image: Image.Image, bits: int, **options: Any) -> Image.Image:
    """timm's, and black for 0 bits, as in the Pillow of the paper's time; Pillow 13 raises an error.

    Magnitude 9 with deviation 0.5 reaches 10, which means 0 bits, in about one of 600 images.
    """
    return posterize(image, bits, **options) if bits > 0 else Image.new(image.mode, image.size)
