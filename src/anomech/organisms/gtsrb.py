"""Traffic-sign classifiers that others backdoored and published (I-BAU, Zeng et al. 2022, arXiv 2110.03735)."""

from __future__ import annotations

import pickle
import textwrap
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import nn

from anomech.errors import DataError
from anomech.examples import Examples
from anomech.io.images import decode_images, to_unit
from anomech.organisms.files import find_file, load_arrays
from anomech.organisms.models import IBAUNet
from anomech.organisms.organism import Organism, Part, halve
from anomech.organisms.poisoning import Poisoning
from anomech.organisms.triggers import AdditiveTrigger, SquareTrigger

PUBLISHED = "published by YiZeng623/I-BAU on GitHub, MIT licence"
IMAGES = (
    "GTSRB (benchmark.ini.rub.de), each sign cropped to its box and resized to 32x32, "
    "as uint8 arrays test_x [n, 32, 32, 3] and test_y [n]"
)


def load_gtsrb(attack: Literal["badnets", "trojan"], part: Part, *, data: Path) -> Organism:
    """A published backdoored classifier of the 43 signs, with one half of the test images.

    Args:
        attack: "badnets" (a white square, target 8) or "trojan" (an added watermark, target 2).
        part: Which half of the images.
        data: Folder that holds, at any depth, `gtsrb32.npz` and the checkpoint `badnets_target8.pth`, or
            `trojan_wm_target2.pth` and its watermark `trojan_wm.png`.

    Raises:
        DataError: A file is missing or damaged.
    """
    if attack == "badnets":
        checkpoint, poisoning = "badnets_target8.pth", Poisoning(trigger=SquareTrigger(), target=8)
    else:
        checkpoint, poisoning = "trojan_wm_target2.pth", Poisoning(trigger=_watermark(data), target=2)
    return Organism(
        name=f"gtsrb-{attack}",
        model=_load_model(find_file(checkpoint, data, what=f"the {attack} checkpoint for GTSRB, {PUBLISHED}")),
        images=halve(_load_test(data), part),
        attack=poisoning.attack,
    )


def _watermark(data: Path) -> AdditiveTrigger:
    path = find_file("trojan_wm.png", data, what=f"the watermark of the trojan attack, {PUBLISHED}")
    return AdditiveTrigger(decode_images([(str(path), path.read_bytes())])[0])


def _load_model(path: Path) -> nn.Module:
    model = IBAUNet()
    try:
        model.load_state_dict(torch.load(path, map_location="cpu", weights_only=True)["net"])
    except (OSError, EOFError, KeyError, TypeError, RuntimeError, pickle.UnpicklingError) as error:
        cause = textwrap.shorten(str(error), 200)
        raise DataError(f"{path} is damaged or another model's ({cause}); fetch it again: {PUBLISHED}.") from error
    return model.eval()


def _load_test(data: Path) -> Examples:
    path = find_file("gtsrb32.npz", data, what=IMAGES)
    pixels, labels = load_arrays(path, "test_x", "test_y").values()
    if pixels.dtype != np.uint8 or pixels.shape[1:] != (32, 32, 3):
        raise DataError(f"{path}: test_x is {pixels.dtype} of shape {list(pixels.shape)}; expected {IMAGES}.")
    x = torch.from_numpy(np.ascontiguousarray(to_unit(pixels).transpose(0, 3, 1, 2)))
    return Examples(x=x, y=torch.from_numpy(labels), ids=tuple(f"test-{i:05d}" for i in range(len(labels))))
