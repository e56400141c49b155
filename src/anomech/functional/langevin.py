"""One step of Langevin dynamics around trained weights. Everything is one flat vector `[parameters]`."""

from __future__ import annotations

from torch import Tensor


def langevin_step_(
    weights: Tensor,
    gradient: Tensor,
    anchor: Tensor,
    noise: Tensor,
    preconditioner: Tensor,
    *,
    step_size: float,
    nbeta: float,
    gamma: float,
) -> Tensor:
    """Move `weights` in place by one preconditioned step towards `exp(-nbeta L(w) - gamma/2 |w - anchor|^2)`.

    `w <- w - step_size/2 * G * (nbeta * g + gamma * (w - w*)) + sqrt(step_size * G) * noise`

    Source: Li et al. 2016 (arXiv 1512.07666), without the curvature term, as arXiv 2604.18970 uses it.

    Args:
        weights: Current weights, changed in place.
        gradient: Gradient of the mean loss at `weights`.
        anchor: Trained weights `w*`.
        noise: Standard normal.
        preconditioner: `G`: its diagonal `[parameters]`, or one number for all, `[]`.
        step_size: Step size.
        nbeta: Inverse temperature times the number of samples.
        gamma: Strength of the localisation.

    Returns:
        `weights`.
    """
    drift = (weights - anchor).mul_(gamma).add_(gradient, alpha=nbeta).mul_(preconditioner)
    return weights.sub_(drift, alpha=step_size / 2).addcmul_(noise, preconditioner.sqrt(), value=step_size**0.5)


def rmsprop_preconditioner_(squares: Tensor, gradient: Tensor, *, alpha: float, epsilon: float) -> Tensor:
    """Update the running mean of squared gradients in place and return `G = 1 / (sqrt(squares) + epsilon)`."""
    squares.mul_(alpha).addcmul_(gradient, gradient, value=1 - alpha)
    return squares.sqrt().add_(epsilon).reciprocal_()
