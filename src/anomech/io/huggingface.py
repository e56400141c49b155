"""Hugging Face image classifiers from a local folder."""

from __future__ import annotations

import json
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from anomech.errors import ModelError


@dataclass(frozen=True)
class Preprocessing:
    """What a `preprocessor_config.json` asks for.

    Attributes:
        size: Height and width that the model takes, or None to keep those of the input.
        scale: Factor from [0, 1] to the range that is normalised.
        mean: Subtracted from each channel.
        std: Divides each channel.
    """

    size: tuple[int, int] | None = None
    scale: float = 1.0
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)


class HuggingFaceClassifier(nn.Module):
    """A Hugging Face image classifier that takes pixels in [0, 1] and returns logits.

    Args:
        model: The classifier.
        preprocessing: What to do with the pixels first.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, model: nn.Module, preprocessing: Preprocessing) -> None:
        super().__init__()
        self.model = model
        self.channels = getattr(model.config, "num_channels", None)
        self.size = preprocessing.size
        self.scale = preprocessing.scale
        self.register_buffer("mean", torch.tensor(preprocessing.mean).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(preprocessing.std).view(1, -1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Logits `[n, classes]` of images `[n, channels, height, width]` in [0, 1]; one channel may become three."""
        if x.shape[1] == 1 and self.channels == 3:
            x = x.expand(-1, 3, -1, -1)
        if self.size is not None and tuple(x.shape[2:]) != self.size:
            x = interpolate(x, self.size, mode="bilinear", antialias=True)
        logits: Tensor = self.model((x * self.scale - self.mean) / self.std).logits
        return logits


def load_huggingface(folder: Path) -> HuggingFaceClassifier:
    """The image classifier in `folder`, in float32, with the preprocessing that its JSON file asks for.

    Images are resized as a whole to the model's input size and never cropped.

    Args:
        folder: As `save_pretrained` writes it: `config.json`, safetensors, perhaps `preprocessor_config.json`.

    Raises:
        ModelError: transformers is not installed, the weights are pickled, incomplete or absent, or a file is damaged.
    """
    if not (folder / "config.json").is_file():
        raise ModelError(f"{folder} is not a Hugging Face model: it has no config.json; give the folder that has it.")
    require_safetensors(folder)
    return HuggingFaceClassifier(_pretrained(folder), _preprocessing(folder / "preprocessor_config.json"))


def require_safetensors(folder: Path) -> None:
    """Raises ModelError unless the folder holds weights that can be read without pickle."""
    if any(folder.glob("*.safetensors")):
        return
    if pickled := sorted(folder.glob("*.bin")):
        raise ModelError(
            f"{pickled[0]} needs pickle, which can run code; in the environment that wrote it "
            "run model.save_pretrained(folder, safe_serialization=True)."
        )
    raise ModelError(f"{folder} holds no weights; add its model.safetensors.")


def _pretrained(folder: Path) -> nn.Module:
    try:
        from transformers import AutoModelForImageClassification
    except ImportError as error:
        raise ModelError(f'{folder} is a Hugging Face model; to load it, pip install "anomech[hf]".') from error
    try:
        model, info = AutoModelForImageClassification.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, trust_remote_code=False, output_loading_info=True
        )
    except Exception as error:  # damaged files make transformers raise errors of many kinds
        raise ModelError(
            f"{folder} is not a usable image classifier: {textwrap.shorten(str(error), 300)}; save it again."
        ) from error
    if info["missing_keys"]:
        raise ModelError(
            f"{folder} lacks {len(info['missing_keys'])} weights, such as {min(info['missing_keys'])!r}; "
            "save the whole trained classifier."
        )
    classifier: nn.Module = model.float()
    return classifier


def _preprocessing(file: Path) -> Preprocessing:
    if not file.is_file():
        return Preprocessing()
    try:
        settings = json.loads(file.read_text(encoding="utf-8"))
        return Preprocessing(size=_size(settings), scale=_scale(settings), **_statistics(settings))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(
            f"{file} cannot be used ({type(error).__name__}: {error}); correct it or save it again."
        ) from error


def _size(settings: dict[str, Any]) -> tuple[int, int] | None:
    size = settings.get("crop_size") if settings.get("do_center_crop") else settings.get("size")
    if size is None or not settings.get("do_resize", True):
        return None
    if isinstance(size, dict) and "shortest_edge" not in size:
        return int(size["height"]), int(size["width"])
    edge = int(size["shortest_edge"] if isinstance(size, dict) else size)
    return edge, edge


def _scale(settings: dict[str, Any]) -> float:
    return 255 * float(settings.get("rescale_factor", 1 / 255)) if settings.get("do_rescale", True) else 255.0


def _statistics(settings: dict[str, Any]) -> dict[str, tuple[float, ...]]:
    if not settings.get("do_normalize", False):
        return {}
    return {"mean": tuple(map(float, settings["image_mean"])), "std": tuple(map(float, settings["image_std"]))}
