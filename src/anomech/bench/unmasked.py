"""Predictive power of what an attribution unmasks: networks trained and tested on the unmasked pixels alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from anomech.errors import DataError
from anomech.examples import Examples
from anomech.functional.unmasking import Side, unmask
from anomech.organisms.training import Recipe, predictions, train

Attribution = Callable[[Tensor, Tensor], Tensor]
"""What each pixel of images `[n, channels, h, w]` counts for their being given classes `[n]`; `[n, h, w]`."""


class Ranked(NamedTuple):
    """Images, and where each of their pixels stands by an attribution."""

    images: Examples
    """With their true classes."""
    ranks: Tensor
    """As `rank_pixels` gives them, `[n, h, w]`."""


def attribute(attribution: Attribution, model: nn.Module, x: Tensor, *, batch_size: int = 500) -> Tensor:
    """Attributions `[n, h, w]` of the classes that the model itself gives to images `[n, channels, h, w]`.

    Its own classes, because the true one is what pixels shall be shown to tell, and which are kept could give it away.

    Raises:
        DataError: The attribution is not `[n, h, w]`.
    """
    blocks = zip(x.split(batch_size), predictions(model, x).split(batch_size), strict=True)
    found = torch.cat([attribution(block, classes).detach() for block, classes in blocks])
    if found.shape != (len(x), *x.shape[2:]):
        raise DataError(
            f"an attribution of images {list(x.shape)} must have one value a pixel, shape "
            f"{[len(x), *x.shape[2:]]}; got {list(found.shape)}."
        )
    return found


def rightly_classified(
    training: Ranked,
    test: Ranked,
    *,
    share: float,
    keep: Side,
    build: Callable[[], nn.Module],
    recipe: Recipe,
) -> Tensor:
    """Which test images a network classifies rightly that was trained on images unmasked as they are; bool `[n]`.

    Args:
        training: What the network is trained on, once unmasked.
        test: What it is tested on.
        share: Share of the pixels that is kept.
        keep: Those that count most or least.
        build: Makes the untrained network, the same for the same state of torch's random numbers.
        recipe: How it is trained.

    Raises:
        DataError: The training images have one class only, or there are no labels.
        SettingsError: The share is outside (0, 1].
    """
    y = training.images.y
    if y is None or test.images.y is None or len(y.unique()) < 2:
        raise DataError(
            f"the {len(training.images)} training images have one class or no labels; what unmasked pixels predict "
            "takes at least two classes, and labels of the test images."
        )
    seen, asked = (unmask(part.images.x, part.ranks, share=share, keep=keep) for part in (training, test))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        model = build()
    for _ in train(model, seen, y, recipe):
        pass
    return predictions(model, asked) == test.images.y
