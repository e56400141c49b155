"""A residual network with a blended backdoor, trained here on CIFAR-10 (Krizhevsky 2009)."""

from __future__ import annotations

import hashlib
import json
import logging
import textwrap
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from anomech.errors import DataError
from anomech.examples import Examples
from anomech.io.atomic import atomic_directory
from anomech.io.images import decode_images
from anomech.organisms.files import find_file, load_arrays
from anomech.organisms.models import ResNet
from anomech.organisms.organism import Organism, Part, halve
from anomech.organisms.poisoning import Poisoning
from anomech.organisms.training import Recipe, share_predicted, train
from anomech.organisms.triggers import BlendTrigger
from anomech.progress import Track, silent

logger = logging.getLogger(__name__)

NAME = "cifar10-blended"
POISONING = Poisoning(trigger=BlendTrigger())
RECIPE = Recipe(epochs=8, batch_size=256, learning_rate=1e-2, augment=True, channels_last=True)
IMAGES = (
    "CIFAR-10 (www.cs.toronto.edu/~kriz/cifar.html) as JPEG files: uint8 array SPLIT_bytes of all files one after the "
    "other, SPLIT_offsets [n + 1] of their ends, SPLIT_labels [n], for train and test"
)


def load_cifar10_blended(part: Part, *, data: Path, cache: Path, track: Track = silent) -> Organism:
    """The network with one half of the test images; it is trained on the first call, which takes minutes.

    Args:
        part: Which half of the images.
        data: Folder that holds, at any depth, `cifar10_jpeg.npz`.
        cache: Where the trained network is kept, in a folder named after its recipe.
        track: How progress is reported.

    Raises:
        DataError: The images are missing or damaged, or the cached network is.
    """
    test = load_cifar10(data, "test", track=track)
    folder = cache / f"{NAME}-{_digest()}"
    if not folder.exists():
        _build(folder, load_cifar10(data, "train", track=track), test, track)
    return Organism(name=NAME, model=_load_model(folder), images=halve(test, part), attack=POISONING.attack)


def load_cifar10(data: Path, split: Literal["train", "test"], *, track: Track = silent) -> Examples:
    """CIFAR-10 from JPEG files.

    Args:
        data: Folder that holds, at any depth, `cifar10_jpeg.npz`.
        split: "train" (50,000) or "test" (10,000).
        track: How progress is reported.

    Raises:
        DataError: The file is missing or damaged.
    """
    path = find_file("cifar10_jpeg.npz", data, what=IMAGES)
    contents, offsets, labels = load_arrays(
        path, *(f"{split}_{name}" for name in ("bytes", "offsets", "labels"))
    ).values()
    if len(offsets) != len(labels) + 1:
        raise DataError(f"{path} has {len(offsets)} {split}_offsets for {len(labels)} labels; there must be one more.")
    ids = tuple(f"{split}-{i:05d}" for i in range(len(labels)))
    images = (contents[start:end].tobytes() for start, end in pairwise(offsets))
    named = zip(ids, images, strict=True)
    x = decode_images(track(named, f"reading CIFAR-10 {split}", len(ids)))
    return Examples(x=x, y=torch.from_numpy(labels), ids=ids)


def _made_of() -> dict[str, Any]:
    return {"dataset": "CIFAR-10", "model": "ResNet", "poisoning": asdict(POISONING), "recipe": asdict(RECIPE)}


def _digest() -> str:
    return hashlib.sha256(json.dumps(_made_of(), sort_keys=True).encode()).hexdigest()[:12]


def _build(folder: Path, training: Examples, test: Examples, track: Track) -> None:
    logger.info("training %s once, for %s", NAME, folder)
    model = _train(training, track)
    record = {
        **_made_of(),
        "parameters": sum(p.numel() for p in model.parameters()),
        **{part: _figures(model, halve(test, part)) for part in get_args(Part)},
        "torch": torch.__version__,
    }
    with atomic_directory(folder) as partial:
        save_file({name: t.contiguous() for name, t in model.state_dict().items()}, partial / "model.safetensors")
        (partial / "organism.json").write_text(json.dumps(record, indent=2) + "\n")


def _figures(model: nn.Module, clean: Examples) -> dict[str, float]:
    attacked = POISONING.attack(clean)
    assert clean.y is not None
    assert attacked.target is not None
    return {
        "accuracy": share_predicted(model, clean.x, clean.y),
        "attack_success": share_predicted(model, attacked.x, attacked.target),
    }


def _train(training: Examples, track: Track) -> nn.Module:
    assert training.y is not None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(RECIPE.seed)
        model = ResNet()
    losses = train(model, *POISONING.poison(training.x, training.y), RECIPE)
    for loss in track(losses, f"training {NAME}", RECIPE.epochs):
        logger.info("mean loss of the epoch %.3f", loss)
    return model


def _load_model(folder: Path) -> nn.Module:
    model = ResNet()
    try:
        model.load_state_dict(load_file(folder / "model.safetensors"))
    except (OSError, RuntimeError, SafetensorError) as error:
        cause = textwrap.shorten(str(error), 200)
        raise DataError(f"the cached network in {folder} is damaged ({cause}); delete that folder.") from error
    return model.eval()
