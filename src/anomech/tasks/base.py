"""What every task must say: how the model runs, what it answered, and what that answer costs per input."""

from __future__ import annotations

import hashlib
import logging
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from anomech.errors import ModelError
from anomech.examples import Examples
from anomech.tasks.memory import inputs_that_fit

logger = logging.getLogger(__name__)


@dataclass
class Cost:
    """Work done on a model so far, in inputs passed forward; a backward pass counts as two forward passes."""

    forward_passes: float = 0.0


class Task(ABC):
    """A model, how to run a batch, and its *behaviour*: the per-sample loss of the model's own output.

    The audited model is put into evaluation mode and is never changed. `losses` and `mean_loss` take the model to run,
    so that a perturbed copy can be run in its place.

    Args:
        model: The model to audit.
        batch_size: Most inputs a batch, fewer where memory is short; a verdict does not depend on it.
        device: Where to run; by default a GPU where there is one. A model that accelerate has laid over several stays
            there, and takes its inputs where it begins.

    Raises:
        ModelError: Part of the model lies on no device.
    """

    has_classes: ClassVar[bool] = True
    """Are own outputs classes, of which trusted examples must hold more than one?"""

    def __init__(self, model: nn.Module, *, batch_size: int = 256, device: torch.device | str | None = None) -> None:
        if hasattr(model, "hf_device_map"):
            self.device = next(model.parameters()).device
        else:
            self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
            model.to(self.device)
        if self.device.type == "cuda":
            torch.backends.cudnn.allow_tf32, torch.backends.cudnn.deterministic = False, True
        if any(p.is_meta for p in model.parameters()):
            raise ModelError("part of the model lies on disk, where it has no gradients; free memory or use more GPUs.")
        self.model = model.eval()
        self.batch_size = batch_size
        self.cost = Cost()
        self._fitting: dict[torch.Size, int] = {}
        if any(isinstance(m, nn.modules.dropout._DropoutNd) and m.p > 0 for m in self.model.modules()):
            logger.info("The model has dropout; it stays off during the audit, while sampling too.")

    @abstractmethod
    def outputs(self, model: nn.Module, x: Tensor) -> Tensor:
        """Outputs `[n, ...]` of `model` on inputs `[n, ...]`."""

    @abstractmethod
    def own_output(self, outputs: Tensor) -> Tensor:
        """What the model answered, `[n, ...]`: the target of the behaviour loss."""

    @abstractmethod
    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Per-sample loss `[n]` of outputs against targets."""

    def evidence(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """How firmly each output holds to its target `[n]`, by a measure whose gradient stays when it is certain.

        By default minus the loss.
        """
        return -self.loss(outputs, targets)

    def chance_loss(self, examples: Examples) -> float:
        """Loss of a model that knows nothing about inputs such as these; infinite where there is no such figure."""
        return math.inf

    def check_labels(self, examples: Examples) -> None:  # noqa: B027
        """Raises DataError where labels make no sense for the model; by default they are not looked at."""

    def fitting(self, examples: Examples) -> int:
        """Inputs a batch: `batch_size`, or as many as fit into the memory that was free when such inputs first came."""
        shape = examples.x.shape[1:]
        if shape not in self._fitting:
            x = examples.x[:1].to(self.device)
            fitting = inputs_that_fit(self.model, lambda one: self.outputs(self.model, one), x)
            self._fitting[shape] = min(self.batch_size, fitting)
        return self._fitting[shape]

    def predict(self, examples: Examples) -> Tensor:
        """The model's own outputs on the examples, on the CPU."""
        size = self.fitting(examples)
        with torch.no_grad():
            return torch.cat([self.own_output(self.run(self.model, x)).cpu() for x in examples.x.split(size)])

    def losses(self, model: nn.Module, examples: Examples, targets: Tensor) -> Tensor:
        """Per-sample loss `[n]` of `model` on the examples against `targets` `[n, ...]`, on the CPU."""
        size = self.fitting(examples)
        with torch.no_grad():
            return torch.cat(
                [
                    self.loss(self.run(model, x), t.to(self.device)).cpu()
                    for x, t in zip(examples.x.split(size), targets.split(size), strict=True)
                ]
            )

    def mean_loss(self, model: nn.Module, x: Tensor, targets: Tensor) -> Tensor:
        """Mean loss of one batch, with gradient, for sampling around the weights."""
        self.cost.forward_passes += 2 * len(x)
        return self.loss(self.run(model, x), targets.to(self.device)).mean()

    def run(self, model: nn.Module, x: Tensor) -> Tensor:
        """Outputs of one batch, counted in `cost`."""
        self.cost.forward_passes += len(x)
        return self.outputs(model, x.to(self.device))

    def model_sha256(self) -> str:
        """Hash of the names, shapes and values of the model's weights and buffers."""
        digest = hashlib.sha256()
        for name, tensor in sorted(self.model.state_dict().items()):
            digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
            digest.update(
                tensor.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes()
                if tensor.ndim
                else str(tensor.item()).encode()
            )
        return digest.hexdigest()


@contextmanager
def rejections(inputs: str, advice: str) -> Iterator[None]:
    """Within, what a model raises about its inputs becomes a ModelError that names them and says what to do."""
    try:
        yield
    except (RuntimeError, ValueError, TypeError, IndexError, AttributeError) as error:
        if isinstance(error, torch.OutOfMemoryError):
            raise
        raise ModelError(f"the model rejects {inputs}: {str(error).splitlines()[0]} {advice}") from error
