from dataclasses import dataclass

import pytest
import torch

from anomech.bench import sensitivity
from anomech.bench.setup import Setup
from anomech.bench.subsets import random_subsets
from anomech.bench.suite import KEYS
from anomech.detectors import GradientCoupling, TraceCoupling
from anomech.errors import ChainError
from anomech.features import LossTraces
from anomech.sampling import RMSpropSGLD

QUICK = {
    "POOLS": {sensitivity.DEMO: 120},
    "SIZES": (60, 120, 500),
    "TRUSTED": 100,
    "SAMPLING": 64,
    "CLEAN": 50,
    "ATTACKED": 50,
    "CONTAMINANTS": 20,
    "DRAWS": (5, 10),
    "SHARES": (0.0, 0.05),
    "GAMMAS": (1e4,),
    "NBETAS": (100.0,),
    "DAMPED": (1.0,),
}


@dataclass(frozen=True, kw_only=True)
class Short(RMSpropSGLD):
    """A chain of a few steps, unless the published number is asked for."""

    chains: int = 1
    draws: int = 10
    burn_in: int = 5
    thin: int = 1


@pytest.fixture
def quick(monkeypatch):
    for name, value in QUICK.items():
        monkeypatch.setattr(sensitivity, name, value)
    monkeypatch.setattr(sensitivity, "RMSpropSGLD", Short)
    chosen = {"gradient": GradientCoupling(), "sampling": TraceCoupling(features=LossTraces(Short()))}
    monkeypatch.setattr(sensitivity, "detectors", lambda organism, seed: chosen)


@pytest.fixture
def case(quick):
    scene = Setup().scene(sensitivity.DEMO, trusted=184, clean=50, attacked=70)
    return sensitivity._case(scene, seed=0)


def test_every_study_is_done_and_contamination_hurts(quick):
    rows = list(sensitivity.rows(Setup()))
    varied = [(row["study"], row["detector"], *(row.get(key) for key in sensitivity.VARIED)) for row in rows]
    assert varied == [
        ("trusted", "gradient", 60, None, None, None, None),
        ("trusted", "gradient", 120, None, None, None, None),
        ("contamination", "gradient", 100, None, 0.0, None, None),
        ("contamination", "gradient", 100, None, 0.05, None, None),
        ("trusted", "sampling", 60, None, None, None, None),
        ("trusted", "sampling", 120, None, None, None, None),
        ("contamination", "sampling", 100, None, 0.0, None, None),
        ("contamination", "sampling", 100, None, 0.05, None, None),
        ("settings", "gradient, low-rank, nbeta 100", 100, None, None, 1.0, 100.0),
        ("trusted", "paper", 60, None, None, None, None),
        ("trusted", "paper", 120, None, None, None, None),
        ("draws", "paper", 100, 5, None, None, None),
        ("draws", "paper", 100, 10, None, None, None),
        ("trusted", "paper, default reading", 60, None, None, None, None),
        ("trusted", "paper, default reading", 120, None, None, None, None),
        ("draws", "paper, default reading", 100, 5, None, None, None),
        ("draws", "paper, default reading", 100, 10, None, None, None),
        ("settings", "sampling, nbeta 100", 100, None, None, 1e4, 100.0),
    ]
    pure, contaminated = (row["tpr_at_fpr_1"] for row in rows[2:4])
    assert pure - contaminated > 0.5
    assert {key for row in rows for key in row} >= set(sensitivity.COLUMNS) & set(KEYS)


def test_no_image_is_in_two_sets(case):
    assert [len(part) for part in case[2:]] == [120, 64, 100, 20]
    names = [name.removesuffix("+trigger") for part in case[2:] for name in part.ids]
    assert len(set(names)) == len(names)
    assert (case.contaminants.y == 0).all()


def test_a_share_of_each_set_is_replaced_by_triggered_images_of_the_attackers_label(case):
    sampling = sensitivity._contaminated(case, 0.05).sampling
    assert sum(name.endswith("+trigger") for name in sampling.ids) == 3
    assert len(sampling) == 64
    assert sensitivity._contaminated(case, 0.0) is case
    found = sensitivity._extract(GradientCoupling().features, case, Setup().track)
    chosen = random_subsets(len(found.trusted), size=100, seed=0)
    sets = list(sensitivity._contaminated_sets(found, 0.05, chosen))
    layer = next(iter(found.contaminants.layers))
    last = sets[0].layers[layer][-5:]
    assert torch.equal(last, found.contaminants.layers[layer][:5])
    assert not torch.equal(last, sets[1].layers[layer][-5:])
    assert {len(one) for one in sets} == {100}


def test_a_chain_that_fails_leaves_a_row_without_figures(case, monkeypatch):
    def fail(*args):
        raise ChainError("diverged")

    monkeypatch.setattr(sensitivity, "_extract", fail)
    (row,) = sensitivity._by_sampler(case, Setup())
    assert (row["gamma"], row["failed"]) == (1e4, "diverged")
