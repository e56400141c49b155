"""Versions of everything that a result depends on, and where it was computed."""

from __future__ import annotations

import platform
from importlib.metadata import version

import torch

PACKAGES = ("anomech", "torch", "numpy", "scipy", "scikit-learn", "safetensors")


def versions() -> dict[str, str]:
    """Python's and each package's version."""
    return {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}}


def device() -> str:
    """Where models run unless it is said otherwise."""
    return f"cuda ({torch.cuda.get_device_name()})" if torch.cuda.is_available() else "cpu"
