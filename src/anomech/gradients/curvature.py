"""Curvature of the loss in the coordinates of the sketches, and whitening by it."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.func import hessian, vmap

from anomech.errors import ModelError
from anomech.tasks import Task

DIRECTIONS = 8
"""Largest number of directions of output space that the loss of one example is taken to curve in."""

OUTPUTS = 4096
"""Largest number of outputs an example whose Hessian is formed."""


def gauss_newton_cotangents(task: Task, outputs: Tensor) -> list[Tensor]:
    """Vectors `v` with `sum_k v_k v_k^T` the Hessian of each loss in its outputs, the largest directions first.

    Pulled back to the parameters they are the factors of the Gauss-Newton matrix `J^T H J` (Schraudolph 2002).

    Args:
        task: Its loss is that of the model's own output.
        outputs: `[n, ...]`.

    Returns:
        At most `DIRECTIONS` tensors like `outputs`.

    Raises:
        ModelError: There are too many outputs an example.
    """
    if outputs[0].numel() > OUTPUTS:
        raise ModelError(
            f"the model has {outputs[0].numel():,} outputs an input, too many for curvature; set preconditioner=none."
        )
    exact = outputs.cpu().double()
    targets = task.own_output(exact)
    curvature = vmap(hessian(lambda one, target: task.loss(one[None], target[None])[0]))(exact, targets)
    size = exact[0].numel()
    values, vectors = torch.linalg.eigh(curvature.reshape(-1, size, size))
    kept = min(DIRECTIONS, size)
    factors = vectors[..., -kept:] * values[:, None, -kept:].clamp_min(0).sqrt()
    return [factors[..., -1 - i].reshape(outputs.shape).to(outputs) for i in range(kept)]


def whitening(curvature: Tensor, *, gamma: float, nbeta: float, diagonal: bool) -> Tensor:
    """`(nbeta H + gamma I)^(-1/2)` `[d, d]` of a curvature `[d, d]`, or of its diagonal alone."""
    if diagonal:
        return (nbeta * curvature.diagonal() + gamma).rsqrt().diag()
    values, vectors = torch.linalg.eigh(curvature)
    root: Tensor = (vectors * (nbeta * values.clamp_min(0) + gamma).rsqrt()) @ vectors.T
    return root
