"""Examples: inputs of a model, with whatever is known about them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from anomech.errors import DataError


@dataclass(frozen=True, kw_only=True)
class Examples:
    """A batch of inputs and what is known about each.

    Attributes:
        x: Inputs, float `[n, ...]`, kept in float32 on the CPU; images are `[n, channels, height, width]` in [0, 1].
            Token ids are int64 `[n, ...]` and stay so.
        y: True classes, int64 `[n]`, or targets of another kind of task; None where unknown.
        ids: A name for each input; by default its position.
        anomalous: Ground truth, bool `[n]`: was this input tampered with? Only for measuring.
        target: The class that the attacker wants, int64 `[n]`, -1 where there is none. Only for measuring.

    Raises:
        DataError: Empty, neither floating point nor int64, NaN or infinite values, or fields of different lengths.
    """

    x: Tensor
    y: Tensor | None = None
    ids: tuple[str, ...] = ()
    anomalous: Tensor | None = None
    target: Tensor | None = None

    def __post_init__(self) -> None:
        if self.x.ndim < 2 or len(self.x) == 0:
            raise DataError(f"no examples: got a tensor of shape {list(self.x.shape)}; at least one input is needed.")
        if not self.x.is_floating_point() and self.x.dtype != torch.int64:
            raise DataError(f"inputs must be floating point in [0, 1], got {self.x.dtype}; divide 8-bit images by 255.")
        x = self.x.detach().cpu()
        object.__setattr__(self, "x", x.float() if x.is_floating_point() else x)
        for name in ("y", "target"):
            if (labels := getattr(self, name)) is not None:
                labels = labels.detach().cpu()
                object.__setattr__(self, name, labels if labels.is_floating_point() else labels.long())
        if not self.ids:
            object.__setattr__(self, "ids", tuple(str(i) for i in range(len(self.x))))
        for name in ("y", "ids", "anomalous", "target"):
            value = getattr(self, name)
            if value is not None and len(value) != len(self.x):
                raise DataError(f"{len(self.x)} inputs but {len(value)} values of {name!r}; they must match.")
        finite = torch.isfinite(self.x).flatten(1).all(dim=1)
        if not finite.all():
            first = int((~finite).nonzero()[0])
            raise DataError(
                f"{int((~finite).sum())} of {len(self.x)} inputs hold NaN or infinite values, "
                f"first {self.ids[first]!r}; remove or repair them."
            )

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: Tensor) -> Examples:
        """The examples at `index` (int64 positions or a bool mask)."""
        positions = index.nonzero().flatten() if index.dtype == torch.bool else index
        chosen = {f.name: getattr(self, f.name) for f in fields(self)}
        tensors = {k: v[positions] for k, v in chosen.items() if isinstance(v, Tensor)}
        return replace(self, ids=tuple(self.ids[i] for i in positions.tolist()), **tensors)

    def blocks(self, size: int) -> Iterator[Examples]:
        """Consecutive pieces of at most `size` examples."""
        for positions in torch.arange(len(self)).split(size):
            yield self[positions]

    def require_shape_of(self, other: Examples) -> None:
        """Raises DataError unless each input has the shape of those of `other`; token ids may be of any length."""
        end = None if self.x.is_floating_point() else -1
        if self.x.dtype != other.x.dtype or self.x.shape[1:end] != other.x.shape[1:end]:
            raise DataError(
                f"inputs have shape {list(self.x.shape[1:])}, trusted examples {list(other.x.shape[1:])}; "
                "they must match."
            )

    def sha256(self) -> str:
        """Hash of the inputs and labels; equal for equal data whatever its names."""
        digest = hashlib.sha256(str(list(self.x.shape)).encode())
        digest.update(self.x.contiguous().float().numpy(force=True).tobytes())
        if self.y is not None:
            digest.update(self.y.numpy(force=True).tobytes())
        return digest.hexdigest()


def concatenate(first: Examples, second: Examples) -> Examples:
    """Both sets as one; a field that either lacks is dropped."""
    pairs = {f.name: (getattr(first, f.name), getattr(second, f.name)) for f in fields(first) if f.name != "ids"}
    tensors = {k: torch.cat([a, b]) for k, (a, b) in pairs.items() if a is not None and b is not None}
    return Examples(ids=first.ids + second.ids, **tensors)


def stratified_split(labels: Tensor, fraction: float, *, seed: int) -> tuple[Tensor, Tensor]:
    """Two disjoint sets of positions, the first holding `fraction` of every class (rounded, seeded).

    Args:
        labels: Classes, int64 `[n]`.
        fraction: Share of each class that goes to the first set, in [0, 1].
        seed: Seed of the shuffle.

    Returns:
        Positions of the first and of the second set, each ascending.
    """
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.zeros(len(labels), dtype=torch.bool)
    for label in labels.unique():
        members = (labels == label).nonzero().flatten()
        members = members[torch.randperm(len(members), generator=generator)]
        chosen[members[: round(fraction * len(members))]] = True
    return chosen.nonzero().flatten(), (~chosen).nonzero().flatten()
