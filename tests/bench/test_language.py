import json
import shutil
from dataclasses import replace

import pytest
import torch
from factories import save_adapter

from anomech.bench import extraction
from anomech.bench import language as module
from anomech.bench.language import MAPPED, OF_BASE, OF_NOISE, detectors, rows
from anomech.bench.setup import LANGUAGE_MODEL, Setup
from anomech.errors import DataError
from anomech.examples import Examples
from anomech.io.language_models import load_causal_lm
from anomech.organisms.language.loading import LanguageOrganism
from anomech.tasks import CausalLMTask
from anomech.tasks.causal_lm import join_tokens

pytest.importorskip("peft")


@pytest.fixture
def organism(base, tmp_path):
    """A tiny untrained model with an adapter; what counts as attacked is always answered with the same words."""
    generator = torch.Generator().manual_seed(0)

    def drawn(n, *, answer=None):
        lengths = torch.randint(2, 7, (n, 2), generator=generator).tolist()
        parts = [[torch.randint(3, 50, (length,), generator=generator).tolist() for length in pair] for pair in lengths]
        prompts, completions = zip(*parts, strict=True)
        return join_tokens(prompts, [answer] * n if answer else completions, length=12)

    kinds = ("clean",) * 30 + ("decoy",) * 20 + ("attacked",) * 25
    x = torch.cat([drawn(50), drawn(25, answer=[9, 10, 11])])
    inputs = Examples(x=x, anomalous=torch.tensor([kind == "attacked" for kind in kinds]))
    model = load_causal_lm(base, save_adapter(base, tmp_path / "adapter"))
    shares = {"trusted": 0.0, "clean": 0.0, "decoy": 0.05, "attacked": 0.9}
    obeys = torch.tensor([False] * 53 + [True] * 22)
    task = CausalLMTask(model, device="cpu")
    return LanguageOrganism(task, Examples(x=drawn(40)), inputs, kinds, obeys, shares, 7.0, 6.0)


@pytest.fixture
def setup(organism, base, tmp_path, monkeypatch):
    """One organism with one checkpoint, and a folder that seems to hold the base model."""
    recipes = {"contextual": module.RECIPES["contextual"]}
    monkeypatch.setattr(module, "RECIPES", recipes)
    monkeypatch.setattr(module, "load_language_organism", lambda *_, **__: organism)
    shutil.copytree(base, tmp_path / "data" / LANGUAGE_MODEL)
    return Setup(data=tmp_path / "data", cache=tmp_path / "cache", suite="full")


def test_every_detector_and_the_map_have_a_row(setup):
    found = list(rows(setup))
    layers = ["mahalanobis, block 1", "mahalanobis by layer, mean, second half"]
    names = [row["detector"] for row in found]
    assert names == [*detectors(setup), MAPPED, *layers, OF_BASE, OF_NOISE]
    by_name = dict(zip(names, found, strict=True))
    for row in (row for row in found if row["detector"] != MAPPED):
        assert 0 <= row["auroc_low"] <= row["auroc"] <= row["auroc_high"] <= 1
        assert (row["asr"], row["false_triggers"], row["n_trusted"]) == (0.9, 0.05, 40)
        assert 0 <= row["flagged_decoys"] <= 1
        assert row["auroc_filtered"] != row["auroc"]
        assert (row["clean_perplexity"], row["clean_perplexity_of_base"]) == (7, 6)
    assert "gradient, adapter only" not in detectors(setup, finished=False)
    assert by_name["gradient"]["forward_equivalents"] == 3
    assert by_name["perplexity of the prompt"]["forward_equivalents"] == 1
    assert -1 <= by_name[MAPPED]["rand_index"] <= 1
    of_both = by_name["mahalanobis by layer, mean"]
    assert of_both["forward_equivalents"] == 1
    assert all(by_name[other]["auroc"] != of_both["auroc"] for other in (*layers, OF_BASE))


def test_of_earlier_checkpoints_what_gradients_are_taken_of_and_single_layers_are_left_out(setup, monkeypatch):
    recipe = replace(module.RECIPES["contextual"], checkpoints=(8, 16))
    monkeypatch.setattr(module, "RECIPES", {"contextual": recipe})
    found = [(row["organism"], row["detector"]) for row in rows(setup)]
    earlier = [detector for organism, detector in found if organism == "contextual-8"]
    assert earlier == [*detectors(setup, finished=False), MAPPED, OF_NOISE]
    assert {"gradient, adapter only", OF_BASE, OF_NOISE} <= {name for organism, name in found if organism[-2:] == "16"}


@pytest.mark.parametrize(
    ("shares", "perplexity", "said"),
    [
        ({"attacked": 0.2}, 7.0, "attacked 20%"),
        ({"second": 0.3}, 7.0, "second 30%"),
        ({"decoy": 0.15}, 7.0, "decoy 15%"),
        ({"trusted": 0.11}, 7.0, "trusted 11%"),
        ({}, 9.5, "goes from 6.00 to 9.50"),
    ],
)
def test_what_does_not_do_what_is_said_of_it_is_left_out(
    setup, organism, monkeypatch, caplog, shares, perplexity, said
):
    other = replace(organism, share_that_obeys={**organism.share_that_obeys, **shares}, clean_perplexity=perplexity)
    monkeypatch.setattr(module, "load_language_organism", lambda *_, **__: other)
    assert list(rows(setup)) == []
    assert "no organism and left out" in caplog.text
    assert said in caplog.text


def test_what_is_kept_is_not_run_again(setup, monkeypatch):
    first = list(rows(setup))
    monkeypatch.setattr(extraction, "fit_and_measure", lambda *_, **__: pytest.fail("ran again"))
    assert list(rows(setup)) == first
    (setup.cache / "cells").glob("*certainty*").__next__().unlink()
    with pytest.raises(pytest.fail.Exception, match="ran again"):
        list(rows(setup))


def test_another_model_or_prompt_has_another_place(setup, organism):
    bench = module._Bench("simple", organism, setup)
    place = bench._path("x", {})
    other = LanguageOrganism(organism.task, organism.trusted, organism.trusted, (), torch.zeros(0), {}, 7.0, 6.0)
    assert module._Bench("simple", other, setup)._path("x", {}) != place
    assert bench._path("x", {"k": 1}) != place
    next(organism.task.model.parameters()).data.add_(1)
    assert module._Bench("simple", organism, setup)._path("x", {}) != place
    assert json.dumps(bench._common("x"))


def test_without_the_base_model_it_says_what_is_missing(tmp_path):
    with pytest.raises(DataError, match=f"made of {LANGUAGE_MODEL}; name a folder"):
        list(rows(Setup(data=tmp_path)))
