"""Files and folders that appear at once or not at all."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from anomech.disk import disk_errors


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """A temporary path in the folder of `path` to write to; it becomes `path` unless an error is raised.

    Args:
        path: The file to write; an existing one is replaced. Parent folders are created.

    Yields:
        The path to write to, with the suffix of `path`.

    Raises:
        StorageError: The disk is full or `path` cannot be written.
    """
    path = path.resolve()
    with disk_errors(path):
        partial = _partial(path, path.suffix)
        try:
            yield partial
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)


@contextmanager
def atomic_directory(path: Path) -> Iterator[Path]:
    """A hidden folder beside `path` to write into; it becomes `path` unless an error is raised.

    Args:
        path: The folder to write; an existing one is replaced as a whole. Parent folders are created.

    Yields:
        The folder to write into, empty at first.

    Raises:
        StorageError: The disk is full or `path` cannot be written.
    """
    path = path.resolve()
    with disk_errors(path):
        if path.exists() and not path.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path))
        partial = _partial(path)
        try:
            partial.mkdir()
            yield partial
            _swap(partial, path)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def _partial(path: Path, suffix: str = "") -> Path:
    """A free name beside `path` that tells which process writes; what dead processes left there is removed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    prefix = f".{path.name}.partial-"
    for entry in path.parent.iterdir():
        pid = entry.name.removeprefix(prefix).split(".")[0]
        if entry.name.startswith(prefix) and pid.isdecimal() and not _is_other_process(int(pid)):
            _discard(entry, path)
    return path.parent / f"{prefix}{os.getpid()}{suffix}"


def _is_other_process(pid: int) -> bool:
    # Process ids repeat, in containers at once: what bears our own was left by a dead predecessor.
    return pid != os.getpid() and psutil.pid_exists(pid)


def _discard(entry: Path, path: Path) -> None:
    if not entry.is_dir():
        entry.unlink()
    elif entry.suffix == ".old" and not path.exists():
        entry.replace(path)
    else:
        shutil.rmtree(entry)


def _swap(partial: Path, path: Path) -> None:
    aside = partial.with_name(f"{partial.name}.old")
    try:
        if path.exists():
            path.replace(aside)
        partial.replace(path)
    except BaseException:
        if aside.exists() and not path.exists():
            aside.replace(path)
        raise
    shutil.rmtree(aside, ignore_errors=True)
