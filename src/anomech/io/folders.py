"""Folders of images."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from anomech.errors import DataError
from anomech.examples import Examples
from anomech.io.images import decode_images
from anomech.progress import Track, silent

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".pgm", ".ppm", ".tif", ".tiff", ".webp")


def read_folder(
    folder: Path,
    classes: Callable[[Tensor], int] | None = None,
    *,
    side: int | None = None,
    track: Track = silent,
) -> Examples:
    """Images in one subfolder per class, or directly in `folder` and then without labels.

    Files of other types and hidden files are ignored. Subfolders that are all named by an integer have that class;
    otherwise the class is the position of the name in sorted order.

    Args:
        folder: The folder.
        classes: Tells, from inputs `[n, ...]`, how many classes the model has; subfolders that have no integer names
            must be as many.
        side: Height and width that the images are resized to; by default they have to be equal already.
        track: How progress is reported.

    Returns:
        Examples whose ids are paths relative to `folder`.

    Raises:
        DataError: No images, images beside class subfolders, names that do not say the class, or unusable images.
    """
    flat = _images(folder)
    subfolders = sorted(f for f in folder.iterdir() if f.is_dir() and not f.name.startswith("."))
    nested = [image for subfolder in subfolders for image in _images(subfolder)]
    if not flat and not nested:
        raise DataError(f"no images; put some ({', '.join(SUFFIXES)}) into it or into one subfolder per class.")
    if flat and nested:
        raise DataError(
            f"{flat[0].name!r} lies beside class subfolders such as {nested[0].parent.name!r}; "
            "put all images into class subfolders, or none."
        )
    ids = tuple(image.relative_to(folder).as_posix() for image in flat + nested)
    files = ((name, (folder / name).read_bytes()) for name in ids)
    x = decode_images(track(files, f"reading {folder.name}", len(ids)), side=side)
    if flat:
        return Examples(x=x, ids=ids)
    class_of = _class_indices([f.name for f in subfolders], None if classes is None else classes(x[:1]))
    return Examples(x=x, ids=ids, y=torch.tensor([class_of[image.parent.name] for image in nested]))


def _images(folder: Path) -> list[Path]:
    return sorted(
        f for f in folder.iterdir() if f.suffix.lower() in SUFFIXES and not f.name.startswith(".") and f.is_file()
    )


def _class_indices(names: list[str], classes: int | None) -> dict[str, int]:
    if all(re.fullmatch(r"-?\d+", name) for name in names):
        return {name: int(name) for name in names}
    if classes is not None and len(names) != classes:
        raise DataError(
            f"{len(names)} class subfolders (such as {names[0]!r}) but the model has {classes} classes, "
            "so their order does not tell the class; name each subfolder by its class index (0, 1, ...)."
        )
    return {name: index for index, name in enumerate(names)}
