"""Rows of text from JSONL and Parquet files, and from folders of Hugging Face datasets."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from anomech.errors import DataError
from anomech.io.parquet import read_arrow, read_table


@dataclass(frozen=True, kw_only=True)
class Row:
    """A row of a file.

    Attributes:
        where: Where it stands in the file.
        id: Its name; by default its position.
        anomalous: Ground truth, if that is known.
        values: All its columns.
    """

    where: str
    id: str
    anomalous: bool | None
    values: dict[str, Any]

    def text(self, column: str) -> str:
        """What is written in a column.

        Raises:
            DataError: It is missing, no text or empty.
        """
        return checked_text(self.where, column, self.values.get(column))


def read_rows(path: Path, column: str, others: Sequence[str]) -> list[Row]:
    """The rows of a file.

    Args:
        path: `.jsonl`, `.parquet`, or the folder of one split of a Hugging Face dataset, with the `.arrow` files of
            `save_to_disk` or the `.parquet` files of the hub. It may have the columns `id`, and in every row or none
            `anomalous` (bool).
        column: The column that matters, and the singular of what it holds.
        others: Further columns that there may be.

    Raises:
        DataError: The file is missing, damaged, of another kind or empty, a column is unknown, `id` or `anomalous` of
            the wrong type or not in every row, or an id occurs twice.
    """
    accepted = f"a .jsonl or .parquet file, or the folder of a dataset, with a column `{column}`"
    readers = {".jsonl": _json_lines, ".parquet": _parquet_rows}
    if not path.exists():
        raise DataError(f"no such file; give {accepted}.")
    if path.is_file() and path.suffix.lower() not in readers:
        raise DataError(f"files of type {path.suffix!r} hold no {column}s for a language model; give {accepted}.")
    columns = (column, *others, "id", "anomalous")
    found = _dataset_rows(path) if path.is_dir() else readers[path.suffix.lower()](path)
    rows = [_row(where, str(i), values, columns) for i, (where, values) in enumerate(found)]
    if not rows:
        raise DataError(f"no {column}s; at least one is needed.")
    if len({row.anomalous is None for row in rows}) > 1:
        raise DataError("`anomalous` is missing in some rows; give it in every row or in none.")
    name, times = Counter(row.id for row in rows).most_common(1)[0]
    if times > 1:
        raise DataError(f"the id {name!r} occurs {times} times; give each row its own.")
    return rows


def truth(anomalous: Sequence[bool | None]) -> Tensor | None:
    """Ground truth of rows, bool `[n]`, which is known of all of them or of none."""
    return None if None in anomalous else torch.tensor(anomalous)


def checked_text(where: str, column: str, value: Any) -> str:
    """The value of a column, which must be text.

    Raises:
        DataError: It is missing, no text or empty.
    """
    if value is None:
        raise DataError(f"{where} has no {column}; fill it in or remove the row.")
    if not isinstance(value, str):
        raise DataError(f"the {column} in {where} is a {type(value).__name__}; give text.")
    if not value.strip():
        raise DataError(f"the {column} in {where} is empty; fill it in or remove the row.")
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise DataError(f"the {column} in {where} holds half of a character; correct it.")
    return value


def _json_lines(path: Path) -> Iterator[tuple[str, Any]]:
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise DataError(f"the file is not UTF-8 ({error}); save it as such.") from error
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                yield f"line {number}", json.loads(line)
            except (ValueError, RecursionError) as error:
                cause = error.msg if isinstance(error, json.JSONDecodeError) else error
                raise DataError(f"line {number} is not JSON ({cause}); correct or remove it.") from error


def _parquet_rows(path: Path) -> Iterator[tuple[str, Any]]:
    for number, row in enumerate(read_table(path).to_pylist()):
        yield f"row {number}", row


def _dataset_rows(folder: Path) -> Iterator[tuple[str, Any]]:
    """Of the parts of one split, in the order of their names."""
    parts = [(path, read_arrow) for path in sorted(folder.glob("*.arrow"))]
    parts = parts or [(path, read_table) for path in sorted(folder.glob("*.parquet"))]
    if not parts:
        raise DataError("the folder holds no .arrow or .parquet files; name the folder of one split of a dataset.")
    for path, read in parts:
        for number, row in enumerate(read(path).to_pylist()):
            yield f"row {number} of {path.name}", row


def _row(where: str, name: str, values: Any, columns: Sequence[str]) -> Row:
    if not isinstance(values, dict):
        raise DataError(f'{where} is no object; write each row as {{"{columns[0]}": "..."}}.')
    if unknown := values.keys() - set(columns):
        raise DataError(
            f"{where} has a column {min(unknown)!r}; rename or remove it, the columns are {', '.join(columns)}."
        )
    given, anomalous = values.get("id"), values.get("anomalous")
    if given is not None and (isinstance(given, bool) or not isinstance(given, str | int)):
        raise DataError(f"the id in {where} is a {type(given).__name__}; give a string or an integer.")
    if not isinstance(anomalous, bool | None):
        raise DataError(f"`anomalous` in {where} is a {type(anomalous).__name__}; give true or false.")
    return Row(where=where, id=name if given is None else str(given), anomalous=anomalous, values=values)
