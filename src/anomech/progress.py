"""How long-running work reports progress: the caller hands in a way to wrap an iterable."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, TypeVar

T = TypeVar("T")


class Track(Protocol):
    """Wraps an iterable whose items are steps of the work that `description` names."""

    def __call__(self, steps: Iterable[T], description: str, total: int) -> Iterable[T]:
        """The same items, reported as they pass."""


def silent(steps: Iterable[T], description: str, total: int) -> Iterable[T]:
    """Report nothing."""
    return steps
