"""Parquet files with encoded images, as Hugging Face datasets writes them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from anomech.errors import DataError
from anomech.examples import Examples
from anomech.io.columns import assemble
from anomech.io.images import decode_images

COLUMNS = {"label": "y", "y": "y", "id": "ids", "anomalous": "anomalous", "target": "target"}


def read_parquet(path: Path, *, side: int | None = None) -> Examples:
    """Examples from the columns of a `.parquet` file.

    Images are encoded files in a column of binaries or of structs with a field `bytes`: the one called `image` or
    `img`, or else the only one. Optional are `label` or `y` (true classes), `id` (names), `anomalous` (bool) and
    `target` (classes, or -1). With `side` the images are resized to that height and width.

    Raises:
        DataError: The file is damaged, has no or several image columns, or holds images or values that cannot be used.
    """
    table = read_table(path)
    image_column = _image_column(table.schema)
    x = decode_images(_images(table.column(image_column).to_pylist()), side=side)
    present = [name for name in COLUMNS if name in table.column_names and name != image_column]
    if {"label", "y"} <= set(present):
        raise DataError("both columns `label` and `y` are there; keep the one that holds the true classes.")
    return assemble(x, {COLUMNS[name]: table.column(name).to_numpy() for name in present})


def read_arrow(path: Path) -> pa.Table:
    """All columns of an `.arrow` file, as the datasets library keeps them.

    Raises:
        DataError: The file is damaged.
    """
    try:
        with pa.memory_map(str(path)) as source, pa.ipc.open_stream(source) as stream:
            return stream.read_all()
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path.name} is truncated or not arrow ({error}); save the dataset again.") from error


def read_table(path: Path) -> pa.Table:
    """All columns of a `.parquet` file.

    Raises:
        DataError: The file is damaged.
    """
    try:
        with pq.ParquetFile(path) as file:
            return file.read()
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path.name} is truncated or not parquet ({error}); write or download it again.") from error


def _image_column(schema: pa.Schema) -> str:
    candidates: list[str] = [field.name for field in schema if _holds_images(field.type)]
    chosen = [name for name in candidates if name in ("image", "img")] or candidates
    if len(chosen) != 1:
        raise DataError(
            f"{len(chosen)} columns of encoded images among {schema.names}; expected one of type binary or "
            "struct with `bytes`, or several of which one is called 'image'."
        )
    return chosen[0]


def _holds_images(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        return any(field.name == "bytes" and _holds_images(field.type) for field in kind)
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _images(cells: list[Any]) -> Iterator[tuple[str, bytes]]:
    for row, cell in enumerate(cells):
        data = cell["bytes"] if isinstance(cell, dict) else cell
        if data is None:
            raise DataError(f"row {row} has no image bytes; embed the images into the file or remove the row.")
        yield f"row {row}", data
