"""Stochastic gradient Langevin dynamics around the trained weights: the published estimator, and its plain form."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from anomech.errors import ChainError, SettingsError
from anomech.examples import Examples
from anomech.functional.langevin import langevin_step_, rmsprop_preconditioner_
from anomech.sampling.base import Sampler
from anomech.sampling.curvature import largest_curvature
from anomech.sampling.flat import FlatModel
from anomech.tasks import Task

CONTRACTION = 0.25
"""Share c of the way back to the mode that a default step takes in the stiffest direction.

Above 2 a chain diverges; below, its variance there is 2 / (2 - c) times that of the posterior, here 1.14 times.
"""

CURVATURE_EXAMPLES = 1024


@dataclass(frozen=True, kw_only=True)
class LangevinSampler(Sampler):
    """Samples `p(w) ~ exp(-nbeta L(w) - gamma/2 |w - w*|^2)` with gradients of minibatches.

    Attributes:
        gamma: Strength of the localisation; a flat direction tends to a standard deviation of gamma^-1/2 per weight.
        nbeta: Inverse temperature times the number of samples; weighs the loss against the localisation.
        step_size: Step size; None bounds it by the largest curvature of the loss, so that no direction diverges.
        burn_in: Steps of each chain before the first draw.
        thin: Steps between draws.
        batch_size: Examples a gradient is taken on.
        batch_norm: "train" lets gradients use batch statistics and moves the running statistics, as the published
            pipeline does; "frozen" keeps both as trained.
    """

    needs_examples: ClassVar[bool] = True

    gamma: float = 10_000.0
    nbeta: float = 100.0
    step_size: float | None = None
    burn_in: int = 50
    thin: int = 4
    batch_size: int = 64
    batch_norm: Literal["train", "frozen"] = "train"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.gamma > 0 or not self.nbeta >= 0 or not (self.step_size is None or self.step_size > 0):
            raise SettingsError("gamma and step_size must be positive, and nbeta must not be negative.")
        if self.burn_in < 0 or self.thin < 1 or self.batch_size < 1:
            raise SettingsError("burn_in must not be negative, and thin and batch_size must be at least 1.")
        if self.batch_norm not in ("train", "frozen"):
            raise SettingsError(f'batch_norm must be "train" or "frozen", got {self.batch_norm!r}.')

    @property
    def steps(self) -> int:
        """Steps of one chain."""
        return self.burn_in + self.draws * self.thin

    @property
    def gradient_passes(self) -> int:
        """Inputs that all chains pass forward and backward together."""
        return self.chains * self.steps * self.batch_size

    @property
    @abstractmethod
    def largest_preconditioner(self) -> float:
        """Largest entry that the preconditioner can reach."""

    @abstractmethod
    def preconditioners(self, flat: FlatModel) -> Iterator[Tensor]:
        """The preconditioner of each step, from the gradient that `flat` holds then."""

    def safe_step_size(self, task: Task, examples: Examples) -> float:
        """`step_size`, or the one whose contraction in the stiffest direction is `CONTRACTION`."""
        if self.step_size is not None:
            return self.step_size
        order = torch.randperm(len(examples), generator=torch.Generator().manual_seed(self.seed))
        curvature = largest_curvature(
            task,
            examples[order[:CURVATURE_EXAMPLES]],
            batch_size=self.batch_size,
            parameters=self.parameters,
            train_batch_norm=self.batch_norm == "train",
            seed=self.seed,
        )
        stiffness = self.nbeta * curvature + self.gamma
        return 2 * CONTRACTION / (self.largest_preconditioner * stiffness)

    def draw(self, task: Task, examples: Examples | None) -> Iterator[FlatModel]:
        """The model at every kept draw.

        Raises:
            SettingsError: No examples are given, or they have no labels.
            ChainError: The loss or the weights become NaN or infinite.
        """
        if examples is None:
            raise SettingsError(f"{type(self).__name__} needs labelled examples to take gradients on.")
        _labels(examples)
        step_size = self.safe_step_size(task, examples)
        for chain in range(self.chains):
            flat = FlatModel(task.model, self.parameters)
            flat.set_batch_norm_training(self.batch_norm == "train")
            for step, loss in enumerate(self._walk(task, flat, examples, step_size, self.seed + chain), start=1):
                if not torch.isfinite(loss):
                    raise ChainError(
                        f"chain {chain + 1} diverged at step {step} of {self.steps} (loss {loss:.3g}) with step_size "
                        f"{step_size:.3g}; leave step_size unset to have it bounded by the curvature, or raise gamma."
                    )
                if step > self.burn_in and (step - self.burn_in) % self.thin == 0:
                    flat.set_batch_norm_training(False)
                    yield flat
                    flat.set_batch_norm_training(self.batch_norm == "train")

    def _walk(self, task: Task, flat: FlatModel, examples: Examples, step_size: float, seed: int) -> Iterator[Tensor]:
        """Take every step of one chain; yields the minibatch loss that each started from."""
        anchor = flat.weights.clone()
        labels = _labels(examples)
        generator = torch.Generator().manual_seed(seed)
        noise_generator = torch.Generator(device=anchor.device).manual_seed(seed)
        preconditioners = self.preconditioners(flat)
        batches = _minibatches(len(examples), self.batch_size, generator)
        for _ in range(self.steps):
            batch = next(batches)
            flat.gradient.zero_()
            loss = task.mean_loss(flat.model, examples.x[batch], labels[batch])
            loss.backward()
            langevin_step_(
                flat.weights,
                flat.gradient,
                anchor,
                torch.randn(anchor.shape, generator=noise_generator, device=anchor.device),
                next(preconditioners),
                step_size=step_size,
                nbeta=self.nbeta,
                gamma=self.gamma,
            )
            yield loss.detach()


@dataclass(frozen=True, kw_only=True)
class SGLD(LangevinSampler):
    """Plain SGLD (Welling and Teh 2011)."""

    @property
    def largest_preconditioner(self) -> float:
        """Always 1."""
        return 1.0

    def preconditioners(self, flat: FlatModel) -> Iterator[Tensor]:
        """Always 1."""
        one = flat.weights.new_ones(())
        while True:
            yield one


@dataclass(frozen=True, kw_only=True)
class RMSpropSGLD(LangevinSampler):
    """RMSprop-preconditioned SGLD (arXiv 1512.07666), the sampler of arXiv 2604.18970.

    Attributes:
        alpha: Decay of the running mean of squared gradients.
        epsilon: Added to its root; the preconditioner is at most 1 / epsilon.
    """

    alpha: float = 0.99
    epsilon: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.epsilon > 0 or not 0 <= self.alpha < 1:
            raise SettingsError("epsilon must be positive, and alpha at least 0 and below 1.")

    @property
    def largest_preconditioner(self) -> float:
        """Bound of `1 / (sqrt(squares) + epsilon)`."""
        return 1 / self.epsilon

    @classmethod
    def paper(cls, *, seed: int = 0) -> RMSpropSGLD:
        """The published settings (arXiv 2604.18970, section 5.1): 2,000 draws of one chain, the first 250 dropped."""
        return cls(chains=1, draws=1750, burn_in=250, thin=1, step_size=1e-6, batch_size=256, seed=seed)

    def preconditioners(self, flat: FlatModel) -> Iterator[Tensor]:
        """The inverse root of the running mean of squared gradients."""
        squares = torch.zeros_like(flat.gradient)
        while True:
            yield rmsprop_preconditioner_(squares, flat.gradient, alpha=self.alpha, epsilon=self.epsilon)


def _labels(examples: Examples) -> Tensor:
    if examples.y is None:
        raise SettingsError("the examples that gradients are taken on need labels.")
    return examples.y


def _minibatches(n: int, size: int, generator: torch.Generator) -> Iterator[Tensor]:
    while True:
        yield from (b for b in torch.randperm(n, generator=generator).split(size) if len(b) == min(size, n))
