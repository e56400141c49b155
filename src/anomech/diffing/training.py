"""How a sparse autoencoder of activations is trained."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from anomech.diffing.cache import PairedActivations
from anomech.diffing.features import Pairs, without_sinks
from anomech.errors import DataError, SettingsError
from anomech.functional.dictionaries import (
    SHRUNK,
    badly_rebuilt,
    batch_top_k,
    fitting_scale,
    jump_relu,
    part_norms,
    top_k,
    variance_explained,
    weighted_l1,
)
from anomech.progress import Track

logger = logging.getLogger(__name__)

ACTIVATIONS = ("relu", "topk", "batchtopk")
WARM_UP, COOL_DOWN = 0.05, 0.2
"""Shares of the steps over which the rate, and the weight of sparsity, grow, and over which the rate falls to 0."""
GRADIENT_NORM = 1.0
"""What gradients are clipped to."""
DRAWN_ANEW = 10
"""Times, in the first three quarters of the steps, that features which were silent ever since are drawn anew."""
MEMORY = 10
"""Share of the steps, one of so many, that the mean of the smallest kept codes goes back at most."""
REPORTS = 20
HELD_OUT_ROWS = 8192
"""Most that reconstruction is measured on."""
MEMORY_BYTES = 2**30
"""Activations that are held, and mixed, at a time."""

View = Callable[[PairedActivations], Tensor]


@dataclass(frozen=True, kw_only=True)
class Training:
    """How a dictionary is learnt.

    Attributes:
        features: Size of the dictionary.
        activation: "relu" with a penalty on the codes; "topk", the k largest of each row; or "batchtopk", k a row on
            average over a batch, and afterwards whatever is above a threshold.
        k: Features a row.
        penalty: Weight of the codes under "relu", beside squared errors of rows whose mean squared norm is 1.
        steps: Steps of Adam.
        batch: Rows in each.
        rate: Learning rate.
        held_out: Share of the texts that is only measured on.
        dtype: What matrices are multiplied in while it is trained; bfloat16 takes half the time on processors that
            know it.
        seed: Seed of the weights, the batches and what is held out.
    """

    features: int = 2048
    activation: Literal["relu", "topk", "batchtopk"] = "batchtopk"
    k: int = 32
    penalty: float = 0.1
    steps: int = 2000
    batch: int = 256
    rate: float = 1e-3
    held_out: float = 0.1
    dtype: Literal["float32", "bfloat16"] = "float32"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.activation not in ACTIVATIONS:
            raise SettingsError(f"activation must be one of {', '.join(ACTIVATIONS)}, got {self.activation!r}.")
        for name in ("features", "k", "steps", "batch"):
            if getattr(self, name) < 1:
                raise SettingsError(f"{name} must be at least 1, got {getattr(self, name)}.")
        if self.k > self.features:
            raise SettingsError(f"k is {self.k} of {self.features} features; give fewer, or more features.")
        if not 0 < self.held_out < 1:
            raise SettingsError(f"held_out must be above 0 and below 1, got {self.held_out}.")
        if self.penalty < 0 or self.rate <= 0:
            raise SettingsError(f"penalty must be at least 0 and rate above it, got {self.penalty} and {self.rate}.")


@dataclass(frozen=True)
class Progress:
    """How good a dictionary is after a number of steps.

    Attributes:
        step: Steps so far.
        variance_explained: Share of the variance of held-out texts that it rebuilds.
        l0: Features a row that are active there, on average.
        dead: Share of the features that has been silent for as long as it takes to be drawn anew.
    """

    step: int
    variance_explained: float
    l0: float
    dead: float


class Autoencoder(nn.Module):
    """Weights of a sparse autoencoder of rows `[n, d]`, with features of unit norm.

    Source of the form: Bricken et al. 2023 (Towards monosemanticity).
    """

    def __init__(self, d: int, training: Training, generator: torch.Generator) -> None:
        super().__init__()
        self.training_settings = training
        directions = nn.functional.normalize(torch.randn(training.features, d, generator=generator), dim=1)
        self.W_dec = nn.Parameter(directions)
        self.W_enc = nn.Parameter(directions.T.contiguous().clone())
        self.b_enc = nn.Parameter(torch.zeros(training.features))
        self.b_dec = nn.Parameter(torch.zeros(d))
        self.register_buffer("threshold", torch.zeros(training.features))
        self.threshold: Tensor

    def pre_activations(self, rows: Tensor) -> Tensor:
        """`[n, m]`."""
        return (rows - self.b_dec) @ self.W_enc + self.b_enc

    def encode(self, rows: Tensor) -> Tensor:
        """Codes `[n, m]`, of each row by itself."""
        pre = self.pre_activations(rows)
        if self.training_settings.activation == "topk":
            return top_k(pre, self.training_settings.k)
        return jump_relu(pre, self.threshold)

    def encode_batch(self, rows: Tensor) -> Tensor:
        """Codes `[n, m]` as they are trained."""
        if self.training_settings.activation == "batchtopk":
            return batch_top_k(self.pre_activations(rows), self.training_settings.k)
        return self.encode(rows)

    def decode(self, codes: Tensor) -> Tensor:
        """Rows `[n, d]` of codes `[n, m]`."""
        return codes @ self.W_dec + self.b_dec

    @torch.no_grad()
    def normalise(self) -> None:
        """Give features unit norm, without which codes could be made small at no cost."""
        self.W_dec.data = nn.functional.normalize(self.W_dec, dim=1)

    @torch.no_grad()
    def rescale(self, scale: float) -> None:
        """Have it read rows that are `1 / scale` times as long; directions stay as they are."""
        for values in (self.b_enc.data, self.b_dec.data, self.threshold):
            values /= scale


def train(
    pairs: Pairs, view: View, training: Training, *, parts: int, device: torch.device, track: Track
) -> tuple[Autoencoder, list[Progress]]:
    """Learn a dictionary of what `view` makes of activations.

    Args:
        pairs: Activations; held-out texts are set aside from these.
        view: Rows `[n, parts * d]` to rebuild.
        training: Settings.
        parts: Models that the rows are of.
        device: Where to train.
        track: How progress is reported; each report is logged too.

    Returns:
        The autoencoder on the CPU, and how it came along.

    Raises:
        DataError: Fewer than two texts, or rows that are all alike.
    """
    generator = torch.Generator().manual_seed(training.seed)
    trained_on = _texts_to_train_on(pairs, training, generator)
    mean, scale, held_out = _moments(pairs, view, trained_on)
    model = Autoencoder(len(mean), training, generator)
    model.b_dec.data = mean * scale
    model.to(device)
    loop = _Loop(model, parts, held_out.to(device) * scale, generator)
    batches = _batches(pairs, view, trained_on, training.batch, generator)
    for step in track(range(training.steps), "training of the dictionary", training.steps):
        loop.step(step, next(batches).to(device) * scale)
    model.rescale(scale)
    return model.cpu().requires_grad_(False), loop.progress


class _Loop:
    """What changes from step to step."""

    def __init__(self, model: Autoencoder, parts: int, held_out: Tensor, generator: torch.Generator) -> None:
        self.model, self.parts, self.held_out, self.generator = model, parts, held_out, generator
        self.centre = model.b_dec.detach().clone()
        self.training = model.training_settings
        self.optimizer = torch.optim.Adam(model.parameters(), lr=self.training.rate, fused=True)
        self.window = max(1, self.training.steps * 3 // 4 // DRAWN_ANEW)
        self.silent = torch.zeros(self.training.features, dtype=torch.int64, device=held_out.device)
        self.progress: list[Progress] = []

    def step(self, step: int, rows: Tensor) -> None:
        """One step of Adam, then what is due after it."""
        steps = self.training.steps
        warm = min(1.0, (step + 1) / max(1.0, WARM_UP * steps))
        self.optimizer.param_groups[0]["lr"] = (
            self.training.rate * warm * min(1.0, (steps - step) / (COOL_DOWN * steps))
        )
        with torch.autocast(rows.device.type, torch.bfloat16, enabled=self.training.dtype == "bfloat16"):
            codes = self.model.encode_batch(rows)
            rebuilt = self.model.decode(codes)
        errors = (rows - rebuilt).square().sum(dim=1)
        loss = errors.mean()
        if self.training.activation == "relu":
            loss = loss + warm * self.training.penalty * weighted_l1(codes, part_norms(self.model.W_dec, self.parts))
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), GRADIENT_NORM)
        self.optimizer.step()
        self.model.normalise()
        self._follow(codes.detach(), step)
        if (step + 1) % max(1, steps // REPORTS) == 0 or step + 1 == steps:
            self._report(step + 1)
        if (step + 1) % self.window == 0 and step < steps * 3 // 4:
            self.draw_anew(rows, (rows - rebuilt).detach())

    def _follow(self, codes: Tensor, step: int) -> None:
        """How long features are silent, and under batch top-k the smallest code that is kept, as a running mean."""
        self.silent = torch.where((codes > 0).any(dim=0), 0, self.silent + 1)
        if self.training.activation == "batchtopk":
            kept = codes[codes > 0]
            smallest = kept.min().float() if len(kept) else codes.new_zeros(())
            # Codes are larger at first; a mean that remembers those would silence everything after a short training.
            fresh = max(0.01, MEMORY / self.training.steps)
            self.model.threshold.lerp_(smallest, 1.0 if step == 0 else fresh)

    @torch.no_grad()
    def draw_anew(self, rows: Tensor, residuals: Tensor) -> None:
        """Point silent features at what is left of rows that are badly rebuilt, and forget what Adam knew of them."""
        dead = self.silent >= self.window
        self.silent[dead] = 0
        count = int(dead.sum())
        if not count:
            return
        drawn = badly_rebuilt(residuals, residuals.square().sum(dim=1), count, self.generator)
        if self.training.activation == "relu":
            scale = SHRUNK * (self.model.W_enc[:, ~dead].norm(dim=0).mean() if count < len(dead) else torch.ones(()))
        else:
            # Many that are alike, each as long as what is left, would rebuild a row many times over.
            kept = batch_top_k if self.training.activation == "batchtopk" else top_k
            together = kept((rows - self.model.b_dec) @ drawn.T, self.training.k) @ drawn
            scale = fitting_scale(residuals, together)
        self.model.W_dec[dead] = drawn
        self.model.W_enc[:, dead] = drawn.T * scale
        self.model.b_enc[dead] = 0
        for moment in ("exp_avg", "exp_avg_sq"):
            self.optimizer.state[self.model.W_dec][moment][dead] = 0
            self.optimizer.state[self.model.W_enc][moment][:, dead] = 0
            self.optimizer.state[self.model.b_enc][moment][dead] = 0

    @torch.no_grad()
    def _report(self, step: int) -> None:
        codes = self.model.encode(self.held_out)
        explained = variance_explained(self.held_out, self.model.decode(codes), self.centre)
        l0, dead = float((codes > 0).sum(dim=1).float().mean()), float((self.silent >= self.window).float().mean())
        self.progress.append(Progress(step, explained, l0, dead))
        logger.info("step %d: %.3f of the variance, %.1f features a row, %.1f %% dead", step, explained, l0, 100 * dead)


def _texts_to_train_on(pairs: Pairs, training: Training, generator: torch.Generator) -> Tensor:
    texts = torch.cat([block.text for block in pairs]).unique()
    held_out = max(1, round(training.held_out * len(texts)))
    if len(texts) <= held_out:
        raise DataError(f"{len(texts)} texts are too few to hold one out; cache the activations of more.")
    shuffled: Tensor = texts[torch.randperm(len(texts), generator=generator)]
    return shuffled[held_out:]


def _moments(pairs: Pairs, view: View, trained_on: Tensor) -> tuple[Tensor, float, Tensor]:
    """Mean `[d]` of rows to train on, what makes their mean squared distance from it 1, and rows held out."""
    count, total, squares = 0, torch.zeros(()).double(), 0.0
    held_out: list[Tensor] = []
    for block in (without_sinks(block) for block in pairs):
        chosen = torch.isin(block.text, trained_on)
        rows = view(block[chosen]).double()
        count, total, squares = count + len(rows), total + rows.sum(dim=0), squares + float(rows.square().sum())
        if sum(len(part) for part in held_out) < HELD_OUT_ROWS:
            held_out.append(view(block[~chosen]))
    mean = total / count
    variance = squares / count - float(mean.square().sum())
    if not variance > 1e-12 * squares / count:
        raise DataError("the rows to rebuild are all alike, as where both models are the same; give two that differ.")
    if not any(map(len, held_out)):
        raise DataError("the texts that are held out have nothing to read; cache the activations of more texts.")
    return mean.float(), variance**-0.5, torch.cat(held_out)[:HELD_OUT_ROWS]


def _batches(pairs: Pairs, view: View, trained_on: Tensor, size: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Rows in random order, again and again; as many blocks as memory may hold are mixed."""
    first = pairs[0]
    at_once = max(1, MEMORY_BYTES // max(1, first.joined.nbytes))
    held: Tensor | None = None
    while True:
        for group in torch.randperm(len(pairs), generator=generator).split(at_once):
            if held is None or len(group) < len(pairs):
                blocks = (without_sinks(pairs[int(i)]) for i in group)
                held = torch.cat([view(block[torch.isin(block.text, trained_on)]) for block in blocks])
            yield from held[torch.randperm(len(held), generator=generator)].split(size)
