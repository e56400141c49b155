"""Loss traces: how the loss of each input moves while the weights are sampled around the trained ones.

Source: Mechanistic Anomaly Detection via Functional Attribution (arXiv 2604.18970); the normalised
covariance of two traces estimates the Bayesian influence function (arXiv 2509.26544).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from anomech.disk import disk_errors
from anomech.errors import ChainError, SettingsError
from anomech.examples import Examples
from anomech.features.base import FeatureExtractor, Features
from anomech.progress import Track, silent
from anomech.sampling import RMSpropSGLD, Sampler
from anomech.sampling.flat import FlatModel
from anomech.sampling.health import ChainHealth, chain_health
from anomech.sampling.store import SHARD_BYTES, bytes_per_draw, read_draws, write_draws
from anomech.selection import select_parameters
from anomech.tasks import Task

SAMPLED_COPIES = 9


@dataclass(frozen=True)
class LossTraces(FeatureExtractor):
    """Per-sample loss of the model's own prediction at every draw, `[n, draws]`.

    Attributes:
        sampler: How weights are drawn.
        keep: What is kept for inputs that arrive later: "draws" (8-bit weight differences: more disk, no gradient
            afterwards) or "seed" (the sampling examples and the seed: the chain is run again on every audit).
    """

    sampler: Sampler = field(default_factory=RMSpropSGLD)
    keep: Literal["draws", "seed"] = "draws"

    def __post_init__(self) -> None:
        if self.keep not in ("draws", "seed"):
            raise SettingsError(f'keep must be "draws" or "seed", got {self.keep!r}.')

    @property
    def needs_examples(self) -> bool:
        """Whether the sampler takes gradients."""
        return self.sampler.needs_examples

    @property
    def needs_labels(self) -> bool:
        """Gradients are taken on true labels."""
        return self.sampler.needs_examples

    @property
    def passes_per_input(self) -> int:
        """One a draw, and one for the prediction."""
        return self.sampler.total_draws + 1

    def width(self, model: nn.Module) -> int:
        """One a draw."""
        return self.sampler.total_draws

    def gradient_passes(self, blocks: int) -> int:
        """Inputs that the chains take gradients on: once, or again for every later block where draws are not kept."""
        return self.sampler.gradient_passes * (1 if self.keep == "draws" else blocks)

    def working_bytes(self, model: nn.Module) -> int:
        """A copy of the model; gradient, anchor, preconditioner, noise and so on of what is sampled; two shards."""
        return 4 * (_count(model.parameters()) + SAMPLED_COPIES * self._sampled(model)) + 2 * SHARD_BYTES

    def disk_bytes(self, model: nn.Module) -> int:
        """The draws, if they are kept."""
        if self.keep == "seed":
            return 0
        return self.sampler.total_draws * bytes_per_draw(self._sampled(model), _count(model.buffers()))

    def fit(self, task: Task, examples: Examples, folder: Path, *, track: Track = silent) -> None:
        """Run the chains and keep their draws, or keep what it takes to run them again."""
        if self.keep == "draws":
            sampler = self.sampler
            draws = track(sampler.draw(task, examples), "sampling weights", sampler.total_draws)
            write_draws(folder, draws, task.model, sampler.parameters)
        elif self.needs_examples and examples.y is not None:
            with disk_errors(folder, choose="TMPDIR"):
                save_file({"x": examples.x.contiguous(), "y": examples.y}, folder / "sampling.safetensors")

    def extract(self, task: Task, examples: Examples, folder: Path, *, track: Track = silent) -> Features:
        """Traces of the examples."""
        return self.extract_each(task, [examples], folder, track=track)[0]

    def extract_each(
        self, task: Task, sets: Sequence[Examples], folder: Path, *, track: Track = silent
    ) -> list[Features]:
        """Traces of every set, from one pass over the draws."""
        number, inputs = self.sampler.total_draws, sum(map(len, sets))
        predictions = [task.predict(examples) for examples in sets]
        traces = [torch.empty(number, len(examples)) for examples in sets]
        draws = track(self._draws(task, folder), f"loss traces of {inputs:,} inputs", number)
        for draw, flat in zip(range(number), draws, strict=True):
            for examples, answers, losses in zip(sets, predictions, traces, strict=True):
                losses[draw] = task.losses(flat.model, examples, answers)
        if not all(losses.isfinite().all() for losses in traces):
            raise ChainError("the sampled models give NaN or infinite losses; lower step_size, or raise gamma.")
        return [Features({"loss": t.T.contiguous()}, answers) for t, answers in zip(traces, predictions, strict=True)]

    def health(self, task: Task, examples: Examples, features: Features) -> ChainHealth:
        """Health of the chains, from the traces of trusted examples."""
        start = task.losses(task.model, examples, features.predictions)
        return chain_health(
            features.only_layer, start, chains=self.sampler.chains, chance_loss=task.chance_loss(examples)
        )

    def _sampled(self, model: nn.Module) -> int:
        return _count(model.get_parameter(name) for name in select_parameters(model, self.sampler.parameters))

    def _draws(self, task: Task, folder: Path) -> Iterator[FlatModel]:
        if self.keep == "draws":
            return read_draws(folder, task.model, self.sampler.parameters)
        kept = folder / "sampling.safetensors"
        return self.sampler.draw(task, Examples(**load_file(kept)) if kept.exists() else None)


def _count(tensors: Iterable[Tensor]) -> int:
    return sum(t.numel() for t in tensors)
