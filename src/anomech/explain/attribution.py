"""What an attribution is: how much each place of an input adds to a number that the model gives it.

A place is a pixel of an image or a token of a text; nothing here knows which. Three parts meet: a `Quantity`, the
number that is explained; an `Attribution`, how it is shared out among the places; and an `Eraser`, which knows the
places of one kind of input and makes some of them say nothing.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor

from anomech.errors import ModelError, SettingsError
from anomech.examples import Examples
from anomech.gradients.embeddings import embedded, token_embeddings
from anomech.progress import Track, silent
from anomech.tasks import Task

BATCH = 8
"""Inputs between two reports of progress, at most."""


class Quantity(ABC):
    """A number of each input, of which an attribution says where in the input it comes from.

    Attributes:
        name: What it is, in a word or two.
        task: The model.
    """

    name: ClassVar[str]
    task: Task

    @property
    @abstractmethod
    def passes(self) -> float:
        """Forward passes that the number of one input takes; a backward pass counts as two."""

    @property
    @abstractmethod
    def gradient_passes(self) -> float:
        """The same of the number and its gradient."""

    @abstractmethod
    def values(self, x: Tensor, answers: Tensor) -> Tensor:
        """The number of each input, `[m]`, on the CPU, without a gradient.

        Args:
            x: Inputs `[m, ...]`, which may be altered copies of others.
            answers: What the model answered on the unaltered inputs, `[m, ...]`.
        """

    @abstractmethod
    def differentiable(self, x: Tensor, answers: Tensor) -> Tensor:
        """The same numbers `[m]`, through which a gradient goes back to `x`.

        Raises:
            SettingsError: The number has no gradient.
        """

    def check(self, x: Tensor) -> None:  # noqa: B027
        """Raises DataError where inputs `[m, ...]` are not of the kind that the number is defined for."""


class Eraser(ABC):
    """Makes places of an input say nothing, and knows what a place of it is."""

    @abstractmethod
    def places(self, x: Tensor) -> torch.Size:
        """The places of one of the inputs `[m, ...]`: `[height, width]` of images, `[length]` of texts."""

    def erasable(self, x: Tensor) -> Tensor:
        """Which places of inputs `[m, ...]` can be made to say nothing, bool `[m, *places]`; by default all."""
        return torch.ones(len(x), *self.places(x), dtype=torch.bool)

    @abstractmethod
    def erase(self, x: Tensor, hidden: Tensor) -> Tensor:
        """Copies of inputs `[m, ...]` without what the places in `hidden`, bool `[m, *places]`, say."""


class Attribution(ABC):
    """Settings of a way to share a number out among the places of an input; higher is where more of it comes from."""

    def passes(self, quantity: Quantity, shape: torch.Size) -> float:
        """Forward passes that explaining one input of that shape `[...]` takes; known before any is made."""
        return 1 + self._passes(quantity, shape)

    def attribute(self, quantity: Quantity, x: Tensor, *, track: Track = silent) -> Tensor:
        """How much each place adds to the number.

        Args:
            quantity: The number.
            x: Inputs `[m, ...]`.
            track: How progress is reported.

        Returns:
            `[m, *places]`, on the CPU: `[m, height, width]` of images, `[m, length]` of texts. The values of one input
            compare with one another, not with those of other inputs, on which they do not depend.

        Raises:
            DataError: The inputs are of a shape or kind that the number is not defined for.
            ModelError: The number is NaN or infinite, or it takes a gradient that the model does not have.
            SettingsError: The attribution does not go with this number or with this model.
        """
        quantity.check(x)
        examples = Examples(x=x)
        size = min(BATCH, quantity.task.fitting(examples))
        blocks = track(examples.blocks(size), f"{quantity.name} of {len(x):,} inputs by place", -(-len(x) // size))
        found = torch.cat([self._attribute(quantity, block.x, quantity.task.predict(block)) for block in blocks])
        if not found.isfinite().all():
            raise ModelError(
                f"the {quantity.name} is NaN or infinite on these inputs or on altered copies of them; check the "
                "model's weights and its inputs."
            )
        return found

    @abstractmethod
    def _passes(self, quantity: Quantity, shape: torch.Size) -> float:
        """The same without the one that tells what the model answers."""

    @abstractmethod
    def _attribute(self, quantity: Quantity, x: Tensor, answers: Tensor) -> Tensor:
        """The same for a batch, with what the model answers on it `[m, ...]`."""


def point(quantity: Quantity, x: Tensor) -> Tensor:
    """Where the gradients of the number are taken: at images themselves, at the embeddings of tokens.

    Returns:
        `[m, channels, height, width]`, or `[m, length, d]`.
    """
    return x if x.is_floating_point() else token_embeddings(quantity.task.model, x[:, 0])


def number_at(quantity: Quantity, where: Tensor, x: Tensor, answers: Tensor) -> Tensor:
    """The number of each input `[m]` as if `where`, to which a gradient goes back, were its `point`."""
    if x.is_floating_point():
        return quantity.differentiable(where, answers)
    with embedded(quantity.task.model, where):
        return quantity.differentiable(x, answers)


def over_channels(x: Tensor) -> int:
    """The dimension of a `point` of such inputs that is none of places: channels, or the entries of an embedding."""
    return 1 if x.is_floating_point() else 2


def gradient(quantity: Quantity, x: Tensor, answers: Tensor) -> Tensor:
    """Gradient of the number of each input in its `point`, on the CPU.

    Raises:
        ModelError: There is none, or it is zero everywhere.
        SettingsError: The number has none.
    """
    with torch.enable_grad():
        leaf = point(quantity, x).detach().clone().requires_grad_()
        values = number_at(quantity, leaf, x, answers)
        found = torch.autograd.grad(values.sum(), leaf, allow_unused=True)[0] if values.requires_grad else None
    require_gradient(quantity, found)
    assert found is not None
    return found.cpu()


def require_gradient(quantity: Quantity, found: Tensor | None) -> None:
    """Raises ModelError unless there is a gradient that is not zero everywhere."""
    if found is None:
        raise ModelError(
            f"no gradient of the {quantity.name} reaches the input: a step of the model, perhaps of its preprocessing, "
            "detaches it or leaves torch; remove that step, or choose an attribution without gradients: occlusion."
        )
    if not found.any():
        raise ModelError(
            f"the gradient of the {quantity.name} is zero everywhere: a step of the model, perhaps of its "
            "preprocessing, rounds or saturates; remove it, or choose an attribution without gradients: occlusion."
        )


def require_images(x: Tensor) -> None:
    """Raises SettingsError unless the inputs are images `[m, channels, height, width]`."""
    if x.ndim != 4 or not x.is_floating_point():
        raise SettingsError(
            f"inputs are {x.dtype} of shape {list(x.shape)}; this attribution is one of images "
            "[m, channels, height, width]."
        )


def require_places(x: Tensor) -> None:
    """Raises SettingsError unless the inputs are images or texts, whose places are `x.shape[2:]`."""
    (require_images if x.is_floating_point() else require_tokens)(x)


def require_tokens(x: Tensor) -> None:
    """Raises SettingsError unless the inputs are token ids and their roles `[m, 2, length]`."""
    if x.ndim != 3 or x.shape[1] != 2 or x.dtype != torch.int64:
        raise SettingsError(
            f"inputs are {x.dtype} of shape {list(x.shape)}; this attribution is one of texts, token ids and their "
            "roles int64 [m, 2, length]."
        )
