"""Examples from a path: a folder of images, an `.npz` file or a `.parquet` file."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from torch import Tensor

from anomech.errors import DataError
from anomech.examples import Examples
from anomech.io.folders import read_folder
from anomech.io.npz import read_npz
from anomech.io.parquet import read_parquet
from anomech.progress import Track, silent

logger = logging.getLogger(__name__)

ACCEPTED = "a folder of images, an .npz file with an array `x`, or a .parquet file with an image column"


def load_examples(
    path: Path, *, labelled: bool, classes: Callable[[Tensor], int] | None = None, track: Track = silent
) -> Examples:
    """Examples of whatever kind `path` is.

    Args:
        path: A folder of images (see `read_folder`), an `.npz` file (`read_npz`) or a `.parquet` file (`read_parquet`).
        labelled: Whether every example must have a true class, as trusted examples must.
        classes: Tells, from inputs `[n, ...]`, how many classes the model has; true classes must lie below it.
        track: How progress on a folder of images is reported.

    Returns:
        Examples with `x` float32 `[n, channels, height, width]` in [0, 1].

    Raises:
        DataError: The path is missing, of no accepted kind or unreadable, or its images or labels cannot be used.
    """
    try:
        examples = _read(path, classes, track)
        _check_labels(examples, labelled, None if classes is None else classes(examples.x[:1]))
    except DataError as error:
        raise DataError(f"{path}: {error}") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error}; check the file and its permissions.") from error
    logger.info("read %d examples of shape %s from %s", len(examples), list(examples.x.shape[1:]), path)
    return examples


def _read(path: Path, classes: Callable[[Tensor], int] | None, track: Track) -> Examples:
    if path.is_dir():
        return read_folder(path, classes, track=track)
    if not path.exists():
        raise DataError(f"no such file or folder; give {ACCEPTED}.")
    readers = {".npz": read_npz, ".parquet": read_parquet}
    if path.suffix.lower() not in readers:
        raise DataError(f"files of type {path.suffix!r} are not accepted; give {ACCEPTED}.")
    return readers[path.suffix.lower()](path)


def _check_labels(examples: Examples, labelled: bool, classes: int | None) -> None:
    if labelled and examples.y is None:
        raise DataError(
            "trusted examples need labels: give class subfolders, an array `y` (.npz) or a column `label` (.parquet)."
        )
    if examples.y is None or classes is None:
        return
    outside = ((examples.y < 0) | (examples.y >= classes)).nonzero().flatten().tolist()
    if outside:
        raise DataError(
            f"{len(outside)} labels are outside 0..{classes - 1}, the classes of the model, "
            f"first {examples.ids[outside[0]]!r} with {int(examples.y[outside[0]])}; correct or remove them."
        )
