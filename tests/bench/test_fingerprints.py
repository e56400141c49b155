import math

import pytest
import torch

from anomech.bench import fingerprints as module
from anomech.bench.bases import FAMILIES
from anomech.bench.fingerprints import BASE, DETECTORS, JUDGED, KNOWN, SIBLINGS, USUAL, figures, judge, parts, totals
from anomech.bench.lineage import KINDS
from anomech.bench.setup import Setup
from anomech.diffing.fingerprints import LENGTH

EVERYTHING = {"moved": 0.1, "loss_before": 2.0, "loss_after": 1.0}


def families(spread):
    """Fingerprints of every base and kind; copies of a base lie around it, so far."""
    generator = torch.Generator().manual_seed(0)

    def draw():
        return torch.randn(LENGTH, generator=generator, dtype=torch.float64)

    return {base: {kind: centre + spread * draw() for kind in KINDS} for base in FAMILIES for centre in [draw()]}


def test_no_model_that_is_judged_is_known():
    assert not {kind for kinds in KNOWN.values() for kind in kinds} & set(JUDGED)
    assert set(JUDGED) | set(KNOWN[USUAL]) == set(KINDS)


def test_no_two_known_bases_are_siblings_without_one_list():
    for left_out in SIBLINGS:
        architectures = [shape for base, (shape, *_) in FAMILIES.items() if base not in left_out]
        assert len(architectures) == len(set(architectures))
        assert {FAMILIES[base][0] for base in left_out} <= set(architectures)


@pytest.mark.parametrize("kinds", KNOWN.values())
def test_families_that_are_apart_are_told_and_others_unknown(kinds):
    known, left_out, siblings = totals(families(spread=0.1), kinds)
    assert known["n_models"] == len(FAMILIES) * len(JUDGED)
    assert (known["right"], known["right_high"], known["nearest_right"]) == (1.0, 1.0, 1.0)
    assert 0.9 < known["right_low"] < 1
    assert known["own_distance"] < known["threshold"] < known["other_distance"]
    assert left_out["n_models"] == len(FAMILIES) * (1 + len(JUDGED))
    assert siblings["n_models"] == 4 * (1 + len(JUDGED))
    for row in (left_out, siblings):
        assert (row["unknown"], row["named_another"], row["refused"]) == (1.0, 0.0, 0.0)
        assert row["threshold"] < row["other_distance"]


def test_known_models_that_are_mixed_up_are_refused():
    found = families(spread=0.1)
    for base, other in zip(FAMILIES, reversed(FAMILIES), strict=True):
        found[base]["noised 2 %"] = found[other][BASE]
    rows = list(totals(found, KNOWN[USUAL]))
    assert [row["refused"] for row in rows] == [1.0] * 3
    assert (rows[0]["right"], rows[0]["unknown"], rows[0]["named_another"]) == (0.0, 0.0, 0.0)
    assert rows[0]["own_distance"] is None


def test_a_model_that_is_swapped_is_named_wrongly_and_one_far_off_unknown():
    found = families(spread=0.1)
    found["opt"]["bfloat16"] = found["llama a"][BASE]
    found["opt"]["noised 1 %"] = 10 * found["opt"]["noised 1 %"]
    judgements = judge(found, KNOWN[USUAL])
    row = figures([one for one in judgements if one.base == "opt"])
    n = len(JUDGED)
    assert (row["right"], row["unknown"], row["named_another"]) == ((n - 2) / n, 1 / n, 1 / n)
    models = {base: dict.fromkeys(KINDS, EVERYTHING) for base in FAMILIES}
    told = list(parts(judgements, models))
    assert [row["right"] for row in told if row["study"] == "kind" and row["kind"] == "bfloat16"] == [5 / 6]
    assert [row["organism"] for row in told if row["study"] == "base" and row["right"] < 1] == ["opt"]
    one = next(row for row in told if row["study"] == "model" and row["kind"] == "bfloat16" and row["right"] == 0)
    assert one["other_distance"] < one["threshold"] < one["own_distance"]
    assert one["loss_after"] == 1.0


def test_the_whole_suite_runs_on_tiny_models(lineages, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "KNOWN", {USUAL: KNOWN[USUAL]})
    rows = list(module.rows(Setup(data=lineages, cache=tmp_path, part="development")))
    studies = [row["study"] for row in rows]
    assert studies[:9] == ["base known", "base not known", "sibling known"] * len(DETECTORS)
    assert {name: studies.count(name) for name in ("kind", "base", "model")} == {"kind": 10, "base": 6, "model": 60}
    for row in rows:
        shares = [row.get(key) for key in ("right", "unknown", "named_another", "refused")]
        assert math.isclose(sum(share or 0.0 for share in shares), 1.0)
        assert row.keys() <= {*module.COLUMNS, "seed"}
