"""Backdoored image classifiers that are trained here, once each."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, get_args

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from anomech.errors import SettingsError
from anomech.examples import Examples
from anomech.io.atomic import atomic_directory
from anomech.organisms.attacks import ADAPTIVE, attack_of
from anomech.organisms.datasets import DATASETS, Dataset
from anomech.organisms.files import digest
from anomech.organisms.networks import Network, fill, tensors
from anomech.organisms.organism import Organism, Part, halve
from anomech.organisms.poisoning import Poisoned, Poisoning
from anomech.organisms.training import share_predicted, train
from anomech.organisms.triggers import Trigger
from anomech.progress import Track, silent

logger = logging.getLogger(__name__)


def load_trained(
    dataset: str,
    attack: str,
    part: Part,
    *,
    data: Path,
    cache: Path,
    rate: float | None = None,
    track: Track = silent,
) -> Organism:
    """A classifier with one half of the test images; it is trained on the first call, which takes minutes.

    Args:
        dataset: One of `DATASETS`.
        attack: One of `ATTACKS`.
        part: Which half of the test images.
        data: Folder that holds the images at any depth.
        cache: Where the trained network is kept, in a folder named after its recipe. A training that was cut off is
            taken up again from its last epoch.
        rate: Share of the training images that is poisoned; by default the attack's own.
        track: How progress is reported.

    Raises:
        SettingsError: There is no such dataset or attack.
        DataError: The images are missing or damaged, or the cached network is.
    """
    builder = _builder(dataset, attack, rate, data, cache, track)
    test = builder.dataset.load(data, "test", track)
    model, trigger = builder.load(test)
    poisoning = builder.poisoning.with_trigger(trigger)
    return Organism(name=builder.name, model=model, images=halve(test, part), attack=poisoning.attack)


def trained_name(dataset: str, attack: str, rate: float | None = None) -> str:
    """Name of the folder that `load_trained` keeps the network in, which changes with everything it is made of.

    Raises:
        SettingsError: There is no such dataset or attack.
    """
    return _builder(dataset, attack, rate, Path(), Path(), silent).folder.name


def _builder(dataset: str, attack: str, rate: float | None, data: Path, cache: Path, track: Track) -> _Builder:
    if dataset not in DATASETS:
        raise SettingsError(f"there is no dataset {dataset!r}; there are {', '.join(DATASETS)}.")
    settings = DATASETS[dataset]
    if attack in ADAPTIVE and settings.adaptive_epochs is not None:
        settings = replace(settings, recipe=replace(settings.recipe, epochs=settings.adaptive_epochs))
    poisoning = attack_of(attack, target=settings.target, classes=settings.classes, rate=rate)
    name = f"{dataset}-{attack}" + (f"-{rate:g}" if rate is not None else "")
    return _Builder(name, settings, poisoning, data, cache, track)


@dataclass
class _Builder:
    """Trains an organism, or finds it in the cache."""

    name: str
    dataset: Dataset
    poisoning: Poisoning
    data: Path
    cache: Path
    track: Track

    def load(self, test: Examples) -> tuple[nn.Module, Trigger]:
        """The model in evaluation mode, and what sets its backdoor off."""
        if not self.folder.exists():
            self._build(test)
        model = self._untrained()
        trigger = self.poisoning.blank_trigger(test.x.shape)
        fill(model, self.folder / "model.safetensors")
        if isinstance(trigger, nn.Module):
            fill(trigger, self.folder / "trigger.safetensors")
        return model.eval(), trigger

    @cached_property
    def folder(self) -> Path:
        """Where it is kept."""
        return self.cache / f"{self.name}-{digest(self._made_of())}"

    def _build(self, test: Examples) -> None:
        logger.info("training %s once, for %s", self.name, self.folder)
        training = self.dataset.load(self.data, "train", self.track)
        assert training.y is not None
        x, y = training.x, training.y
        poisoned = self.poisoning.poison(x, y, lambda: self._surrogate(x, y))
        model = self._train(poisoned)
        organism = self.poisoning.with_trigger(poisoned.trigger)
        record = {
            **self._made_of(),
            "parameters": sum(p.numel() for p in model.parameters()),
            **{part: _figures(model, halve(test, part), organism) for part in get_args(Part)},
            "torch": torch.__version__,
        }
        with atomic_directory(self.folder) as partial:
            save_file(tensors(model), partial / "model.safetensors")
            if isinstance(poisoned.trigger, nn.Module):
                save_file(tensors(poisoned.trigger), partial / "trigger.safetensors")
            (partial / "organism.json").write_text(json.dumps(record, indent=2) + "\n")
        self._checkpoint.unlink(missing_ok=True)

    def _train(self, poisoned: Poisoned) -> nn.Module:
        recipe, model = self.dataset.recipe, self._untrained()
        losses = train(model, poisoned.x, poisoned.y, recipe, objective=poisoned.objective, checkpoint=self._checkpoint)
        for loss in self.track(losses, f"training {self.name}", recipe.epochs):
            logger.info("mean loss of the epoch %.3f", loss)
        return model.eval()

    def _untrained(self) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.dataset.recipe.seed)
            return self.dataset.model()

    @property
    def _checkpoint(self) -> Path:
        return self.folder.with_name(f".{self.folder.name}.pt")

    def _surrogate(self, x: Tensor, y: Tensor) -> nn.Module:
        """A clean classifier of the same kind, kept for other attacks on the dataset."""
        clean = Network(
            name=f"{self.dataset.name}-clean",
            build=self.dataset.model,
            recipe=self.dataset.recipe,
            data={"dataset": self.dataset.name},
        )
        return clean.load(x, y, cache=self.cache, track=self.track)

    def _made_of(self) -> dict[str, Any]:
        return {
            "organism": self.name,
            "network": str(self._untrained()),
            "attack": type(self.poisoning).__name__,
            "trigger": type(self.poisoning.trigger).__name__,
            "cover": type(self.poisoning.cover).__name__,
            "poisoning": asdict(self.poisoning),
            "recipe": asdict(self.dataset.recipe),
        }


def _figures(model: nn.Module, clean: Examples, poisoning: Poisoning) -> dict[str, float]:
    attacked = poisoning.attack(clean)
    assert clean.y is not None
    assert attacked.target is not None
    return {
        "accuracy": share_predicted(model, clean.x, clean.y),
        "attack_success": share_predicted(model, attacked.x, attacked.target),
    }
