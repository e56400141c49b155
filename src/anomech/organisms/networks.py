"""Classifiers that are trained once and kept in a folder named after whatever they are made of."""

from __future__ import annotations

import logging
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from anomech.errors import DataError
from anomech.functional.adversarial import l2_ascent
from anomech.io.atomic import atomic_directory
from anomech.organisms.files import digest
from anomech.organisms.training import Recipe, train
from anomech.progress import Track, silent

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Adversary:
    """Raises the loss of each image within an L2 ball (`l2_ascent`); trained against, a network becomes robust.

    Attributes:
        radius: Of the ball, where pixels lie in [0, 1].
        steps: Gradients that it takes.
    """

    radius: float
    steps: int = 5

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        """Images `[n, ...]` of classes `[n]`, perturbed."""
        return l2_ascent(
            lambda images: F.cross_entropy(model(images), y, reduction="none"), x, radius=self.radius, steps=self.steps
        )


@dataclass(frozen=True, kw_only=True)
class Network:
    """A classifier without a backdoor, and how it is trained.

    Attributes:
        name: What its folder is named after.
        build: Makes the untrained network.
        recipe: How it is trained.
        data: Plain data that tell what it is trained on from anything else.
        adversary: Whom it is trained against.
    """

    name: str
    build: Callable[[], nn.Module]
    recipe: Recipe
    data: Mapping[str, object]
    adversary: Adversary | None = None

    @property
    def key(self) -> str:
        """Name of its folder."""
        adversary = {} if self.adversary is None else {"adversary": asdict(self.adversary)}
        made_of = {**self.data, "network": str(self.untrained()), "recipe": asdict(self.recipe), **adversary}
        return f"{self.name}-{digest(made_of)}"

    def load(self, x: Tensor, y: Tensor, *, cache: Path, track: Track = silent) -> nn.Module:
        """The network in evaluation mode, trained on images `[n, ...]` of classes `[n]` if it is not in the cache yet.

        Args:
            x: The images.
            y: Their classes.
            cache: Folder of trained networks. A training that was cut off goes on from its last epoch.
            track: How progress is reported.

        Raises:
            DataError: The cached network is damaged.
        """
        path = cache / self.key
        if not path.exists():
            self._build(x, y, path, track)
        model = self.untrained()
        fill(model, path / "model.safetensors")
        return model.eval()

    def untrained(self) -> nn.Module:
        """The network before its training."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.recipe.seed)
            return self.build()

    def _build(self, x: Tensor, y: Tensor, path: Path, track: Track) -> None:
        model, checkpoint = self.untrained(), path.with_name(f".{path.name}.pt")
        losses = train(model, x, y, self.recipe, perturb=self.adversary, checkpoint=checkpoint)
        for loss in track(losses, f"training {self.name}", self.recipe.epochs):
            logger.info("mean loss of the epoch %.3f", loss)
        with atomic_directory(path) as folder:
            save_file(tensors(model), folder / "model.safetensors")
        checkpoint.unlink(missing_ok=True)


def fill(module: nn.Module, path: Path) -> None:
    """Load what was kept.

    Raises:
        DataError: It is damaged.
    """
    try:
        module.load_state_dict(load_file(path))
    except (OSError, RuntimeError, SafetensorError) as error:
        cause = textwrap.shorten(str(error), 200)
        raise DataError(f"the cached network in {path.parent} is damaged ({cause}); delete that folder.") from error


def tensors(module: nn.Module) -> dict[str, Tensor]:
    """What is kept of it."""
    return {name: tensor.contiguous() for name, tensor in module.state_dict().items()}
