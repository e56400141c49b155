"""Do attributions show what tells classes apart? DiffROAR and feature leakage (Shah et al. 2021, arXiv 2102.12781)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import chain, product
from typing import Literal

import torch
from torch import Tensor, nn

from anomech.bench.figure import Figure, Panel
from anomech.bench.judged import Judged, Judgement
from anomech.bench.setup import Setup
from anomech.bench.suite import Row
from anomech.bench.unmasked import Attribution
from anomech.examples import Examples
from anomech.functional.block_images import BlockImages, block_images
from anomech.functional.unmasking import diff_roar, two_way_interval
from anomech.organisms.datasets import DATASETS
from anomech.organisms.fashion import DEBIAN
from anomech.organisms.models import MLP, SmallCNN
from anomech.organisms.networks import Adversary, Network
from anomech.organisms.organism import halve
from anomech.organisms.training import Recipe

COLUMNS = ["study", "organism", "detector", "place", "share", "top", "bottom", "value", "low", "high"]

Place = Literal["random", "fixed"]
Kind = Literal["standard", "robust"]
Architecture = Literal["one hidden layer", "convolutional"]

SEEDS = 3
"""Each has its own training images, judged networks, and networks that learn from what is unmasked."""
TRAINING = 10_000
SHARES = (0.05, 0.1, 0.2, 0.5)
STEPS = 16
"""Of integrated gradients."""
ADVERSARIES: Mapping[Kind, Adversary | None] = {"standard": None, "robust": Adversary(radius=1.5, steps=3)}
"""Whom each kind of network is trained against."""
ATTACKER = Adversary(radius=1.5, steps=10)
"""Whom all are tested against."""

RECIPE = Recipe(epochs=12, batch_size=256, learning_rate=6e-3)
WIDTH = 128
"""Hidden units of the networks that are judged."""
ARCHITECTURES: Mapping[Architecture, Callable[[Tensor], nn.Module]] = {
    "one hidden layer": lambda image: MLP(pixels=image.numel(), width=WIDTH),
    "convolutional": lambda image: SmallCNN(channels=len(image)),
}
"""Makes the networks that are judged, for images such as this one."""
LEARNING = Recipe(epochs=6, batch_size=256, learning_rate=6e-3)
LEARNER = 64
"""Hidden units of the networks that learn from what is unmasked."""

Method = Callable[[nn.Module], Attribution]
"""Makes the attribution of a network."""


def _gradient(model: nn.Module) -> Attribution:
    # Importing captum takes a second, which no command should that does not need it.
    from captum.attr import Saliency

    saliency = Saliency(model)
    return lambda x, y: saliency.attribute(x.clone().requires_grad_(), target=y).sum(1)


def _integrated_gradients(model: nn.Module) -> Attribution:
    from captum.attr import IntegratedGradients

    integrated = IntegratedGradients(model)
    return lambda x, y: integrated.attribute(x, target=y, n_steps=STEPS).sum(1)


def _random(model: nn.Module) -> Attribution:
    generator = torch.Generator().manual_seed(0)
    return lambda x, y: torch.rand(len(x), *x.shape[2:], generator=generator)


def _brightness(model: nn.Module) -> Attribution:
    return lambda x, y: x.sum(1)


METHODS: Mapping[str, Method] = {
    "gradient": _gradient,
    f"integrated gradients, {STEPS} steps": _integrated_gradients,
}
CONTROLS: Mapping[str, Method] = {"random": _random, "brightness": _brightness}
"""They know no network. Brightness is what whatever is multiplied by the input starts from."""

FIGURE = Figure(
    panels=[
        Panel(study=study, x="share", label=f"share of the pixels that is kept, {networks}")
        for study, networks in (("DiffROAR", "one hidden layer"), ("DiffROAR, convolutional", "convolutional"))
    ],
    measures={"value": "DiffROAR"},
    limits=(-0.1, 0.8),
)


def rows(setup: Setup) -> Iterator[Row]:
    """Accuracies of standard and robust networks, DiffROAR of their attributions, and leakage into null blocks.

    `value` has an interval over test images and seeds. Of DiffROAR, `top` and `bottom` are the accuracies whose
    difference it is. `detector` is the attribution.

    Raises:
        DataError: There is no Fashion-MNIST.
    """
    bench = _Bench(setup)
    for row in chain(bench.accuracies(), bench.diff_roars(), bench.leakages()):
        yield {"seed": setup.seed, "seeds": SEEDS, "n_test": len(bench.test), **row}


@dataclass
class _Bench:
    setup: Setup

    def accuracies(self) -> Iterator[Row]:
        """Of networks on images as they are, and on those that an adversary perturbed."""
        for architecture, kind in product(ARCHITECTURES, ADVERSARIES):
            judged = self._judged(architecture, kind)
            for what, adversary in (("accuracy", None), ("accuracy, attacked", ATTACKER)):
                found = self._mean([one.right(adversary) for one in judged])
                yield {"study": _study(what, architecture), "organism": kind, **found}

    def diff_roars(self) -> Iterator[Row]:
        """Of each attribution of each kind of network, and of those that know no network."""
        for architecture, kind, (name, method) in product(ARCHITECTURES, ADVERSARIES, METHODS.items()):
            yield from self._diff_roar(name, method, architecture, kind, kind)
        for name, method in CONTROLS.items():
            yield from self._diff_roar(name, method, "one hidden layer", "standard", "any")

    def leakages(self) -> Iterator[Row]:
        """Of each attribution of networks to which the signal was shown in either place, or always above."""
        places: tuple[Place, ...] = ("random", "fixed")
        for architecture, place, kind in product(ARCHITECTURES, places, ADVERSARIES):
            judged = self._judged(architecture, kind, place)
            row = {"organism": kind, "place": place}
            right = self._mean([one.right() for one in judged])
            yield {"study": _study("accuracy on blocks", architecture), **row, **right}
            for name, method in METHODS.items():
                found = [Judgement(one, name, method).leakage() for one in judged]
                yield {"study": _study("leakage", architecture), **row, "detector": name, **self._mean(found)}

    def _diff_roar(
        self, name: str, method: Method, architecture: Architecture, kind: Kind, organism: str
    ) -> Iterator[Row]:
        judgements = [Judgement(one, name, method) for one in self._judged(architecture, kind)]
        for share in SHARES:
            sides = [
                one.unmasked(
                    share,
                    build=partial(MLP, pixels=self.test.x[0].numel(), width=LEARNER),
                    recipe=replace(LEARNING, seed=seed),
                )
                for seed, one in zip(self._seeds, judgements, strict=True)
            ]
            top, bottom = (torch.stack(side) for side in zip(*sides, strict=True))
            yield {
                "study": _study("DiffROAR", architecture),
                "organism": organism,
                "detector": name,
                "share": share,
                "top": float(top.double().mean()),
                "bottom": float(bottom.double().mean()),
                **diff_roar(top, bottom, seed=self.setup.seed)._asdict(),
            }

    def _mean(self, values: Sequence[Tensor]) -> Row:
        """Of values `[n]` by seed."""
        table = torch.stack(list(values)).double()
        low, high = two_way_interval(table, seed=self.setup.seed)
        return {"value": float(table.mean()), "low": low, "high": high}

    def _judged(self, architecture: Architecture, kind: Kind, place: Place | None = None) -> list[Judged]:
        return [self._one(architecture, kind, place, seed) for seed in self._seeds]

    def _one(self, architecture: Architecture, kind: Kind, place: Place | None, seed: int) -> Judged:
        training, test, null = self._training(seed), self.test, None
        if place is not None:
            seen, asked = (_blocks(part, place, seed + i) for i, part in enumerate((training, test)))
            training, test, null = replace(training, x=seen.x), replace(test, x=asked.x), asked.null
        network = Network(
            name="-".join(["sanity", kind, *filter(None, [place])]),
            build=partial(ARCHITECTURES[architecture], test.x[0]),
            recipe=replace(RECIPE, seed=seed),
            data={"dataset": "fashion", "images": TRAINING, "place": place},
            adversary=ADVERSARIES[kind],
        )
        return Judged(network, training, test, null, self.setup)

    @property
    def _seeds(self) -> range:
        return range(self.setup.seed, self.setup.seed + SEEDS)

    @cached_property
    def test(self) -> Examples:
        """Images that no network was trained on."""
        return halve(DATASETS["fashion"].load(self.setup.data or DEBIAN, "test"), self.setup.part)

    @cached_property
    def _pool(self) -> Examples:
        return DATASETS["fashion"].load(self.setup.data or DEBIAN, "train")

    def _training(self, seed: int) -> Examples:
        order = torch.randperm(len(self._pool), generator=torch.Generator().manual_seed(seed))
        return self._pool[order[:TRAINING]]


def _study(what: str, architecture: Architecture) -> str:
    """Name of a study; that of networks of one hidden layer is told without them."""
    return what if architecture == "one hidden layer" else f"{what}, {architecture}"


def _blocks(images: Examples, place: Place, seed: int) -> BlockImages:
    chance = torch.rand(len(images), generator=torch.Generator().manual_seed(seed))
    return block_images(images.x, signal_on_top=chance < (0.5 if place == "random" else 1))
