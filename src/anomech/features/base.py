"""What every feature extractor returns and does."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from anomech.errors import SettingsError
from anomech.examples import Examples
from anomech.progress import Track, silent
from anomech.sampling.health import ChainHealth
from anomech.tasks import Task


@dataclass(frozen=True)
class Features:
    """Features of n inputs.

    Attributes:
        layers: Features by the layer that they come from, each float `[n, d]`; one entry where layers mean nothing.
        predictions: What the model answered, int64 `[n]`.
    """

    layers: dict[str, Tensor]
    predictions: Tensor

    def __len__(self) -> int:
        return len(self.predictions)

    def __getitem__(self, positions: Tensor) -> Features:
        """The features at these positions."""
        return Features({name: values[positions] for name, values in self.layers.items()}, self.predictions[positions])

    def of_layers(self, names: Sequence[str]) -> Features:
        """The features of these layers alone."""
        return Features({name: self.layers[name] for name in names}, self.predictions)

    def followed_by(self, others: Features) -> Features:
        """These features, then those of others, of the same layers."""
        layers = {name: torch.cat([values, others.layers[name]]) for name, values in self.layers.items()}
        return Features(layers, torch.cat([self.predictions, others.predictions]))

    @property
    def only_layer(self) -> Tensor:
        """Features `[n, d]` of an extractor that has a single layer.

        Raises:
            SettingsError: It has several.
        """
        if len(self.layers) > 1:
            first, *_, last = self.layers
            raise SettingsError(
                f"this detector compares one vector an input, and the features have {len(self.layers)} layers, from "
                f"{first} to {last}; choose one of them, or a detector of layers."
            )
        (values,) = self.layers.values()
        return values


class FeatureExtractor(ABC):
    """Settings of a kind of feature. What fitting finds lies in a folder, so that an artefact is that folder."""

    @property
    def needs_examples(self) -> bool:
        """Does fitting need examples that are not scored?"""
        return False

    @property
    def needs_labels(self) -> bool:
        """Do those examples need labels?"""
        return False

    @property
    def passes_per_input(self) -> int:
        """Forward passes that scoring an input takes."""
        return 1

    def width(self, model: nn.Module) -> int:
        """Numbers that the features of one input take."""
        return 1

    def gradient_passes(self, blocks: int) -> int:
        """Inputs passed forward and backward to fit and to extract from so many blocks of inputs."""
        return 0

    def working_bytes(self, model: nn.Module) -> int:
        """Memory that extraction takes beside the model and the features."""
        return 0

    def disk_bytes(self, model: nn.Module) -> int:
        """Disk that fitting takes."""
        return 0

    def fit(self, task: Task, examples: Examples, folder: Path, *, track: Track = silent) -> None:  # noqa: B027
        """Prepare for `extract`; whatever that needs is written to `folder`. By default nothing is.

        Args:
            task: The model.
            examples: Examples that are not scored where it `needs_examples`; else the trusted ones.
            folder: What `extract` will read.
            track: How progress is reported.
        """

    @abstractmethod
    def extract(self, task: Task, examples: Examples, folder: Path, *, track: Track = silent) -> Features:
        """Features of the examples; `folder` is the one that `fit` wrote."""

    def extract_each(
        self, task: Task, sets: Sequence[Examples], folder: Path, *, track: Track = silent
    ) -> list[Features]:
        """Features of each of several sets, the same as by `extract`; with less work where what they need is shared."""
        return [self.extract(task, examples, folder, track=track) for examples in sets]

    def health(self, task: Task, examples: Examples, features: Features) -> ChainHealth | None:
        """Health of the chains behind the features of trusted examples; None where there are no chains."""
        return None
