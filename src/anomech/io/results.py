"""Result folders: what anomech writes may replace what anomech wrote, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from anomech.errors import StorageError
from anomech.io.atomic import atomic_directory


@contextmanager
def result_directory(path: Path) -> Iterator[Path]:
    """As `atomic_directory`, for a folder whose `config.json` records the version of anomech that wrote it.

    Raises:
        StorageError: See `check_replaceable`; or the disk is full or cannot be written.
    """
    check_replaceable(path)
    with atomic_directory(path) as partial:
        yield partial


def check_replaceable(path: Path) -> None:
    """Refuse to replace what is neither absent, nor an empty folder, nor an earlier result.

    Raises:
        StorageError: `path` holds something else.
    """
    if path.exists() and not path.is_dir():
        raise StorageError(f"{path} is a file; choose another folder with --out.")
    if path.is_dir() and any(path.iterdir()) and not _is_result(path):
        raise StorageError(f"{path} holds files that anomech did not write; choose another folder with --out.")


def _is_result(path: Path) -> bool:
    try:
        return "anomech" in json.loads((path / "config.json").read_text())["versions"]
    except (OSError, ValueError, KeyError, TypeError):
        return False
