"""Image files: decoded, cropped and augmented one by one on worker processes, whichever reader finds them."""

import atexit
import multiprocessing
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from roadmap.config.schema import DataConfig, OnError, RecipeConfig
from roadmap.data.decoding import as_rgb, open_image, raise_shortage, reason
from roadmap.data.image_transforms import Pipeline, eval_pipeline, train_pipeline
from roadmap.data.records import Records, check, class_names, find, numbered, source_part
from roadmap.data.rng import mix, preserved, reseed
from roadmap.data.subset import subset
from roadmap.errors import DataError

CHUNK = 64  # images that a worker hands over at a time, whatever the batch size
MAX_SKIPS = 100  # images in a row that may be skipped
TEST_IMAGES = ": data.on_error=skip is for training images alone, repair or remove this one (make data-check finds all)"


@dataclass(frozen=True)
class ImageFiles:
    """N of the encoded images of a part, and the pipeline that decodes them; used like `in_memory.Images`."""

    records: Records
    chosen: Tensor  # (N,) int64: indices into the records
    pipeline: Pipeline
    shape: torch.Size  # (N, C, H, W) after the pipeline
    workers: int = 0  # processes that decode; 0: this one
    skip: bool = False  # whether the next image replaces one that cannot be read
    hint: str = ""  # appended to the refusal of an image that cannot be read
    skipped: list[str] = field(default_factory=list)  # unreadable images in the batches so far
    device: torch.device = torch.device("cpu")  # noqa: RUF009

    def __len__(self) -> int:
        return len(self.chosen)

    @property
    def labels(self) -> Tensor:
        """(N,) int64."""
        return self.records.labels[self.chosen]

    @property
    def classes(self) -> Sequence[str]:
        """Names by label, as far as the files tell."""
        return self.records.classes

    @property
    def notes(self) -> Sequence[str]:
        """What was skipped or decided when the files were listed."""
        return self.records.notes

    def to(self, device: torch.device) -> "ImageFiles":
        return replace(self, device=device)

    def batches(self, indices: Sequence[Tensor], *, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Images (B, C, H, W) uint8 and labels (B,) at each of the indices (B,), whatever the number of workers."""
        loader = DataLoader(
            Decoded(self, seed),
            batch_sampler=[chunk.tolist() for index in indices for chunk in index.split(CHUNK)],
            num_workers=self.workers,
            collate_fn=_collate,
            worker_init_fn=_ignore_sigterm,
            pin_memory=self.device.type == "cuda",
            generator=torch.Generator(),  # otherwise it would draw from the global generator
        )
        chunks, labels = iter(loader), self.labels
        for index in indices:
            loaded = [self._checked(*next(chunks)) for _ in index.split(CHUNK)]
            images, sources = loaded[0] if len(loaded) == 1 else map(torch.cat, zip(*loaded, strict=True))
            yield images, labels[sources].to(self.device)

    def _checked(self, images: Tensor, sources: Tensor, unreadable: list[str]) -> tuple[Tensor, Tensor]:
        if unreadable and not self.skip:
            raise DataError(f"{unreadable[0]}{self.hint}")
        if len(images) < len(sources):
            raise DataError(f"{unreadable[0]}, and neither can those after it")
        self.skipped.extend(unreadable)
        return images.to(self.device, non_blocking=self.device.type == "cuda"), sources

    def batch_recipe(self, recipe: RecipeConfig) -> RecipeConfig:
        """The recipe without crop, flip and RandAugment, which the pipeline has done."""
        return replace(recipe, hflip=0.0, scale=[1.0, 1.0], ratio=[1.0, 1.0], aa="none")


def load(
    data: DataConfig, recipe: RecipeConfig, *, train: bool, workers: int = 0, classes: Sequence[str] = ()
) -> ImageFiles:
    """The images of a part by the reader of data.name; max_train and max_test choose evenly spaced ones of `subset`.

    Labels are those of the training images or, to evaluate weights whose `classes` are known by name, of these.
    """
    part = source_part(data, train=train)
    records = numbered(find(data, part), classes)
    check(records, data, train=part == "train", classes=classes or class_names(data, "train"))
    chosen = subset(records.labels, data, train=train)
    n, skip = len(chosen), data.on_error is OnError.skip
    count = min(n, (data.max_train if train else data.max_test) or n)
    return ImageFiles(
        records=records,
        chosen=chosen[torch.arange(count) * n // count],
        pipeline=train_pipeline(recipe, data) if train else eval_pipeline(recipe, data),
        shape=torch.Size((count, data.in_chans, data.img_size, data.img_size)),
        workers=workers,
        skip=train and skip,
        hint=TEST_IMAGES if skip and not train else "",
    )


def _ignore_sigterm(_worker: int) -> None:
    """A scheduler sends SIGTERM to all processes of a job, but the main process still finishes its step."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


@atexit.register
def end_workers() -> None:
    """End the workers that an error has left behind: multiprocessing would wait for them, since they ignore SIGTERM."""
    if workers := multiprocessing.active_children():
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # torch would report their end
        for worker in workers:
            worker.kill()


class Item(NamedTuple):
    image: Tensor | None  # (C, H, W) uint8; None: none can be read
    source: int  # index of the image that it is made from
    unreadable: list[str]  # images before it that cannot be read, and why


class Decoded(Dataset[Item]):
    """Images through the pipeline; each depends on the seed and its index alone."""

    def __init__(self, files: ImageFiles, seed: int) -> None:
        self.records, self.chosen, self.pipeline, self.seed = files.records, files.chosen, files.pipeline, seed
        self.tries = min(MAX_SKIPS, len(files)) if files.skip else 1

    def __len__(self) -> int:
        return len(self.chosen)

    def __getitems__(self, indices: list[int]) -> list[Item]:
        with preserved():  # once for several images
            return [self._decode(index) for index in indices]

    def _decode(self, index: int) -> Item:
        """The image at an index, or the next one that can be read."""
        unreadable = []
        for source in range(index, index + self.tries):
            chosen = int(self.chosen[source % len(self)])
            try:
                with open_image(self.records.read(chosen)) as opened:
                    image = as_rgb(opened)
            except Exception as error:  # Pillow's decoders raise nearly any type
                raise_shortage(error, self.records.name(chosen))
                unreadable.append(f"{self.records.name(chosen)}: {reason(error)}")
                continue
            reseed(mix(self.seed, index))
            return Item(torch.as_tensor(self.pipeline(image)), source % len(self), unreadable)
        return Item(None, index, unreadable)


def _collate(items: list[Item]) -> tuple[Tensor, Tensor, list[str]]:
    """Images (B, C, H, W), the indices (B,) they are made from, and a line for each image that cannot be read."""
    # Stacked channels last, as Pillow has them: whole images are copied instead of planes.
    images = [item.image.permute(1, 2, 0) for item in items if item.image is not None]
    unreadable = [line for item in items for line in item.unreadable]
    sources = torch.tensor([item.source for item in items])
    return torch.stack(images).permute(0, 3, 1, 2) if images else torch.empty(0), sources, unreadable
