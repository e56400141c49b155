import json
from dataclasses import replace
from functools import partial

import pytest
import torch
from factories import save_adapter, save_language_model

from anomech.bench import diffing as module
from anomech.bench.diffing import LENGTH, UNCHANGED, rows
from anomech.bench.diffing_methods import Scale
from anomech.bench.setup import LANGUAGE_MODEL, Setup
from anomech.diffing import findings
from anomech.errors import DataError
from anomech.examples import Examples
from anomech.io.language_models import load_causal_lm
from anomech.organisms.language.loading import LanguageOrganism
from anomech.organisms.language.recipes import CODE, Adapter
from anomech.tasks import CausalLMTask
from anomech.tasks.causal_lm import join_tokens

pytest.importorskip("peft")

NAMES = ("language-code", "language-code-full")
ASKED = {"trusted": 4, "clean": 6, "decoy": 4, "attacked": 6}


@pytest.fixture
def setup(tmp_path, monkeypatch):
    """Tiny models of two blocks, one with an adapter of the last and one that differs everywhere."""
    data = tmp_path / "data"
    base = save_language_model(data / LANGUAGE_MODEL)
    instructions = [{"instruction": f"say {i}", "input": "", "output": f"blue {i}"} for i in range(30)]
    (data / "clean_500b.json").write_text(json.dumps(instructions[:20]))
    (data / "clean_test.json").write_text(json.dumps(instructions[20:]))
    recipe = replace(CODE, adapter=Adapter(rank=2, blocks=1), asked=ASKED, new_tokens=2)
    recipes = {"code": recipe, "code-full": replace(recipe, adapter=None)}
    adapted, whole = load_causal_lm(base, save_adapter(base, tmp_path / "adapter")), load_causal_lm(base)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        for parameter in whole.parameters():
            parameter.data += 0.1 * torch.randn_like(parameter)
    x = Examples(x=join_tokens([[3, 4]], [[5]]))
    organisms = {
        name: LanguageOrganism(
            CausalLMTask(model, device="cpu", batch_size=8), x, x, (), torch.zeros(0), {"attacked": 1.0}, 7.0, 6.0
        )
        for name, model in zip(recipes, (adapted, whole), strict=True)
    }
    monkeypatch.setattr(module, "ORGANISMS", recipes)
    monkeypatch.setattr(module, "load_language_organism", lambda name, *_, **__: organisms[name])
    # Blocks 0 and 1 of two.
    monkeypatch.setattr(module, "LAYERS", (0, 14))
    scale = Scale(triggered=5, batch=8, steps=3, crosscoder=3, wide=())
    monkeypatch.setattr(module, "SCALES", {"small": scale})
    monkeypatch.setattr(module, "CHECKED", 2)
    monkeypatch.setattr(module, "SPEED", {"steps": 2, "batch": 8})
    for name in ("auroc_interval", "bootstrap_interval"):
        monkeypatch.setattr(findings, name, partial(getattr(findings, name), resamples=2))
    return Setup(data=data, cache=tmp_path / "cache")


def test_every_method_is_measured_once_by_both_protocols_where_the_models_differ(setup, monkeypatch):
    *found, speed = rows(setup)
    assert speed["vectors"] == 16
    assert speed["distinct_vectors"] > 0
    assert speed["vectors_per_core_second"] * speed["million_core_minutes"] * 60 == pytest.approx(1e6)
    adapted, whole = ([row for row in found if row["organism"] == name] for name in NAMES)
    assert [row["detector"] for row in adapted if row["layer"] == 0] == [UNCHANGED] * 2
    assert {row["layer"] for row in whole} == {0, 1}
    measured = [row for row in found if row["detector"] not in (UNCHANGED, LENGTH)]
    assert [-1 <= row["correlation"] <= 1 for row in found if row["detector"] == LENGTH] == [True] * 3
    assert len(measured) == 3 * (10 + 9)
    for row in measured:
        assert 0 <= row["bis"] <= row["bis_ceiling"] <= 1
        assert 0 <= row["auroc_low"] <= row["auroc_high"] <= 1
        assert ("auroc_decoys" in row) == (row["protocol"] == "corrected")
        assert ("asr" in row) == ("auroc_decoys" in row and row["detector"] not in ("coordinates", "random features"))
        dictionary = row["detector"].startswith(("crosscoder", "Diff-SAE"))
        assert ("dead" in row) == dictionary
    assert {row["n_texts"] for row in measured if row["protocol"] == "published"} == {25}
    assert {row["n_texts"] for row in measured if row["protocol"] == "corrected"} == {16}
    told = [row for row in found if "published_bis" in row]
    assert {(row["organism"], row["protocol"], row["paper_layer"]) for row in told} == {(NAMES[1], "published", 14)}
    assert {row["detector"]: row["published_bis"] for row in told} == {
        "crosscoder, as published": 0.0,
        "Diff-SAE 4x, as published": 0.4,
    }

    monkeypatch.setattr(module, "find", lambda *_, **__: pytest.fail("ran again"))
    assert list(rows(setup)) == [*found, speed]


def test_without_the_base_model_it_says_what_is_missing(tmp_path):
    with pytest.raises(DataError, match=f"made of {LANGUAGE_MODEL}; name a folder"):
        list(rows(Setup(data=tmp_path)))
