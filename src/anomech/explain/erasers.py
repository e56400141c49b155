"""How places of an image are made to say nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from anomech.errors import SettingsError
from anomech.explain.attribution import Eraser, require_images
from anomech.functional.inpainting import inpaint

Fill = Literal["surroundings", "mean"]


@dataclass(frozen=True)
class ImageEraser(Eraser):
    """Puts something neutral in place of pixels of images `[m, channels, height, width]`.

    Attributes:
        fill: "surroundings", what lies around them, continued smoothly; or "mean", of each channel over what is left
            of the image.
    """

    fill: Fill = "surroundings"

    def __post_init__(self) -> None:
        if self.fill not in get_args(Fill):
            raise SettingsError(f"fill must be one of {', '.join(get_args(Fill))}; got {self.fill!r}.")

    def places(self, x: Tensor) -> torch.Size:
        """`[height, width]`."""
        require_images(x)
        return x.shape[2:]

    def erase(self, x: Tensor, hidden: Tensor) -> Tensor:
        """Copies of images without the pixels in `hidden`, bool `[m, height, width]`."""
        require_images(x)
        if self.fill == "surroundings":
            return inpaint(x, hidden)
        left = (~hidden)[:, None].to(x)
        mean = (x * left).sum(dim=(2, 3), keepdim=True) / left.sum(dim=(2, 3), keepdim=True).clamp_min(1)
        return torch.where(hidden[:, None], mean, x)
