"""What is compared: dictionaries as the paper trains them, others that are trained well, and baselines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from anomech.bench.diffing_paper import CROSSCODER, DIFF_SAE, LAYERS, NARROW_DIFF_SAE, PRIMARY, REPORTED
from anomech.bench.diffing_texts import Protocol
from anomech.diffing.autoencoders import Crosscoder, DiffSAE
from anomech.diffing.baselines import Coordinates, MeanDifference, PrincipalComponents, RandomFeatures
from anomech.diffing.features import PairFeatures
from anomech.diffing.published import PublishedCrosscoder, PublishedDiffSAE
from anomech.diffing.training import Training


@dataclass(frozen=True, kw_only=True)
class Scale:
    """How large the study is.

    Attributes:
        triggered: Texts with the trigger under the published protocol, a fifth of all.
        batch: Rows a step; the paper's is of 2,500 texts.
        steps: Steps, about a hundred passes over the texts of the published protocol, as the paper makes.
        crosscoder: Features of a crosscoder for each coordinate.
        wide: Paper's layers at which there is a Diff-SAE of 32 features a coordinate.
    """

    triggered: int = 40
    batch: int = 128
    steps: int = 160
    crosscoder: int = 4
    wide: tuple[int, ...] = (PRIMARY,)


SCALES = {"small": Scale(), "full": Scale(triggered=250, batch=256, steps=1000, crosscoder=32, wide=LAYERS)}


AS_PUBLISHED = "{}, as published"
PAPER_NAMES = {AS_PUBLISHED.format(name): name for name in REPORTED}
"""What the paper calls methods."""


def methods(protocol: Protocol, paper_layer: int, width: int, scale: Scale, *, seed: int) -> dict[str, PairFeatures]:
    """What finds features, by name: dictionaries as published, dictionaries that are trained well, and baselines.

    Args:
        protocol: What they learn from.
        paper_layer: The paper's layer that the one looked at lies as deep as.
        width: Coordinates of the residual stream.
        scale: How large they are, and how long they are trained.
        seed: Seed of their weights and batches.
    """
    budget: dict[str, Any] = {"steps": scale.steps, "batch": scale.batch, "seed": seed}
    crosscoder = scale.crosscoder * width
    narrow = 4 * width
    triggered = tuple(protocol.learnt.of_kind("attacked").nonzero().flatten().tolist())
    found: dict[str, PairFeatures] = {
        AS_PUBLISHED.format(CROSSCODER): PublishedCrosscoder(count=crosscoder, **budget),
        f"{CROSSCODER}, trained well": Crosscoder(Training(features=crosscoder, dtype="bfloat16", **budget)),
        AS_PUBLISHED.format(NARROW_DIFF_SAE): PublishedDiffSAE(count=narrow, **budget),
        f"{NARROW_DIFF_SAE}, trained well": DiffSAE(Training(features=narrow, dtype="bfloat16", **budget)),
        "difference in means, trigger known": MeanDifference(triggered=triggered),
        "difference in means, of all texts": MeanDifference(),
        "principal components": PrincipalComponents(),
        "random features": RandomFeatures(count=narrow // 2, seed=seed),
        "coordinates": Coordinates(),
    }
    if protocol.name == "published":
        found["crosscoder, as published, rows standardised"] = PublishedCrosscoder(
            count=crosscoder, standardised=True, **budget
        )
        if paper_layer in scale.wide:
            found[AS_PUBLISHED.format(DIFF_SAE)] = PublishedDiffSAE(count=32 * width, **budget)
    return found
