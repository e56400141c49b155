"""Does a feature cause the attack? The answers of a model whose residual stream may not move along its direction."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from anomech.diffing.pair import ModelPair
from anomech.errors import DataError, SettingsError
from anomech.functional.dictionaries import without_directions
from anomech.gradients.components import find_streams
from anomech.progress import Track, silent
from anomech.tasks.completions import complete


@dataclass(frozen=True)
class AblationEffect:
    """Attack success rates, in [0, 1].

    Attributes:
        before: Of the model as it is.
        after: Without the directions.
        control: Without as many random directions.
    """

    before: float
    after: float
    control: float

    @property
    def change(self) -> float:
        """What taking the directions away does, beyond what taking away random ones does."""
        return self.after - self.control


@dataclass(frozen=True)
class ChangedAnswers:
    """What a model says to each of some prompts, in token ids.

    Attributes:
        tuned: As it is.
        without: Without a feature's direction.
        control: Without a random direction.
        base: Before it was fine-tuned.
    """

    tuned: list[list[int]]
    without: list[list[int]]
    control: list[list[int]]
    base: list[list[int]]

    @property
    def changed(self) -> int:
        """Answers that hang on the direction."""
        return sum(a != b for a, b in zip(self.tuned, self.without, strict=True))

    @property
    def restored(self) -> int:
        """Of these, those that are the base model's without it."""
        return sum(b == c != a for a, b, c in zip(self.tuned, self.without, self.base, strict=True))

    @property
    def changed_by_chance(self) -> int:
        """Answers that hang on a random direction."""
        return sum(a != b for a, b in zip(self.tuned, self.control, strict=True))


@contextmanager
def ablated(model: nn.Module, layer: int, directions: Tensor) -> Iterator[None]:
    """Within, the residual stream after a block has no component along directions `[k, d]`.

    Source: Arditi et al. 2024 (arXiv 2406.11717), there after every block.

    Raises:
        ModelError: The model is not of blocks that are understood.
        SettingsError: There is no such block.
    """
    streams = find_streams(model)
    if not 0 <= layer < len(streams):
        raise SettingsError(f"layer must be a block from 0 to {len(streams) - 1}, got {layer}.")
    hook = streams[layer].hook(lambda stream: without_directions(stream, directions.to(stream)))
    try:
        yield
    finally:
        hook.remove()


def ablation_effect(
    model: nn.Module,
    prompts: Sequence[Sequence[int]],
    succeeded: Callable[[Sequence[int]], bool],
    *,
    layer: int,
    directions: Tensor,
    end: int,
    new_tokens: int,
    seed: int = 0,
    track: Track = silent,
) -> AblationEffect:
    """How often an attack succeeds with and without the directions of features.

    Args:
        model: A Hugging Face causal language model.
        prompts: Token ids of prompts with the trigger.
        succeeded: Whether a completion's token ids are what the attacker wants.
        layer: Block after which the features were read.
        directions: What they add to the stream of the fine-tuned model, `[k, d]`: rows of a dictionary's `decoder`.
        end: Token that ends an answer.
        new_tokens: Longest completion.
        seed: Seed of the random directions.
        track: How progress is reported.

    Raises:
        DataError: There are no prompts, or no directions.
    """
    if not prompts or not len(directions):
        raise DataError(f"{len(prompts)} prompts and {len(directions)} directions; give at least one of each.")

    def success() -> float:
        answers = complete(model, prompts, end=end, new_tokens=new_tokens, track=track)
        return sum(map(succeeded, answers)) / len(answers)

    rates = [success()]
    for removed in (directions, _random(directions, seed)):
        with ablated(model, layer, removed):
            rates.append(success())
    return AblationEffect(*rates)


def answers_without(
    pair: ModelPair,
    prompts: Sequence[Sequence[int]],
    *,
    layer: int,
    directions: Tensor,
    end: int,
    new_tokens: int,
    seed: int = 0,
) -> ChangedAnswers:
    """What the fine-tuned model answers with and without directions, where no attack is known to ask for.

    Args:
        pair: Both models.
        prompts: Token ids of prompts, such as those that a feature is most active on.
        layer: Block after which the directions are taken out.
        directions: `[k, d]`, as for `ablation_effect`.
        end: Token that ends an answer.
        new_tokens: Longest completion.
        seed: Seed of the random directions.
    """

    def said(model: nn.Module) -> list[list[int]]:
        return complete(model, prompts, end=end, new_tokens=new_tokens)

    model = pair.tuned.model
    with ablated(model, layer, directions):
        without = said(model)
    with ablated(model, layer, _random(directions, seed)):
        control = said(model)
    with pair.as_base() as base:
        before = said(base.model)
    return ChangedAnswers(tuned=said(model), without=without, control=control, base=before)


def _random(directions: Tensor, seed: int) -> Tensor:
    return torch.randn(directions.shape, generator=torch.Generator().manual_seed(seed))
