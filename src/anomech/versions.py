"""Versions of everything that a result depends on."""

from __future__ import annotations

import platform
from importlib.metadata import version

PACKAGES = ("anomech", "torch", "numpy", "scipy", "scikit-learn", "safetensors")


def versions() -> dict[str, str]:
    """Python's and each package's version."""
    return {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}}
