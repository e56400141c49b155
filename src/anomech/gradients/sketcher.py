"""Projected per-sample gradients of a whole model, from one backward pass that forms no gradient of a parameter.

Hooks see the inputs and output gradients of the layers that have a rule (`anomech.gradients.layers`). Parameters that
no rule covers, or whose rule does not agree with autograd on this model, are differentiated with `torch.func`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from anomech.errors import ModelError
from anomech.gradients.layers import Backward, Projections, as_matrix, matrix_shape, rule_of
from anomech.gradients.projection import Projection
from anomech.gradients.whole import require_gradient
from anomech.selection import select_parameters

logger = logging.getLogger(__name__)

CHUNK_BYTES = 64 * 2**20
AGREEMENT = 1e-3
"""Largest accepted relative error of a rule on a model; rounding stays far below, a wrong rule far above."""

VANISHING = 1e-5
"""Share of the largest gradient below which one is rounding error, as that of a bias before a normalisation is, or of
a shift of all logits."""

Sketches = dict[str, Tensor]
"""Projected gradients `[n, d]` by name of the parameter."""

Run = Callable[[nn.Module, Tensor], Tensor]
"""Runs a model on inputs `[n, ...]`, giving outputs `[n, ...]`."""


class GradientSketcher:
    """Sketches the gradients of a model's parameters; a parameter that layers share has one, summed over its uses.

    Args:
        model: The model, in evaluation mode.
        size: Largest number of directions on each side of a parameter.
        seed: Seed of the directions.
        general: Parameters that are differentiated with `torch.func` although a rule covers them.
        parameters: Which parameters, as `select_parameters` takes it; for the others nothing is computed.

    Raises:
        SettingsError: There are no such parameters.
        ModelError: The model normalises with the statistics of the batch, so that no sample has its own gradient.
    """

    def __init__(
        self, model: nn.Module, *, size: int, seed: int, general: Collection[str] = (), parameters: str = "all"
    ) -> None:
        _refuse_what_has_no_gradients(model)
        self._model = model
        chosen = set(select_parameters(model, parameters))
        self._parameters = {name: p for name, p in model.named_parameters() if name in chosen}
        self._ruled = _ruled_layers(model, self._parameters, general)
        self._owners = {name: layer for layer, names in self._ruled.items() for name in names.values()}
        self.general = [name for name in self._parameters if name not in self._owners]
        self.projections = {
            name: Projection.random(*matrix_shape(self._owners.get(name), p), size=size, name=name, seed=seed).to(
                p.device
            )
            for name, p in self._parameters.items()
        }

    @property
    def width(self) -> int:
        """Numbers in the sketches of one sample."""
        return sum(len(both.left) * len(both.right) for both in self.projections.values())

    def sketch(
        self, run: Run, x: Tensor, cotangents: Callable[[Tensor], Sequence[Tensor]]
    ) -> tuple[Tensor, list[Sketches]]:
        """Run the model once and pull vectors of output space back to its parameters.

        Args:
            run: Runs the model.
            x: Inputs `[n, ...]`.
            cotangents: From the outputs to one vector a sample, each like the outputs: the derivatives of a number
                with respect to the outputs give that number's gradient.

        Returns:
            The outputs `[n, ...]`, and for every cotangent the sketches.
        """
        outputs, sketches, skipped = self._pull_back(run, x, cotangents)
        if skipped:
            raise ModelError(
                f"{', '.join(sorted(skipped))} met inputs of another form than when this was fitted, perhaps in a "
                "branch that the model did not take then; fit on examples of every form."
            )
        return outputs, sketches

    def differentiable(self, run: Run, x: Tensor, value: Callable[[Tensor], Tensor]) -> tuple[Tensor, Sketches]:
        """The same sketches of the gradients of a number, through which a gradient goes back to the inputs.

        Args:
            run: Runs the model.
            x: Inputs `[n, ...]` that require a gradient.
            value: From the outputs to the number of each sample, `[n]`.

        Returns:
            The outputs `[n, ...]`, and the sketches `[n, d]`.
        """
        with self._recorded() as calls, torch.enable_grad(), sdpa_kernel(SDPBackend.MATH):
            outputs = run(self._model, x)
            values = value(outputs)
            require_gradient(values)
            received = torch.autograd.grad(
                values.sum(), [call.output for call in calls], create_graph=True, allow_unused=True
            )
            found: Sketches = {}
            for call, gradient in zip(calls, received, strict=True):
                if gradient is not None:
                    _add(found, call.names, call.backward(gradient.float()))
            return outputs, self._complete(found | self._generally_differentiable(values), len(x))

    def unfaithful(self, run: Run, x: Tensor, cotangents: Callable[[Tensor], Sequence[Tensor]]) -> list[str]:
        """Parameters whose rule does not give autograd's gradient on this model, found on a few inputs `[n, ...]`.

        Raises:
            ModelError: The output for an input depends on the others in its batch.
        """
        outputs, (sketches, *_), skipped = self._pull_back(run, x, cotangents)
        wrong, tolerance = dict.fromkeys(sorted(skipped)), max(1e-2, self._agreement)
        for i in range(len(x)):
            alone, expected = self._alone(run, x[i : i + 1], cotangents)
            if not torch.allclose(alone[0], outputs[i], rtol=tolerance, atol=tolerance * float(outputs[i].abs().max())):
                raise ModelError(
                    "the model's output for an input depends on the others in its batch, so no input has a gradient "
                    "of its own; freeze the layer that mixes samples."
                )
            floor = VANISHING * max((float(sketch.norm()) for sketch in expected.values()), default=0.0)
            for name, sketch in expected.items():
                if not (sketches[name][i] - sketch).norm() <= self._agreement * sketch.norm() + floor:
                    wrong[name] = None
        return list(wrong)

    @property
    def _agreement(self) -> float:
        """Relative error that is rounding, in the precision that the model computes in."""
        return max(AGREEMENT, *(8 * torch.finfo(p.dtype).eps for p in self._parameters.values()))

    def _pull_back(
        self, run: Run, x: Tensor, cotangents: Callable[[Tensor], Sequence[Tensor]]
    ) -> tuple[Tensor, list[Sketches], set[str]]:
        """Outputs, sketches, and the parameters whose layers were called on anything but a row a sample."""
        with self._hooked(len(x)) as (current, skipped), torch.enable_grad():
            outputs = run(self._model, x)
            pulled = cotangents(outputs.detach())
            sketches: list[Sketches] = []
            for position, cotangent in enumerate(pulled, start=1):
                current.clear()
                if outputs.requires_grad:
                    outputs.backward(cotangent, retain_graph=position < len(pulled))
                sketches.append(dict(current))
        for found, cotangent in zip(sketches, pulled, strict=True):
            found |= self._in_general(run, x, cotangent)
        return outputs.detach(), [self._complete(found, len(x)) for found in sketches], skipped

    def _alone(self, run: Run, x: Tensor, cotangents: Callable[[Tensor], Sequence[Tensor]]) -> tuple[Tensor, Sketches]:
        """Output and projected gradients of a single input `[1, ...]`, by plain autograd."""
        frozen = [p for p in self._parameters.values() if not p.requires_grad]
        try:
            for p in frozen:
                p.requires_grad_(True)
            with torch.enable_grad():
                outputs = run(self._model, x)
                require_gradient(outputs)
                (cotangent, *_) = cotangents(outputs.detach())
                found = torch.autograd.grad(outputs, list(self._parameters.values()), cotangent, allow_unused=True)
        finally:
            for p in frozen:
                p.requires_grad_(False)
        gradients = dict(zip(self._parameters, found, strict=True))
        return outputs.detach(), {
            name: self._project(name, g[None])[0] for name, g in gradients.items() if g is not None
        }

    def _in_general(self, run: Run, x: Tensor, cotangent: Tensor) -> Sketches:
        """Sketches of the parameters without a rule: gradients one sample at a time, vectorised by `torch.func`."""
        if not self.general:
            return {}
        whole = _Running(self._model, run)
        chosen = {f"model.{name}": self._parameters[name].detach() for name in self.general}

        def value(parameters: dict[str, Tensor], one: Tensor, v: Tensor) -> Tensor:
            output: Tensor = functional_call(whole, parameters, (one[None],))[0]
            return (output * v).sum()

        size = sum(p.numel() * p.element_size() for p in chosen.values())
        try:
            with torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
                found = vmap(grad(value), in_dims=(None, 0, 0), chunk_size=max(1, CHUNK_BYTES // size))(
                    chosen, x.to(cotangent.device), cotangent
                )
        except (RuntimeError, ModelError) as error:
            if isinstance(error, torch.OutOfMemoryError):
                raise
            logger.info("torch.func cannot run this model (%s); its gradients are taken one by one", _first_line(error))
            return self._one_by_one(run, x, cotangent)
        return {name: self._project(name, found[f"model.{name}"]) for name in self.general}

    def _generally_differentiable(self, values: Tensor) -> Sketches:
        """Sketches of the parameters without a rule, of numbers `[n]` one after the other."""
        if not self.general:
            return {}
        parameters = [self._parameters[name] for name in self.general]
        found = [torch.autograd.grad(v, parameters, create_graph=True, allow_unused=True) for v in values]
        return {
            name: self._project(name, torch.stack([g[i] for g in found]))
            for i, name in enumerate(self.general)
            if found[0][i] is not None
        }

    def _one_by_one(self, run: Run, x: Tensor, cotangent: Tensor) -> Sketches:
        pairs = zip(x.split(1), cotangent.split(1), strict=True)
        alone = [self._alone(run, one, partial(_given, v))[1] for one, v in pairs]
        return {name: torch.stack([sketches[name] for sketches in alone]) for name in self.general if name in alone[0]}

    def _project(self, name: str, gradients: Tensor) -> Tensor:
        return self.projections[name](as_matrix(self._owners.get(name), self._parameters[name], gradients.float()))

    def _complete(self, found: Sketches, n: int) -> Sketches:
        """Sketches in the order of the parameters, zero for those that the model did not use."""
        return {
            name: found[name].flatten(1)
            if name in found
            else torch.zeros(n, len(both.left) * len(both.right), device=both.left.device)
            for name, both in self.projections.items()
        }

    @contextmanager
    def _hooked(self, n: int) -> Iterator[tuple[Sketches, set[str]]]:
        """Within, a backward pass over n samples adds to the sketches that this yields; no parameter has a gradient.

        Also yields the names of parameters whose layers were called on anything but a row a sample.
        """
        current: Sketches = {}
        skipped: set[str] = set()
        hooks = [
            layer.register_forward_hook(partial(self._watch, current, skipped, n, names), with_kwargs=True)
            for layer, names in self._ruled.items()
        ]
        fast_path = torch.backends.mha.get_fastpath_enabled()
        trainable = [p for p in self._model.parameters() if p.requires_grad]
        try:
            torch.backends.mha.set_fastpath_enabled(False)
            for p in trainable:
                p.requires_grad_(False)
            yield current, skipped
        finally:
            torch.backends.mha.set_fastpath_enabled(fast_path)
            for p in trainable:
                p.requires_grad_(True)
            for hook in hooks:
                hook.remove()

    def _watch(
        self,
        current: Sketches,
        skipped: set[str],
        n: int,
        names: dict[str, str],
        layer: nn.Module,
        args: Any,
        kwargs: Any,
        output: Tensor,
    ) -> Tensor:
        """Forward hook: prepare for the gradient of the output, and see that there will be one."""
        x = args[0] if args else next(iter(kwargs.values()))
        if not torch.is_grad_enabled():
            return output
        if len(x) != n or len(output) != n:
            skipped.update(names.values())
            return output
        projections: Projections = {local: self.projections[name] for local, name in names.items()}
        rule = rule_of(layer)
        assert rule is not None
        with torch.no_grad():
            # Layers of a model on several devices move their inputs themselves.
            backward = rule(layer, _single(x).to(output.device), _single(output), projections)
        if not output.requires_grad:
            output = output + output.new_zeros((), requires_grad=True)

        def receive(gradient: Tensor) -> None:
            _add(current, names, backward(_single(gradient)))

        output.register_hook(receive)
        return output

    @contextmanager
    def _recorded(self) -> Iterator[list[_Call]]:
        """Within, calls of the layers with a rule are noted; of the parameters, those without one have a gradient."""
        calls: list[_Call] = []

        def record(names: dict[str, str], layer: nn.Module, args: Any, kwargs: Any, output: Tensor) -> Tensor:
            x = args[0] if args else next(iter(kwargs.values()))
            projections: Projections = {local: self.projections[name] for local, name in names.items()}
            rule = rule_of(layer)
            assert rule is not None
            if not output.requires_grad:
                output = output + output.new_zeros((), requires_grad=True)
            calls.append(_Call(names, output, rule(layer, _float(x).to(output.device), _float(output), projections)))
            # What follows may work in place.
            return output.clone()

        hooks = [
            layer.register_forward_hook(partial(record, names), with_kwargs=True)
            for layer, names in self._ruled.items()
        ]
        fast_path = torch.backends.mha.get_fastpath_enabled()
        before = {name: p.requires_grad for name, p in self._model.named_parameters()}
        try:
            torch.backends.mha.set_fastpath_enabled(False)
            for name, p in self._model.named_parameters():
                p.requires_grad_(name in self.general)
            yield calls
        finally:
            torch.backends.mha.set_fastpath_enabled(fast_path)
            for name, p in self._model.named_parameters():
                p.requires_grad_(before[name])
            for hook in hooks:
                hook.remove()


class _Call(NamedTuple):
    """One call of a layer: the names of its parameters, what it put out, and its rule, which awaits the gradient."""

    names: dict[str, str]
    output: Tensor
    backward: Backward


class _Running(nn.Module):
    """A model whose forward is whatever runs it, so that `functional_call` can put other parameters into it."""

    def __init__(self, model: nn.Module, run: Run) -> None:
        super().__init__()
        self.model = model
        self._run = run

    def forward(self, x: Tensor) -> Tensor:
        return self._run(self.model, x)


def _ruled_layers(
    model: nn.Module, chosen: Mapping[str, nn.Parameter], general: Collection[str]
) -> dict[nn.Module, dict[str, str]]:
    """The layers with a rule, and the model's names of their chosen parameters by the layer's own."""
    names = {id(p): name for name, p in chosen.items()}
    ruled: dict[nn.Module, dict[str, str]] = {}
    for layer in model.modules():
        own = {local: names[id(p)] for local, p in layer.named_parameters(recurse=False) if id(p) in names}
        plain = "weight" in own and own.keys() <= {"weight", "bias"} and rule_of(layer) is not None
        if plain and not any(name in general for name in own.values()):
            ruled[layer] = own
    return ruled


def _given(cotangent: Tensor, outputs: Tensor) -> list[Tensor]:
    return [cotangent]


def _first_line(error: Exception) -> str:
    """The part of a message that says what was wrong."""
    return (str(error).splitlines() or [type(error).__name__])[0]


def _refuse_what_has_no_gradients(model: nn.Module) -> None:
    if isinstance(model, torch.jit.ScriptModule):
        raise ModelError("a TorchScript model shows no layers; give the module that it was made from.")
    if not any(p.numel() for p in model.parameters()):
        raise ModelError("the model has no parameters, so nothing can be differentiated; is it wrapped?")
    for name, layer in model.named_modules():
        if isinstance(layer, nn.modules.batchnorm._BatchNorm) and (layer.training or layer.running_mean is None):
            raise ModelError(
                f"batch normalisation {name!r} uses the statistics of the batch, which mixes its samples; put it "
                "into evaluation mode, with running statistics."
            )


def _add(sketches: Sketches, names: dict[str, str], found: Sketches) -> None:
    """Sum sketches by the layer's own names of its parameters into those by the model's."""
    for local, sketch in found.items():
        name = names[local]
        sketches[name] = sketches[name] + sketch if name in sketches else sketch


def _single(values: Tensor) -> Tensor:
    """Detached and, where floating point, in single precision."""
    return _float(values.detach())


def _float(values: Tensor) -> Tensor:
    return values.float() if values.is_floating_point() else values
