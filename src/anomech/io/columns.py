"""Examples out of pixels and the raw columns of a file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from anomech.errors import DataError
from anomech.examples import Examples


def assemble(x: Tensor, columns: Mapping[str, NDArray[Any]]) -> Examples:
    """Examples from inputs and what a file says about them.

    Args:
        x: Inputs, float `[n, channels, height, width]`.
        columns: Any of `y`, `ids`, `anomalous` and `target`, each `[n]`, as they came from the file.

    Raises:
        DataError: A column of another length, or with values of the wrong kind.
    """
    for name, values in columns.items():
        if values.shape != (len(x),):
            raise DataError(f"{name!r} has shape {list(values.shape)}, expected [{len(x)}], one value for each input.")
    ids = tuple(str(name) for name in columns.get("ids", np.arange(len(x))).tolist())
    integers = {name: _integers(name, columns[name], ids) for name in ("y", "target") if name in columns}
    anomalous = _flags("anomalous", columns["anomalous"]) if "anomalous" in columns else None
    return Examples(x=x, ids=ids, anomalous=anomalous, **integers)


def _integers(name: str, values: NDArray[Any], ids: tuple[str, ...]) -> Tensor:
    if values.dtype.kind not in "iuf":
        raise DataError(f"{name!r} holds values of type {values.dtype}; it must hold integers, one for each input.")
    wrong = np.flatnonzero(~(np.isfinite(values) & (np.rint(values) == values)))
    if len(wrong):
        raise DataError(
            f"{name!r} must hold integers, but {len(wrong)} values are missing or fractional, "
            f"first {ids[wrong[0]]!r} with {values[wrong[0]]}; correct or remove them."
        )
    return torch.from_numpy(values.astype(np.int64))


def _flags(name: str, values: NDArray[Any]) -> Tensor:
    if values.dtype != np.bool_:
        raise DataError(f"{name!r} holds values of type {values.dtype}; it must hold True or False for each input.")
    return torch.from_numpy(values.copy())
