"""The residual stream of a language model, where it has read the prompt and is about to answer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from anomech.errors import SettingsError
from anomech.examples import Examples
from anomech.features.base import FeatureExtractor, Features
from anomech.features.row_store import RowStore
from anomech.functional.positions import at_positions
from anomech.progress import Track, silent
from anomech.tasks import CausalLMTask, Task
from anomech.tasks.tokens import is_prompt


@dataclass(frozen=True)
class ResidualStream(FeatureExtractor):
    """The residual stream at the last token of the prompt, one vector after every block.

    What Mahalanobis distance is taken of by Bailey et al. 2024 (arXiv 2412.09565), and what their models hide in.
    """

    def extract(self, task: Task, examples: Examples, folder: Path, *, track: Track = silent) -> Features:
        """Layers "block 0", "block 1", ... of the examples, one forward pass each.

        Raises:
            SettingsError: The task is not a language model's.
            StorageError: They are so large that they go to the disk, and it is full.
        """
        if not isinstance(task, CausalLMTask):
            raise SettingsError("a residual stream is read where a prompt ends; this task has no prompts.")
        size = task.fitting(examples)
        batches = track(
            examples.blocks(size), f"residual stream of {len(examples):,} inputs", -(-len(examples) // size)
        )
        kept = RowStore(len(examples))
        for block in batches:
            streams = _at_last_prompt_token(task, block.x)
            kept.add({f"block {i}": [stream] for i, stream in enumerate(streams)})
        return Features(kept.layers(), torch.zeros(len(examples), dtype=torch.int64))


def _at_last_prompt_token(task: CausalLMTask, x: Tensor) -> Tensor:
    """After every block, float32 `[blocks, n, d]`, on the CPU."""
    lengths = is_prompt(x).sum(dim=1)
    with torch.no_grad():
        # What comes before the first block is the last token itself, which a chat template makes the same everywhere.
        _, *streams = task.hidden_states(x)
    return torch.stack([at_positions(s, lengths.to(s.device), (-1,))[:, 0].float().cpu() for s in streams])
