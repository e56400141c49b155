"""Networks whose attributions are judged, and what is kept of each judgement."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from typing import get_args

import torch
from torch import Tensor, nn

from anomech.bench.kept import kept, row_path
from anomech.bench.setup import Setup
from anomech.bench.suite import Row
from anomech.bench.unmasked import Attribution, Ranked, attribute, rightly_classified
from anomech.examples import Examples
from anomech.functional.block_images import leakage
from anomech.functional.unmasking import Side, rank_pixels
from anomech.organisms.networks import Adversary, Network
from anomech.organisms.training import Recipe, predictions
from anomech.versions import versions

SIDES: tuple[Side, ...] = get_args(Side)


@dataclass
class Judged:
    """A network of one seed, and its images.

    Attributes:
        network: How it is made.
        training: What it is trained on.
        test: What it is asked about.
        null: Which pixels of the test images are those of null blocks, bool `[n, h, w]`, where these are blocks.
        setup: How the suite is run.
    """

    network: Network
    training: Examples
    test: Examples
    null: Tensor | None
    setup: Setup

    @cached_property
    def model(self) -> nn.Module:
        """The trained network."""
        assert self.training.y is not None
        return self.network.load(self.training.x, self.training.y, cache=self.setup.cache, track=self.setup.track)

    def right(self, adversary: Adversary | None = None) -> Tensor:
        """Which test images it classifies rightly, perturbed by that adversary, bool `[n]`."""
        assert self.test.y is not None
        x = self.test.x if adversary is None else adversary(self.model, self.test.x, self.test.y)
        return predictions(self.model, x) == self.test.y


@dataclass
class Judgement:
    """An attribution of a network.

    Attributes:
        judged: The network and its images.
        name: Of the attribution, with whatever distinguishes it from another.
        attribution: Makes it, of the network.
    """

    judged: Judged
    name: str
    attribution: Callable[[nn.Module], Attribution]

    def unmasked(self, share: float, *, build: Callable[[], nn.Module], recipe: Recipe) -> tuple[Tensor, Tensor]:
        """Which test images are classified rightly from their top pixels, and which from their bottom ones, bool `[n]`.

        Args:
            share: Share of the pixels that is kept.
            build: Makes the network that learns from what is kept.
            recipe: How it learns.
        """
        keeping = partial(rightly_classified, share=share, build=build, recipe=recipe)
        row = self._kept(
            [share, str(build()), asdict(recipe)],
            lambda: {keep: _to_text(keeping(*self._ranked, keep=keep)) for keep in SIDES},
        )
        top, bottom = (_from_text(row[keep]) for keep in SIDES)
        return top, bottom

    def leakage(self) -> Tensor:
        """Share of the energy on the null block of each test image, `[n]`."""
        null = self.judged.null
        assert null is not None
        row = self._kept("leakage", lambda: {"leakage": leakage(self._of(self.judged.test), null).tolist()})
        return torch.tensor(row["leakage"], dtype=torch.float64)

    @cached_property
    def _ranked(self) -> tuple[Ranked, Ranked]:
        seed = self.judged.network.recipe.seed
        training, test = (
            Ranked(images, rank_pixels(self._of(images), seed=seed + i))
            for i, images in enumerate((self.judged.training, self.judged.test))
        )
        return training, test

    def _of(self, examples: Examples) -> Tensor:
        return attribute(self.attribution(self.judged.model), self.judged.model, examples.x)

    def _kept(self, what: object, compute: Callable[[], Row]) -> Row:
        setup = self.judged.setup
        made_of = [self.judged.network.key, self.name, what, setup.part, versions()["anomech"]]
        return kept(row_path(setup, f"sanity-{self.name}", made_of), compute)


def _to_text(right: Tensor) -> str:
    return "".join("01"[one] for one in right.tolist())


def _from_text(text: str) -> Tensor:
    return torch.tensor([one == "1" for one in text])
