"""Image datasets that classifiers are trained on here, and how."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial, reduce
from itertools import pairwise
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import nn

from anomech.errors import DataError
from anomech.examples import Examples, concatenate
from anomech.io.folders import read_folder
from anomech.io.images import decode_images, to_unit
from anomech.io.parquet import read_parquet
from anomech.organisms.fashion import DEBIAN, IDX, load_idx
from anomech.organisms.files import find_file, load_arrays
from anomech.organisms.models import ResNet, SmallCNN
from anomech.organisms.training import Recipe
from anomech.progress import Track, silent

Split = Literal["train", "test"]

CIFAR10 = (
    "CIFAR-10 (www.cs.toronto.edu/~kriz/cifar.html) as JPEG files: uint8 array SPLIT_bytes of all files one after the "
    "other, SPLIT_offsets [n + 1] of their ends, SPLIT_labels [n], for train and test"
)
GTSRB = (
    "GTSRB (benchmark.ini.rub.de), each sign cropped to its box and resized to 32x32, "
    "as uint8 arrays SPLIT_x [n, 32, 32, 3] and SPLIT_y [n], for train and test"
)


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """Images, and a network that learns them in minutes.

    Attributes:
        name: Its name in those of organisms.
        published: Reads a split of the published file from a folder, with a progress reporter.
        model: Makes the untrained network.
        recipe: How it is trained.
        adaptive_epochs: How long for attacks that know the defence, where they hide better with less training.
        shape: Channels, height and width of an image.
        classes: Number of classes.
        target: Class that attackers aim at; one with many images, so that attacks with clean labels have enough.
    """

    name: str
    published: Callable[[Path, Split, Track], Examples]
    model: Callable[[], nn.Module]
    recipe: Recipe
    adaptive_epochs: int | None = None
    shape: tuple[int, int, int] = (3, 32, 32)
    classes: int = 10
    target: int = 0

    def load(self, data: Path, split: Split, track: Track = silent) -> Examples:
        """Images of a split: from a folder of the dataset's name if one holds them, else the published file.

        Args:
            data: Folder that holds, at any depth, either a folder named after the dataset, with a folder of images for
                each class in `train` and in `test`, or with the parquet files of a Hugging Face dataset
                (`train-00000-of-00001.parquet`); or the published file. Images of other sizes are resized.
            split: "train" or "test".
            track: How progress is reported.

        Raises:
            DataError: There are no such files, one is damaged, or the images or classes are not those of the dataset.
        """
        found = self._own_files(data, split, track) or self.published(data, split, track)
        if found.y is None or not 0 <= int(found.y.min()) <= int(found.y.max()) < self.classes:
            raise DataError(f"{self.name} {split} images need labels from 0 to {self.classes - 1}.")
        if found.x.shape[1:] != self.shape:
            raise DataError(f"{self.name} {split} images have shape {list(found.x.shape[1:])}, not {list(self.shape)}.")
        return found

    def _own_files(self, data: Path, split: Split, track: Track) -> Examples | None:
        for folder in sorted(f for f in data.rglob(self.name) if f.is_dir()):
            side = self.shape[-1]
            if (folder / split).is_dir():
                return read_folder(folder / split, lambda _: self.classes, side=side, track=track)
            if shards := sorted(folder.rglob(f"{split}-*.parquet")):
                named = track(_complete(shards), f"reading {self.name} {split}", len(shards))
                joined = reduce(concatenate, (_read_shard(shard, side) for shard in named))
                return replace(joined, ids=tuple(f"{split}-{i:05d}" for i in range(len(joined))))
        return None


def _complete(shards: list[Path]) -> list[Path]:
    """Shards called `train-00000-of-00002.parquet`, all of which must be there."""
    number = re.fullmatch(r".*-of-(\d+)", shards[0].stem)
    if number and int(number[1]) != len(shards):
        raise DataError(f"{shards[0].parent} has {len(shards)} of {int(number[1])} files; fetch the others.")
    return shards


def _read_shard(shard: Path, side: int) -> Examples:
    try:
        return read_parquet(shard, side=side)
    except DataError as error:
        raise DataError(f"{shard}: {error}") from error


def load_cifar10(data: Path, split: Split, track: Track = silent) -> Examples:
    """CIFAR-10 (Krizhevsky 2009) from JPEG files.

    Args:
        data: Folder that holds, at any depth, `cifar10_jpeg.npz`.
        split: "train" (50,000) or "test" (10,000).
        track: How progress is reported.

    Raises:
        DataError: The file is missing or damaged.
    """
    path = find_file("cifar10_jpeg.npz", data, what=CIFAR10)
    contents, offsets, labels = load_arrays(
        path, *(f"{split}_{name}" for name in ("bytes", "offsets", "labels"))
    ).values()
    if len(offsets) != len(labels) + 1:
        raise DataError(f"{path} has {len(offsets)} {split}_offsets for {len(labels)} labels; there must be one more.")
    ids = tuple(f"{split}-{i:05d}" for i in range(len(labels)))
    images = (contents[start:end].tobytes() for start, end in pairwise(offsets))
    named = zip(ids, images, strict=True)
    x = decode_images(track(named, f"reading CIFAR-10 {split}", len(ids)))
    return Examples(x=x, y=torch.from_numpy(labels), ids=ids)


def load_gtsrb(data: Path, split: Split, track: Track = silent) -> Examples:
    """GTSRB (Stallkamp et al. 2012) at 32x32, 43 classes.

    Args:
        data: Folder that holds, at any depth, `gtsrb32.npz`.
        split: "train" or "test".
        track: Unused; reading takes no time.

    Raises:
        DataError: The file is missing or damaged.
    """
    path = find_file("gtsrb32.npz", data, what=GTSRB)
    pixels, labels = load_arrays(path, f"{split}_x", f"{split}_y").values()
    if pixels.dtype != np.uint8 or pixels.shape[1:] != (32, 32, 3):
        raise DataError(f"{path}: {split}_x is {pixels.dtype} of shape {list(pixels.shape)}; expected {GTSRB}.")
    x = torch.from_numpy(np.ascontiguousarray(to_unit(pixels).transpose(0, 3, 1, 2)))
    return Examples(x=x, y=torch.from_numpy(labels).long(), ids=tuple(f"{split}-{i:05d}" for i in range(len(labels))))


def load_fashion_images(data: Path, split: Split, track: Track = silent) -> Examples:
    """Fashion-MNIST from its IDX files, at any depth of `data` or where Debian installs them."""
    name = "train" if split == "train" else "t10k"
    return load_idx(find_file(f"{name}-images-idx3-ubyte.gz", data, DEBIAN, what=IDX).parent, name)


DATASETS = {
    dataset.name: dataset
    for dataset in (
        Dataset(name="fashion", published=load_fashion_images, model=SmallCNN, recipe=Recipe(), shape=(1, 28, 28)),
        Dataset(
            name="cifar10",
            published=load_cifar10,
            model=ResNet,
            recipe=Recipe(epochs=8, batch_size=256, learning_rate=1e-2, augment=True, channels_last=True),
        ),
        Dataset(
            name="gtsrb",
            published=load_gtsrb,
            model=partial(ResNet, classes=43, widths=(8, 16, 32, 64)),
            recipe=Recipe(learning_rate=1e-2, channels_last=True),
            adaptive_epochs=5,
            classes=43,
            target=2,
        ),
    )
}
