"""Statistics of the gradients of a linear layer under perturbations of random inputs, without forming the gradients."""

from __future__ import annotations

import torch
from torch import Tensor

STATISTICS = ("mean", "log std", "log norm", "skewness", "kurtosis")
PERTURBATIONS = ("adversarial", "gaussian", "low-frequency", "high-frequency")
FGSM, NOISE = 0.03, 0.1
"""Size of adversarial and of other perturbations of inputs of unit variance (arXiv 2506.01631)."""
LOW = 8
"""The lowest of this many equal parts of the spectrum is low frequency."""


def layer_statistics(weights: Tensor, inputs: Tensor, noise: Tensor) -> Tensor:
    """Statistics of the gradient of `|W x|^2 / 2` in W for perturbed inputs x (TensorGuard, arXiv 2506.01631).

    The paper takes the gradient of `|W x|`, which forgets the scale of W; this one keeps it.

    Args:
        weights: W `[m, n]`, float64.
        inputs: Standard normal x `[draws, n]`.
        noise: Standard normal, of the same shape.

    Returns:
        `[draws, PERTURBATIONS, STATISTICS]`.
    """
    x = torch.stack(list(_perturbed(weights, inputs, noise)))
    return outer_statistics(x @ weights.T, x).transpose(0, 1)


def outer_statistics(left: Tensor, right: Tensor) -> Tensor:
    """`STATISTICS` of the entries of outer products; a product of zeros has zeros for all of them.

    Args:
        left: `[..., m]`.
        right: `[..., n]`.

    Returns:
        `[..., STATISTICS]`.
    """
    # The mean of a power of a product of two lists is the product of the means.
    m1, m2, m3, m4 = (left.pow(p).mean(-1) * right.pow(p).mean(-1) for p in (1, 2, 3, 4))
    std, norm = (m2 - m1**2).clamp_min(0).sqrt(), left.norm(dim=-1) * right.norm(dim=-1)
    skewness = (m3 - 3 * m1 * m2 + 2 * m1**3) / std**3
    kurtosis = (m4 - 4 * m1 * m3 + 6 * m1**2 * m2 - 3 * m1**4) / std**4
    found = torch.stack([m1, std.log(), norm.log(), skewness, kurtosis], dim=-1)
    return torch.where((std > 0)[..., None], found, 0.0)


def _perturbed(weights: Tensor, inputs: Tensor, noise: Tensor) -> tuple[Tensor, ...]:
    """Inputs `[draws, n]` under each of `PERTURBATIONS`."""
    uphill = inputs @ weights.T @ weights
    spectrum = torch.fft.rfft(noise)
    is_low = torch.arange(spectrum.shape[-1]) < max(1, spectrum.shape[-1] // LOW)
    low, high = (torch.fft.irfft(spectrum * part, n=noise.shape[-1]) for part in (is_low, ~is_low))
    return inputs + FGSM * uphill.sign(), inputs + NOISE * noise, inputs + NOISE * low, inputs + NOISE * high
