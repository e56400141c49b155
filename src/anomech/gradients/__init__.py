"""Per-sample gradients, projected layer by layer."""

from anomech.gradients.sketcher import GradientSketcher

__all__ = ["GradientSketcher"]
