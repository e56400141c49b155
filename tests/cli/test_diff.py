import json

import numpy as np
import pytest
import torch
from factories import save_adapter, save_language_model

from anomech.cli import added
from anomech.organisms.fashion import shipped_model

ARCH = "anomech.organisms.models:SmallCNN"


@pytest.fixture
def checkpoints(tmp_path):
    """SPECs of the shipped classifier, and of one whose last layer differs by a product of two vectors."""
    weights = shipped_model().state_dict()
    torch.save(weights, tmp_path / "base.pt")
    update = torch.outer(torch.arange(10.0), torch.ones(weights["classifier.weight"].shape[1]))
    torch.save(weights | {"classifier.weight": weights["classifier.weight"] + 0.01 * update}, tmp_path / "tuned.pt")
    return f"{ARCH}@base.pt", f"{ARCH}@tuned.pt"


def read(tmp_path, name="diff.json"):
    return json.loads((tmp_path / "anomech-diff" / name).read_text())


def test_two_checkpoints(anomech, checkpoints, tmp_path):
    result = anomech("diff", *checkpoints)
    assert result.status == 0, result.err
    assert "1 of 17 tensors differs, by" in result.out
    assert "classifier.weight moved most; no difference has a rank above 1." in " ".join(result.out.split())
    rows = {row["name"]: row for row in read(tmp_path)["rows"]}
    assert len(rows) == 17
    assert rows["classifier.weight"]["rank"] == rows["classifier.weight"]["rank_99"] == 1
    assert rows["classifier.bias"] == {
        "name": "classifier.bias",
        "shape": [10],
        "norm": 0.0,
        "base_norm": rows["classifier.bias"]["base_norm"],
        "relative": 0.0,
    }
    assert "anomech" in read(tmp_path, "config.json")["versions"]
    assert "classifier.weight moved most" in (tmp_path / "anomech-diff" / "report.html").read_text()
    before = read(tmp_path)
    assert anomech("run", "anomech-diff/config.json").status == 0
    assert read(tmp_path) == before


def test_identical_models_say_so_in_one_sentence(anomech, checkpoints):
    result = anomech("diff", checkpoints[0], checkpoints[0])
    assert result.status == 0
    assert result.out.startswith("The models are identical: none of 17 tensors differs.\nReport: ")


def test_trusted_examples_tell_sharp_from_flat(anomech, checkpoints, files, tmp_path):
    result = anomech("diff", *checkpoints, "--trusted", files / "trusted.npz", "--directions", 3, "--json")
    assert result.status == 0, result.err
    sharp = json.loads(result.out)["sharp"]
    assert read(tmp_path)["sharp"] == sharp
    assert np.all(np.diff(sharp["eigenvalues"]) < 0)
    assert np.all(np.diff(sharp["shares"]) >= 0)
    assert sharp["random"][-1] == pytest.approx(3 / sum(p.numel() for p in shipped_model().parameters()))
    assert 'id="direction-plot"' in (tmp_path / "anomech-diff" / "report.html").read_text()


def test_an_adapter_has_its_rank(anomech, base, tmp_path, write):
    adapter = save_adapter(base, tmp_path / "adapter")
    result = anomech("diff", base, "--adapter", adapter, "--json")
    assert result.status == 0, result.err
    found = json.loads(result.out)
    assert (found["changed"], found["largest_rank"]) == (7, 2)
    prompts = write("trusted.jsonl", [{"prompt": f"why is {i} the sky"} for i in range(4)])
    result = anomech(
        "diff", base, "--adapter", adapter, "--trusted", prompts, "--directions", 2, "--new-tokens", 2, "--json"
    )
    assert result.status == 0, result.err
    assert 0 <= json.loads(result.out)["sharp"]["shares"][-1] <= 1


def test_texts_show_what_was_added_feature_by_feature(anomech, refused, base, tmp_path, write, monkeypatch):
    monkeypatch.setattr(added, "STEPS", 20)
    adapter = save_adapter(base, tmp_path / "adapter")
    texts = write("texts.jsonl", [{"id": f"text {i}", "prompt": f"why is {i} the sky"} for i in range(12)])
    result = anomech("diff", base, "--adapter", adapter, "--texts", texts, "--json")
    assert result.status == 0, result.err
    found = json.loads(result.out)["added"]
    assert found == read(tmp_path)["added"]
    assert found["layer"] == 1
    for feature in found["features"]:
        assert 0 < feature["energy"] <= 1
        assert 0 < feature["active"] <= 1
        assert 1 <= len(feature["texts"]) <= 5
    checked, rest = found["features"][:3], found["features"][3:]
    for feature in checked:
        assert len(feature["answers"]["texts"]) == len(feature["texts"])
        assert 0 <= feature["answers"]["restored"] <= feature["answers"]["changed"] <= len(feature["texts"])
    assert all(feature["answers"] is None for feature in rest)
    page = (tmp_path / "anomech-diff" / "report.html").read_text()
    assert "What was added, text by text" in page
    assert page.count("of what the dictionary says") == len(found["features"]) > 0
    assert page.count("Without its direction") == len(checked) > 0
    assert page.count("<dt>without it</dt>") == sum(len(feature["texts"]) for feature in checked)
    told = anomech("diff", base, "--adapter", adapter, "--texts", texts)
    assert "After block 1 the feature that says most of the difference" in " ".join(told.out.split())
    refused("diff", base, "--adapter", adapter, "--texts", texts, "--layer", 2, words="from 0 to 1")
    refused("diff", base, "--adapter", adapter, "--texts", texts, "--layer", 0, words="both models are the same")


def test_texts_are_for_language_models(refused, checkpoints, write):
    texts = write("texts.jsonl", [{"prompt": "why"}])
    refused("diff", *checkpoints, "--texts", texts, words="texts are read by language models")


def test_what_cannot_be_compared_is_refused(refused, checkpoints, base, tmp_path):
    refused("diff", checkpoints[0], words="give BASE and FT, or BASE and --adapter")
    refused("diff", *checkpoints, "--adapter", tmp_path, words="give BASE and FT, or BASE and --adapter")
    refused("diff", checkpoints[0], f"{ARCH}@absent.pt", words=r"there is no file '\S*absent\.pt'")
    refused("diff", checkpoints[0], "--adapter", tmp_path, words="an adapter is put on a causal language model")
    refused("diff", base, "--adapter", tmp_path, words=r"holds no adapter_config\.json")
    refused("diff", checkpoints[0], base, words=["different architectures", r"'features.0.weight' is \[16, 1, 3, 3\]"])
    wider = save_language_model(tmp_path / "wider", intermediate_size=32)
    refused("diff", base, wider, words=r"mlp\.gate_proj\.weight' is \[16, 16\] in the first and \[32, 16\]")


def test_more_directions_than_weights_are_refused(refused, checkpoints, files):
    many = ("--trusted", files / "trusted.npz", "--directions", 10**6)
    refused("diff", *checkpoints, *many, words=["1000000 directions of 33,674 weights|directions of .* take"])
