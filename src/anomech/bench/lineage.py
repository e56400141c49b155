"""A base and the models derived from it: each is made once, and what is kept of it is its fingerprint."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from anomech.bench.bases import Base, read_text
from anomech.bench.derived import CHANGES, Tuning, changed, mean_loss, tuned
from anomech.bench.kept import kept, row_path
from anomech.bench.setup import Setup
from anomech.bench.suite import Row
from anomech.diffing.fingerprints import DEPTHS, LENGTH, fingerprint
from anomech.diffing.weights import model_tensors
from anomech.functional.gradient_statistics import outer_statistics
from anomech.functional.weight_difference import as_matrix
from anomech.versions import versions

BASE = "as it is"
TUNED, MERGED, OTHERWISE = "fine-tuned", "LoRA, merged", "fine-tuned on another text"
HARD = "fine-tuned hard"
KINDS = (BASE, TUNED, MERGED, OTHERWISE, *CHANGES, HARD)
RATES = {MERGED: 2.0, HARD: 6.0}
"""By how much learning rates are larger than usual; by the largest models made here are trained from scratch."""
RANK = 8
"""Of the adapters."""
HELD_OUT = 0.1
"""Share of each text, its end, that losses are measured on."""


@dataclass
class Lineage:
    """A base and the models derived from it.

    Attributes:
        base: The base.
        setup: How the suite is run.
    """

    base: Base
    setup: Setup

    def rows(self) -> dict[str, Row]:
        """By kind: the fingerprint, moments of the weights, how far they moved, and the loss before and after."""
        kinds = self.setup.track(KINDS, f"models derived from {self.base.name}", len(KINDS))
        return {kind: kept(self._path(kind), partial(self._row, kind)) for kind in kinds}

    def _path(self, kind: str) -> Path:
        made_of = [self.base.made_of, self.base.texts, asdict(self._tuning(kind)), HELD_OUT, LENGTH]
        return row_path(self.setup, f"fingerprint-{kind}", [kind, *made_of, self.setup.seed, versions()["anomech"]])

    def _row(self, kind: str) -> Row:
        base, (training, held_out) = self._model, self._tokens[kind == OTHERWISE]
        if kind in CHANGES:
            model = changed(base, CHANGES[kind], seed=self.setup.seed + KINDS.index(kind))
        else:
            model = base if kind == BASE else tuned(base, training, self._tuning(kind))
        before, after = (mean_loss(one, held_out, length=self.base.tuning.length) for one in (base, model))
        return {
            "fingerprint": fingerprint(model, seed=self.setup.seed).tolist(),
            "moments": weight_moments(model).tolist(),
            "moved": _moved(base, model),
            "loss_before": before,
            "loss_after": after,
        }

    def _tuning(self, kind: str) -> Tuning:
        return replace(
            self.base.tuning,
            seed=self.setup.seed + KINDS.index(kind),
            rank=RANK if kind == MERGED else 0,
            learning_rate=self.base.tuning.learning_rate * RATES.get(kind, 1.0),
        )

    @cached_property
    def _model(self) -> nn.Module:
        return self.base.load()

    @cached_property
    def _tokens(self) -> list[tuple[Tensor, Tensor]]:
        """Of each text what is learnt from and what losses are measured on."""
        assert self.setup.data is not None
        texts = [torch.tensor(self.base.encode(read_text(name, self.setup.data))) for name in self.base.texts]
        return [(ids[: -int(HELD_OUT * len(ids))], ids[-int(HELD_OUT * len(ids)) :]) for ids in texts]


def weight_moments(model: nn.Module) -> Tensor:
    """What a fingerprint takes of gradients, taken of the weights themselves; `[STATISTICS, DEPTHS]`, flattened."""
    matrices = [as_matrix(tensor) for tensor in model_tensors(model).values() if tensor.ndim > 1]
    profile = torch.stack([outer_statistics(one.flatten(), torch.ones(1, dtype=one.dtype)) for one in matrices])
    return F.adaptive_avg_pool1d(profile.T[None], DEPTHS).flatten()


def _moved(base: nn.Module, model: nn.Module) -> float:
    """Norm of the difference of all matrices over that of those of the base."""
    before, after = (
        torch.cat([t.flatten() for t in model_tensors(one).values() if t.ndim > 1]) for one in (base, model)
    )
    return float((after - before).norm() / before.norm())
