"""A temporary folder for what fitting writes, and the removal of those that killed processes left."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import psutil

PREFIX = "anomech-"


def workspace() -> tempfile.TemporaryDirectory[str]:
    """A new temporary folder that bears this process's number; those of dead processes are removed."""
    for entry in Path(tempfile.gettempdir()).glob(f"{PREFIX}*-*"):
        pid = entry.name.removeprefix(PREFIX).split("-")[0]
        if pid.isdecimal() and not psutil.pid_exists(int(pid)):
            shutil.rmtree(entry, ignore_errors=True)
    return tempfile.TemporaryDirectory(prefix=f"{PREFIX}{os.getpid()}-")
