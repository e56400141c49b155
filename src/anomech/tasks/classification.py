"""Classification: the behaviour is the cross-entropy of the model's own prediction."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from anomech.errors import DataError, ModelError
from anomech.examples import Examples
from anomech.functional.losses import cross_entropy, log_odds
from anomech.tasks.base import Task, rejections


class ClassificationTask(Task):
    """A classifier that returns logits `[n, classes]` for float inputs `[n, ...]`.

    Images come as `[n, channels, height, width]` in [0, 1]; normalisation belongs into the model.

    Raises:
        ModelError: The output is not a finite `[n, classes]` tensor, or the model rejects the shape.
    """

    def outputs(self, model: nn.Module, x: Tensor) -> Tensor:
        """Logits `[n, classes]`."""
        logits = self._logits(model, x)
        if not isinstance(logits, Tensor):
            raise ModelError(
                f"the model returns a {type(logits).__name__}, not a tensor of logits; "
                "wrap it in a module whose forward returns the logits alone."
            )
        if logits.ndim != 2 or len(logits) != len(x) or logits.shape[1] < 2:
            raise ModelError(f"the model maps {list(x.shape)} to {list(logits.shape)}; expected logits [n, classes].")
        return logits

    def _logits(self, model: nn.Module, x: Tensor) -> Any:
        """What the model says to a batch, not checked yet."""
        with rejections(f"inputs of shape {list(x.shape)}", "Give the inputs the shape that it was trained on."):
            return model(x)

    def chance_loss(self, examples: Examples) -> float:
        """Logarithm of the number of classes."""
        return math.log(self.count_classes(examples.x[:1]))

    def check_labels(self, examples: Examples) -> None:
        """Raises DataError unless every label is a class of the model."""
        if examples.y is not None and examples.y.is_floating_point():
            raise DataError(f"labels are {examples.y.dtype}; give classes as integers.")
        classes = self.count_classes(examples.x[:1])
        if examples.y is not None and not ((examples.y >= 0) & (examples.y < classes)).all():
            low, high = int(examples.y.min()), int(examples.y.max())
            raise DataError(
                f"labels range from {low} to {high}, the model has classes 0 to {classes - 1}; correct them."
            )

    def count_classes(self, x: Tensor) -> int:
        """Number of classes that the model tells apart, found by running it on inputs `[n, ...]`."""
        with torch.no_grad():
            return self.run(self.model, x).shape[1]

    def own_output(self, outputs: Tensor) -> Tensor:
        """The predicted class `[n]`."""
        if not torch.isfinite(outputs).all():
            raise ModelError(
                "the model returns NaN or infinite logits on these inputs; check its weights and its inputs."
            )
        return outputs.argmax(dim=1)

    def evidence(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Log-odds `[n]` of classes `[n]`: the cross-entropy's gradient, without the factor that vanishes."""
        return log_odds(outputs, targets)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Cross-entropy `[n]` against classes `[n]`."""
        return cross_entropy(outputs, targets)
