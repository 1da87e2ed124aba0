"""Which reader finds the photographs of a data set, and whether they are what the configuration says of them."""

from collections.abc import Callable
from pathlib import Path

from roadmap.config.schema import DataConfig, Dataset
from roadmap.data import folders, parquet, shards
from roadmap.data.records import Records
from roadmap.errors import DataError, require

READERS: dict[Dataset, Callable[[DataConfig, str], Records]] = {
    Dataset.imagenet: folders.find,
    Dataset.imagefolder: folders.find,
    Dataset.webdataset: shards.find,
    Dataset.parquet: parquet.find,
}


def find(data: DataConfig, part: str) -> Records:
    """The images of a part, train or val, with whatever is wrong with them.

    Raises:
        DataError: there are none.
        ConfigError: data.train or data.val is no list of shards.
    """
    return READERS[data.name](data, part)


def check(records: Records, data: DataConfig, *, train: bool) -> None:
    """Refuse a part that cannot be trained or evaluated with.

    Raises:
        DataError: something is wrong with the part as a whole, or val has other classes than train.
        ConfigError: other than data.num_classes classes.
    """
    if records.troubles:
        raise DataError(records.troubles[0])
    if not len(records.labels):
        raise DataError(f"{records.where}: no images")
    if records.classes:
        _check_names(records, data, train=train)
    else:
        _check_numbers(records, data, train=train)


def _check_names(records: Records, data: DataConfig, *, train: bool) -> None:
    if not train and records.classes != folders.classes(data, "train"):
        raise DataError(f"{records.where}: its folders are not those of {Path(data.root).expanduser() / 'train'}")
    classes = len(records.classes)
    allowed = f"{classes}, the folders in {records.where}"
    require(data.num_classes == classes, "data.num_classes", data.num_classes, allowed)


def _check_numbers(records: Records, data: DataConfig, *, train: bool) -> None:
    low, high = (int(label) for label in records.labels.aminmax())
    if low < 0:
        raise DataError(f"{records.name(int(records.labels.argmin()))}: no class")
    enough = data.num_classes == high + 1 if train else data.num_classes > high
    allowed = f"{high + 1}, one more than the last class of {records.where}"
    require(enough, "data.num_classes", data.num_classes, allowed)
