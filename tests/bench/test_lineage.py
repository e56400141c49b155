import pytest
import torch
from torch import nn

from anomech.bench import lineage as module
from anomech.bench.bases import bases
from anomech.bench.lineage import BASE, KINDS, Lineage, weight_moments
from anomech.bench.setup import Setup
from anomech.diffing.fingerprints import DEPTHS, LENGTH
from anomech.functional.gradient_statistics import STATISTICS


@pytest.fixture
def lineage(lineages, tmp_path):
    setup = Setup(data=lineages, cache=tmp_path)
    return Lineage(next(iter(bases(setup))), setup)


def test_every_kind_is_made_once(lineage, monkeypatch):
    rows = lineage.rows()
    assert tuple(rows) == KINDS
    assert all(len(row["fingerprint"]) == LENGTH for row in rows.values())
    assert rows[BASE]["moved"] == 0
    assert rows[BASE]["loss_before"] == rows[BASE]["loss_after"]
    assert all(row["moved"] > 0 for kind, row in rows.items() if kind != BASE)
    assert len({tuple(row["fingerprint"]) for row in rows.values()}) == len(KINDS)
    monkeypatch.setattr(module, "fingerprint", lambda *_: pytest.fail("it was made again"))
    assert Lineage(lineage.base, lineage.setup).rows() == rows


def test_copies_that_are_judged_and_known_learn_other_texts(lineage, monkeypatch):
    learnt = []
    monkeypatch.setattr(module, "tuned", lambda base, tokens, tuning: learnt.append((tokens, tuning)) or base)
    lineage.rows()
    (judged, whole), (merged, adapters), (known, otherwise), (far, hard) = learnt
    assert judged.equal(merged)
    assert judged.equal(far)
    assert not judged[:20].equal(known[:20])
    assert (whole.rank, adapters.rank, otherwise.rank, hard.rank) == (0, module.RANK, 0, 0)
    assert hard.learning_rate > adapters.learning_rate > whole.learning_rate == otherwise.learning_rate
    assert len({whole.seed, adapters.seed, otherwise.seed, hard.seed}) == 4


def test_moments_of_weights_are_those_of_their_entries():
    model = nn.Linear(30, 20)
    found = weight_moments(model).view(len(STATISTICS), DEPTHS)
    weights = model.weight.detach().double()
    assert torch.allclose(found[0], weights.mean())
    assert torch.allclose(found[1], weights.std(correction=0).log())
    assert torch.allclose(found[2], weights.norm().log())
