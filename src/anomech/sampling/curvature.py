"""The largest curvature of a loss, which bounds the step that a sampler can take."""

from __future__ import annotations

import torch
from torch import Tensor

from anomech.sampling.flat import FlatModel
from anomech.tasks import Task


def largest_curvature(task: Task, x: Tensor, targets: Tensor, *, iterations: int = 15, seed: int = 0) -> float:
    """Largest absolute eigenvalue of the Hessian of the mean loss at the trained weights, by power iteration.

    Args:
        task: Task whose model and loss are meant.
        x: A batch of inputs `[n, ...]`.
        targets: Their labels `[n]`.
        iterations: Hessian-vector products.
        seed: Seed of the starting vector.
    """
    flat = FlatModel(task.model)
    parameters = list(flat.model.parameters())
    gradient = torch.autograd.grad(task.mean_loss(flat.model, x, targets), parameters, create_graph=True)
    generator = torch.Generator(device=flat.weights.device).manual_seed(seed)
    vector = torch.randn(flat.weights.shape, generator=generator, device=flat.weights.device)
    curvature = 0.0
    for _ in range(iterations):
        vector /= vector.norm().clamp_min(torch.finfo(vector.dtype).tiny)
        pieces = [v.view_as(p) for v, p in zip(vector.split([p.numel() for p in parameters]), parameters, strict=True)]
        task.cost.forward_passes += 2 * len(x)
        product = torch.autograd.grad(gradient, parameters, grad_outputs=pieces, retain_graph=True)
        vector = torch.cat([p.flatten() for p in product])
        curvature = float(vector.norm())
    return curvature
