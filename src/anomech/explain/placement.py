"""Where the gradients of inputs lie among the sharpest directions of a loss, and how they are aligned."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from anomech.errors import ModelError
from anomech.examples import Examples
from anomech.functional.count_sketch import CountSketch
from anomech.functional.directions import directions
from anomech.gradients.sharp import SharpDirections
from anomech.gradients.whole import whole_gradients
from anomech.progress import Track, silent
from anomech.tasks import Task

WIDTH = 4096
"""Numbers that are kept of a gradient, for its cosines with others; a cosine is off by about 0.016."""


@dataclass(frozen=True)
class Placement:
    """Where the gradients of n inputs lie; everything is zero of one that has no gradient.

    Attributes:
        shares: Share of each one's energy (squared norm) in the sharpest direction, in the two sharpest, and so on,
            float64 `[n, k]`.
        matched: The same, in the mean, of a random vector that has the gradient's norm in every parameter.
        sketches: Of the gradients, of unit norm, float32 `[n, WIDTH]`.
        predictions: What the model answered, `[n, ...]`.
    """

    shares: Tensor
    matched: Tensor
    sketches: Tensor
    predictions: Tensor

    def __len__(self) -> int:
        return len(self.shares)

    @property
    def moved(self) -> Tensor:
        """Which of them have a gradient, bool `[n]`."""
        return self.sketches.any(1)

    def __getitem__(self, index: Tensor) -> Placement:
        """Of the inputs at `index`."""
        return Placement(self.shares[index], self.matched[index], self.sketches[index], self.predictions[index])


def place_gradients(
    task: Task, examples: Examples, sharp: SharpDirections, *, seed: int = 0, track: Track = silent
) -> Placement:
    """Where the gradients of inputs lie, for a forward and a backward pass each; none of them is held.

    Args:
        task: The model at whose weights the directions are.
        examples: Inputs.
        sharp: The sharpest directions of the trusted loss.
        seed: Seed of the sketches; cosines are between those of one seed.
        track: How progress is reported.

    Raises:
        ModelError: No input has a gradient.
    """
    sketch = CountSketch(sum(sharp.sizes), width=WIDTH, seed=seed)
    doing = f"gradients of {len(examples):,} inputs"
    found = []
    for gradient in whole_gradients(task, examples, track=track, doing=doing):
        # Of unit norm, so that no tiny one underflows when squared.
        (unit,), _ = directions(gradient.cpu()[None])
        energies = sharp.energies(unit[None])
        found.append((sharp.along(unit[None])[0].square(), sharp.matched(energies)[0], sketch(unit)))
    along, matched, sketches = map(torch.stack, zip(*found, strict=True))
    if not bool(sketches.any()):
        raise ModelError(
            f"none of the {len(examples):,} inputs has a gradient: the model's answer does not depend on its weights "
            "there; check its activations, and that its parameters are those that it uses."
        )
    return Placement(along.cumsum(1), matched.cumsum(1), directions(sketches)[0], task.predict(examples))


def cosines(placed: Placement, trusted: Placement) -> Tensor:
    """Cosines of gradients with those of trusted examples, `[n, trusted]`; NaN of one with itself."""
    found = placed.sketches @ trusted.sketches.T
    return found.fill_diagonal_(torch.nan) if placed is trusted else found
