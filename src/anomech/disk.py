"""A disk that is full or refuses to be written, in one sentence."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from anomech.errors import StorageError

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
REFUSED = {
    errno.EACCES,
    errno.EEXIST,
    errno.EISDIR,
    errno.ENAMETOOLONG,
    errno.ENOTDIR,
    errno.EPERM,
    errno.EROFS,
}


@contextmanager
def disk_errors(path: Path, *, choose: str = "--out") -> Iterator[None]:
    """Turn the failure of what writes to `path` into a `StorageError` that says what to do.

    Args:
        path: What is written.
        choose: Where the user says that it is to lie somewhere else.

    Raises:
        StorageError: The disk is full or cannot be written.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in FULL | REFUSED:
            raise
        remedy = "free some space or choose" if error.errno in FULL else "choose"
        message = f"cannot write {path}: {os.strerror(error.errno)}; {remedy} another folder with {choose}."
        raise StorageError(message) from error
    except SafetensorError as error:
        message = f"cannot write {path}: {error}; free some space or choose another folder with {choose}."
        raise StorageError(message) from error
