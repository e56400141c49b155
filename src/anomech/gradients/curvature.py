"""Curvature of the loss in the coordinates of the sketches, and whitening by it."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.func import hessian, vmap

from anomech.errors import ModelError
from anomech.examples import Examples
from anomech.gradients.whole import require_gradient
from anomech.sampling.flat import FlatModel
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


def hessian_product(task: Task, examples: Examples) -> Callable[[Tensor], Tensor]:
    """The product of a vector `[parameters]`, on the CPU, with the Hessian of the mean loss on the examples.

    By two backward passes a batch (Pearlmutter 1994); the model is not changed.

    Args:
        task: Its model is copied.
        examples: Inputs; where they have no `y`, the model's own outputs are the targets.

    Raises:
        ModelError: The output has no gradient.
    """
    flat = FlatModel(task.model)
    weights = list(flat.model.parameters())
    targets = task.predict(examples) if examples.y is None else examples.y
    size = task.fitting(examples)

    def product(vector: Tensor) -> Tensor:
        total, vector = torch.zeros_like(flat.weights), vector.to(flat.weights)
        for x, y in zip(examples.x.split(size), targets.split(size), strict=True):
            loss = task.mean_loss(flat.model, x, y) * len(x) / len(examples)
            require_gradient(loss)
            gradient = torch.autograd.grad(loss, weights, create_graph=True, materialize_grads=True)
            slope = torch.cat([g.flatten() for g in gradient]) @ vector
            second = torch.autograd.grad(slope, weights, materialize_grads=True)
            total += torch.cat([s.flatten() for s in second])
        return total.cpu()

    return product


def whitening(curvature: Tensor, *, gamma: float, nbeta: float, diagonal: bool) -> Tensor:
    """`(nbeta H + gamma I)^(-1/2)` `[d, d]` of a curvature `[d, d]`, or of its diagonal alone."""
    if diagonal:
        return (nbeta * curvature.diagonal() + gamma).rsqrt().diag()
    values, vectors = torch.linalg.eigh(curvature)
    root: Tensor = (vectors * (nbeta * values.clamp_min(0) + gamma).rsqrt()) @ vectors.T
    return root
