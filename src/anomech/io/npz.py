"""NumPy archives."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from anomech.errors import DataError
from anomech.examples import Examples
from anomech.io.columns import assemble
from anomech.io.images import to_unit

NAMES = ("x", "y", "ids", "anomalous", "target")


def read_npz(path: Path) -> Examples:
    """Examples from the arrays of an `.npz` file.

    `x` is uint8 `[n, height, width, channels]` or `[n, height, width]`, or float `[n, channels, height, width]` in
    [0, 1]. Optional, each `[n]`: `y` (true classes), `ids` (names), `anomalous` (bool) and `target` (classes, or -1).

    Raises:
        DataError: The file is damaged or holds Python objects, or an array is missing, misshapen or out of range.
    """
    arrays = _arrays(path)
    if "x" not in arrays:
        raise DataError("no array `x`; save the inputs under that name: np.savez(path, x=..., y=...).")
    pixels = arrays.pop("x")
    x = _from_bytes(pixels) if pixels.dtype == np.uint8 else _from_floats(pixels)
    return assemble(torch.from_numpy(np.ascontiguousarray(x)), arrays)


def _arrays(path: Path) -> dict[str, NDArray[Any]]:
    with path.open("rb") as file:
        complete = zipfile.is_zipfile(file)
    if not complete:
        raise DataError("the file is truncated or not an .npz archive; save it again with np.savez.")
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in NAMES if name in archive.files}
    except ValueError as error:
        raise DataError(
            f"an array is damaged or holds Python objects, which need pickle and can run code ({error}); "
            "save arrays of numbers and strings."
        ) from error
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise DataError(f"the file is damaged ({error}); save it again with np.savez.") from error


def _from_bytes(pixels: NDArray[Any]) -> NDArray[np.float32]:
    if pixels.ndim == 3:
        pixels = pixels[..., None]
    if pixels.ndim != 4 or pixels.shape[3] not in (1, 3):
        raise DataError(
            f"uint8 `x` has shape {list(pixels.shape)}; expected [n, height, width] "
            "or [n, height, width, channels] with 1 or 3 channels."
        )
    return to_unit(pixels.transpose(0, 3, 1, 2))


def _from_floats(pixels: NDArray[Any]) -> NDArray[np.float32]:
    if pixels.dtype.kind != "f":
        raise DataError(f"`x` holds values of type {pixels.dtype}; expected uint8, or floats in [0, 1].")
    if pixels.ndim != 4:
        raise DataError(f"float `x` has shape {list(pixels.shape)}; expected [n, channels, height, width].")
    # NaN compares false; Examples reports it with the ids.
    if ((pixels < 0) | (pixels > 1)).any():
        raise DataError(
            f"float `x` ranges from {np.nanmin(pixels):g} to {np.nanmax(pixels):g}, expected [0, 1]; "
            "divide 8-bit pixels by 255, and leave normalisation to the model."
        )
    return pixels.astype(np.float32)
