"""What the commands share to talk to a person: progress with time left, warnings, one clear sentence on failure."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from rich.console import Console
from rich.logging import RichHandler
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

T = TypeVar("T")

FOUND_NOTHING, FOUND_ANOMALIES, FAILED, INTERRUPTED = 0, 1, 2, 130

messages = Console(stderr=True)
"""Progress and messages; standard output is left to results."""

results = Console()


def show_log() -> None:
    """Send the library's log to the terminal."""
    logger = logging.getLogger("anomech")
    logger.handlers = [RichHandler(console=messages, show_time=False, show_level=False, show_path=False)]
    logger.setLevel(logging.INFO)


def track(steps: Iterable[T], description: str, total: int) -> Iterator[T]:
    """A progress bar with the time left."""
    with progress_bar() as progress:
        yield from progress.track(steps, total=total, description=description)


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """The one look of every progress bar."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    quiet = not messages.is_terminal
    left = (TextColumn("left"), TimeRemainingColumn())
    with Progress(*columns, *left, console=messages, transient=True, disable=quiet) as progress:
        yield progress
