"""The largest curvature of a loss, which bounds the step that a sampler can take."""

from __future__ import annotations

import torch
from torch import Tensor

from anomech.examples import Examples
from anomech.sampling.flat import FlatModel
from anomech.tasks import Task

STEP = 0.01
"""Length of the steps to either side over which a gradient is differenced."""


def largest_curvature(
    task: Task,
    examples: Examples,
    *,
    batch_size: int,
    parameters: str = "all",
    train_batch_norm: bool = False,
    iterations: int = 15,
    seed: int = 0,
) -> float:
    """Largest absolute eigenvalue of the Hessian of the mean loss at the trained weights, by power iteration.

    Hessian-vector products are central differences of the gradient, so that no layer needs a second derivative.

    Args:
        task: Task whose model and loss are meant.
        examples: Labelled inputs `[n, ...]` over whose batches the loss is averaged.
        batch_size: Inputs a batch.
        parameters: Which parameters the Hessian is of, as `select_parameters` takes it.
        train_batch_norm: Whether batch normalisation uses batch statistics, as in the chain that is to be bounded.
        iterations: Hessian-vector products.
        seed: Seed of the starting vector.
    """
    flat = FlatModel(task.model, parameters)
    flat.set_batch_norm_training(train_batch_norm)
    anchor = flat.weights.clone()
    generator = torch.Generator(device=anchor.device).manual_seed(seed)
    vector = torch.randn(anchor.shape, generator=generator, device=anchor.device)
    curvature = 0.0
    for _ in range(iterations):
        vector /= vector.norm().clamp_min(torch.finfo(vector.dtype).tiny)
        ahead = _gradient(task, flat, anchor + STEP * vector, examples, batch_size)
        behind = _gradient(task, flat, anchor - STEP * vector, examples, batch_size)
        vector = (ahead - behind) / (2 * STEP)
        curvature = float(vector.norm())
    return curvature


def _gradient(task: Task, flat: FlatModel, weights: Tensor, examples: Examples, batch_size: int) -> Tensor:
    flat.weights.copy_(weights)
    flat.gradient.zero_()
    for batch in examples.blocks(batch_size):
        assert batch.y is not None
        (task.mean_loss(flat.model, batch.x, batch.y) * len(batch) / len(examples)).backward()
    return flat.gradient.clone()
