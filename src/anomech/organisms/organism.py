"""A model organism: a model with a planted mechanism, clean images, and the attack that sets the mechanism off."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from anomech.errors import DataError
from anomech.examples import Examples, concatenate

Part = Literal["report", "development"]
"""The images on which figures are reported, and those on which anything may be tuned."""


@dataclass(frozen=True, kw_only=True)
class Organism:
    """A backdoored image classifier.

    Attributes:
        name: Its name in tables.
        model: The classifier in evaluation mode; images `[n, channels, height, width]` in [0, 1] go in as they are.
        images: Clean images with labels, none of which the model was trained on.
        attack: Drops the images of the target class and stamps the trigger on the others, as `Poisoning.attack` does.
    """

    name: str
    model: nn.Module
    images: Examples
    attack: Callable[[Examples], Examples]

    def split(self, *, trusted: int, clean: int, attacked: int, seed: int) -> tuple[Examples, Examples]:
        """Trusted examples and inputs, from disjoint images.

        Each of the three sets has every class in proportion to what is left of it, to within one image. Unlike
        `stratified_split`, which rounds class by class, it has exactly the number that was asked for.

        Args:
            trusted: Number of trusted examples.
            clean: Number of inputs without the trigger.
            attacked: Number of inputs with it, none of the target class.
            seed: Seed of the choice.

        Returns:
            The trusted examples, and the inputs: first the clean ones, then the attacked ones.

        Raises:
            DataError: There are too few images.
        """
        chosen, left = _choose(self.images, trusted, seed=seed)
        rest = self.images[left]
        untouched, left = _choose(rest, clean, seed=seed + 1)
        candidates = self.attack(rest[left])
        triggered, _ = _choose(candidates, attacked, seed=seed + 2)
        normal = replace(
            rest[untouched],
            anomalous=torch.zeros(len(untouched), dtype=torch.bool),
            target=torch.full((len(untouched),), -1),
        )
        return self.images[chosen], concatenate(normal, candidates[triggered])


def halve(examples: Examples, part: Part) -> Examples:
    """Every second example: those at even positions are for the report, those at odd ones for development."""
    return examples[torch.arange(get_args(Part).index(part), len(examples), 2)]


def _choose(examples: Examples, number: int, *, seed: int) -> tuple[Tensor, Tensor]:
    """Positions of `number` examples, every class in proportion to within one, and of the others."""
    total = len(examples)
    if not 0 < number <= total:
        raise DataError(f"a split needs {number} images where {total} are left; ask for 1 to {total}.")
    assert examples.y is not None
    generator = torch.Generator().manual_seed(seed)
    shuffled = torch.randperm(total, generator=generator)
    by_class = shuffled[examples.y[shuffled].argsort(stable=True)]
    evenly = (torch.arange(number) * total + torch.randint(total, (1,), generator=generator)) // number
    chosen = torch.zeros(total, dtype=torch.bool)
    chosen[by_class[evenly]] = True
    return chosen.nonzero().flatten(), (~chosen).nonzero().flatten()
