"""Grad-CAM: where a feature map speaks for the answer."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from anomech.errors import ModelError, SettingsError
from anomech.explain.attribution import Attribution, Quantity, require_gradient, require_images
from anomech.explain.quantities import Output
from anomech.features.modules import select_modules


@dataclass(frozen=True, kw_only=True)
class GradCAM(Attribution):
    """Channels of a feature map, weighted by the mean gradient of the output in each, at the size of the image.

    Source: Selvaraju et al. 2017 (arXiv 1610.02391), by captum.

    Attributes:
        layer: Name of the module whose output is the map; by default the last convolution.
    """

    layer: str | None = None

    def _passes(self, quantity: Quantity, shape: torch.Size) -> float:
        return quantity.gradient_passes

    def _attribute(self, quantity: Quantity, x: Tensor, answers: Tensor) -> Tensor:
        # Importing captum takes a second, which no command should that does not need it.
        from captum.attr import LayerAttribution, LayerGradCam

        require_images(x)
        if not isinstance(quantity, Output):
            raise SettingsError(
                f"Grad-CAM weights feature maps by gradients of the output, not of the {quantity.name}."
            )
        module = self._module(quantity.task.model)
        with torch.enable_grad():
            found: Tensor = LayerGradCam(quantity.differentiable, module).attribute(
                x.clone().requires_grad_(), additional_forward_args=(answers,), relu_attributions=False
            )
        if found.ndim != 4:
            raise ModelError(
                f"the module {self.layer!r} puts out {list(found.shape)}, which is no feature map "
                "[n, channels, height, width]; choose a convolution."
            )
        require_gradient(quantity, found)
        enlarged: Tensor = LayerAttribution.interpolate(found.clamp_min(0), tuple(x.shape[2:]), "bilinear")
        return enlarged.detach().cpu()[:, 0]

    def _module(self, model: nn.Module) -> nn.Module:
        if self.layer is not None:
            return next(iter(select_modules(model, self.layer).values()))
        convolutions = [module for module in model.modules() if isinstance(module, nn.Conv2d)]
        if not convolutions:
            raise SettingsError(
                "the model has no convolution whose map Grad-CAM could read; name a module: layer=NAME."
            )
        return convolutions[-1]
