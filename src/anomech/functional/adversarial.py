"""Perturbations of bounded size that raise a loss."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from anomech.errors import SettingsError


def l2_ascent(
    loss: Callable[[Tensor], Tensor], x: Tensor, *, radius: float, steps: int, step_size: float | None = None
) -> Tensor:
    """Images near `x` with a higher loss, by projected gradient ascent (Madry et al. 2018, arXiv 1706.06083).

    Every step goes along the gradient of each image, then back into the ball and into [0, 1]. It starts at `x` itself.

    Args:
        loss: Losses `[n]` of images `[n, ...]`, that of an image depending on no other.
        x: Images `[n, ...]` in [0, 1].
        radius: Largest L2 norm of what is added to an image.
        steps: Number of steps.
        step_size: Length of a step; by default 2.5 * radius / steps, which reaches every point of the ball.

    Returns:
        The perturbed images `[n, ...]`.

    Raises:
        SettingsError: The radius is not positive, or there is no step.
    """
    if radius <= 0 or steps < 1:
        raise SettingsError(f"adversarial images need a radius above 0 and a step; got {radius:g} and {steps} steps.")
    length = 2.5 * radius / steps if step_size is None else step_size
    found = x.detach()
    for _ in range(steps):
        found = found.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(loss(found).sum(), found)
        moved = found.detach() + length * gradient / _norms(gradient).clamp(min=1e-12)
        shift = moved - x
        found = (x + shift * (radius / _norms(shift).clamp(min=radius))).clamp(0, 1)
    return found.detach()


def _norms(x: Tensor) -> Tensor:
    """L2 norm of each image, `[n, 1, ...]`."""
    norms: Tensor = torch.linalg.vector_norm(x, dim=tuple(range(1, x.ndim)), keepdim=True)
    return norms
