"""The numbers that attributions explain: how anomalous an input is, and how firmly the model holds to its answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from anomech.auditor import Auditor
from anomech.errors import SettingsError
from anomech.examples import Examples
from anomech.explain.asking import Asking
from anomech.explain.attribution import Quantity
from anomech.progress import silent
from anomech.tasks import Task


@dataclass(frozen=True)
class Anomaly(Quantity):
    """The score that a fitted auditor gives an input, for what the model answers on that very copy of it.

    A copy without the trigger is answered otherwise, by a mechanism that trusted examples do explain: so the score
    falls. With the answer held fixed, maps of development organisms were the same to the second digit.

    Attributes:
        auditor: Fitted; its detector scores each input by itself.
        ask: Puts what a language model answers to copies of a prompt in the place of their completions, which are part
            of its inputs; None keeps them. A gradient keeps them always.

    Raises:
        SettingsError: The detector is offline.
    """

    auditor: Auditor
    ask: Asking | None = None
    name: ClassVar[str] = "anomaly"

    def __post_init__(self) -> None:
        if self.auditor.detector.offline:
            raise SettingsError(
                f"{type(self.auditor.detector).__name__} scores inputs by what else is in their batch, so no place of "
                "an input explains its score; explain with another detector."
            )

    @property
    def task(self) -> Task:  # type: ignore[override]
        """The audited model."""
        return self.auditor.task

    @property
    def passes(self) -> float:
        """Those of the detector's features, and of an answer."""
        return self.auditor.detector.features.passes_per_input + (0 if self.ask is None else self.ask.passes)

    @property
    def gradient_passes(self) -> float:
        """A gradient of gradients goes back through a forward and a backward pass."""
        return 3 * self.auditor.detector.features.passes_per_input

    def values(self, x: Tensor, answers: Tensor) -> Tensor:
        """Scores `[m]`."""
        answered = x if self.ask is None else self.ask(x)
        return self.auditor.detector.score(self.auditor.extract(Examples(x=answered), track=silent))

    def differentiable(self, x: Tensor, answers: Tensor) -> Tensor:
        """Scores `[m]`, through gradients of gradients.

        Raises:
            SettingsError: The detector's features are no gradients.
        """
        return self.auditor.differentiable(x)

    def check(self, x: Tensor) -> None:
        """Raises DataError unless the inputs have the shape of the trusted examples."""
        Examples(x=x).require_shape_of(self.auditor.reference)


@dataclass(frozen=True)
class Output(Quantity):
    """How firmly the model holds to what it answered on the unaltered input: of a classifier, the log-odds."""

    task: Task
    name: ClassVar[str] = "output"

    @property
    def passes(self) -> float:
        """One."""
        return 1

    @property
    def gradient_passes(self) -> float:
        """A forward and a backward pass."""
        return 3

    def values(self, x: Tensor, answers: Tensor) -> Tensor:
        """Evidence `[m]`."""
        size = self.task.fitting(Examples(x=x[:1]))
        with torch.no_grad():
            parts = zip(x.split(size), answers.split(size), strict=True)
            return torch.cat([self._evidence(part, own).cpu() for part, own in parts])

    def differentiable(self, x: Tensor, answers: Tensor) -> Tensor:
        """Evidence `[m]`."""
        self.task.cost.forward_passes += 2 * len(x)
        return self._evidence(x, answers)

    def _evidence(self, x: Tensor, answers: Tensor) -> Tensor:
        return self.task.evidence(self.task.run(self.task.model, x), answers.to(self.task.device))
