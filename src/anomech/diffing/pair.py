"""A base model and what was fine-tuned from it, run on the same tokens."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from anomech.errors import ModelError, SettingsError
from anomech.gradients.components import find_streams, streams_after
from anomech.io.language_models import Tokenizer
from anomech.tasks import CausalLMTask

SIZES = ("hidden_size", "vocab_size", "num_hidden_layers")
"""What of two configurations must be alike for activations to be compared coordinate by coordinate."""


@dataclass(frozen=True)
class ModelPair:
    """Two models of one architecture and vocabulary.

    Attributes:
        tuned: The fine-tuned model.
        base: What it was fine-tuned from; None where `tuned` is a peft model, which is its own base while its adapter
            is switched off.

    Raises:
        ModelError: The models differ in width, depth or vocabulary, or there is neither a base nor an adapter.
    """

    tuned: CausalLMTask
    base: CausalLMTask | None = None

    def __post_init__(self) -> None:
        if self.base is None:
            if not hasattr(self.tuned.model, "disable_adapter"):
                raise ModelError("the model has no adapter to switch off; give the base model too.")
            return
        for size in SIZES:
            base, tuned = (getattr(task.model.config, size, None) for task in (self.base, self.tuned))
            if base != tuned:
                raise ModelError(
                    f"the base model has {size} {base} and the fine-tuned model {tuned}; give the model that this one "
                    "was fine-tuned from."
                )

    @property
    def width(self) -> int:
        """Coordinates of the residual stream."""
        config: Any = self.tuned.model.config
        return int(config.hidden_size)

    def streams(self, x: Tensor, layers: Sequence[int]) -> tuple[list[Tensor], list[Tensor]]:
        """The residual stream after the chosen blocks, of the base and the fine-tuned model.

        Args:
            x: Tokens and roles, int64 `[n, 2, length]`, as `join_tokens` or `pad_tokens` makes them.
            layers: Blocks, from 0.

        Returns:
            Float32 `[n, length, d]` for each layer, of the base model and of the fine-tuned one, on the CPU; without
            the padding that all inputs have.

        Raises:
            ModelError: A model is not of blocks that are understood, or yields NaN.
            SettingsError: There is no such block.
        """
        with self.as_base() as base:
            before = _streams(base, x, layers)
        return before, _streams(self.tuned, x, layers)

    def check_layers(self, layers: Sequence[int]) -> None:
        """Raises SettingsError unless there is a layer, and every one is a block of the models."""
        blocks = len(find_streams(self.tuned.model))
        wrong = [layer for layer in layers if not 0 <= layer < blocks]
        if wrong or not layers:
            found = ", ".join(map(str, wrong)) or "none"
            raise SettingsError(f"layers must be blocks from 0 to {blocks - 1}, at least one; got {found}.")

    @contextmanager
    def as_base(self) -> Iterator[CausalLMTask]:
        """Within, the base model; where it is the fine-tuned one without its adapter, that is switched off."""
        if self.base is not None:
            yield self.base
        else:
            model: Any = self.tuned.model
            with model.disable_adapter():
                yield self.tuned


def require_same_tokens(base: Tokenizer, tuned: Tokenizer) -> None:
    """Raises ModelError where two tokenizers give the same token different ids."""
    first, second = (tokenizer.tokenizer.get_vocab() for tokenizer in (base, tuned))
    differing = [token for token in sorted(first.keys() & second.keys()) if first[token] != second[token]]
    if differing or not first.keys() & second.keys():
        example = (
            f"{differing[0]!r} is {first[differing[0]]} and {second[differing[0]]}" if differing else "none shared"
        )
        raise ModelError(
            f"the tokenizers of the two models differ ({example}), so they do not read the same texts; "
            "give the model that this one was fine-tuned from."
        )


def _streams(task: CausalLMTask, x: Tensor, layers: Sequence[int]) -> list[Tensor]:
    streams = streams_after(task, x, layers)
    if not all(stream.isfinite().all() for stream in streams):
        raise ModelError("the residual stream holds NaN or infinite values; check the weights and their dtype.")
    return streams
