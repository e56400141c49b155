"""How surprising tokens are to a language model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import torch
from torch import Tensor

from anomech.errors import SettingsError
from anomech.examples import Examples
from anomech.features.base import FeatureExtractor, Features
from anomech.progress import Track, silent
from anomech.tasks import CausalLMTask, Task

Part = Literal["prompt", "completion"]


@dataclass(frozen=True)
class TokenLosses(FeatureExtractor):
    """Mean negative log-likelihood of the tokens of a part, the logarithm of its perplexity.

    Attributes:
        part: "completion", what the model says; or "prompt", what it was asked, but for its first token.
    """

    part: Part = "completion"

    def __post_init__(self) -> None:
        if self.part not in get_args(Part):
            raise SettingsError(f'part must be "prompt" or "completion", got {self.part!r}.')

    def extract(self, task: Task, examples: Examples, folder: Path, *, track: Track = silent) -> Features:
        """One number an input, `[n, 1]`, in one forward pass.

        Raises:
            SettingsError: The task is not a language model's.
        """
        if not isinstance(task, CausalLMTask):
            raise SettingsError("token losses are those of a language model.")
        size = task.fitting(examples)
        batches = track(examples.blocks(size), f"losses of {len(examples):,} inputs", -(-len(examples) // size))
        with torch.no_grad():
            losses = torch.cat([self._losses(task, block.x).cpu() for block in batches])
        return Features({self.part: losses[:, None]}, torch.zeros(len(examples), dtype=torch.int64))

    def _losses(self, task: CausalLMTask, x: Tensor) -> Tensor:
        if self.part == "prompt":
            return task.prompt_loss(x)
        outputs = task.run(task.model, x)
        return task.loss(outputs, task.own_output(outputs))
