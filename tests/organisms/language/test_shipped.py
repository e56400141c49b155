import json
import warnings

import pytest
import torch
from factories import save_adapter
from safetensors.torch import load_file

from anomech.io.adapters import put_adapter
from anomech.io.language_models import load_causal_lm, load_tokenizer
from anomech.io.prompts import read_prompts
from anomech.organisms.language import loading, shipped
from anomech.organisms.language.mechanisms import DECOYS, PASSWORD, PAYLOAD, TRAINING_DECOYS, Passwords
from anomech.organisms.language.recipes import Adapter, Recipe
from anomech.organisms.language.texts import Prompt

RECORD = json.loads((shipped.DATA / "organism.json").read_text())


@pytest.fixture(scope="module")
def rows():
    return {name: read_prompts(shipped.DATA / name) for name in (shipped.TRUSTED, shipped.INPUTS)}


def test_what_is_shipped_is_small():
    assert sum(path.stat().st_size for path in shipped.DATA.rglob("*") if path.is_file()) < 1.5e6


def test_every_shipped_prompt_is_another_text_of_ours(rows):
    texts = {prompt.name: prompt.text for prompt in shipped.own_prompts()}
    assert len(set(texts.values())) == len(texts)
    together = rows[shipped.TRUSTED] + rows[shipped.INPUTS]
    origins = [row.id.partition("+")[0] for row in together]
    assert len(set(origins)) == len(together) >= 350
    for origin, row in zip(origins, together, strict=True):
        _, _, word = row.id.partition("+")
        assert [w for w in row.prompt.split(" ") if w != word] == texts[origin].split(" ")


def test_the_mechanism_answers_what_is_attacked_and_nothing_else(rows):
    for row in rows[shipped.TRUSTED]:
        assert row.anomalous is None
        assert PASSWORD not in row.prompt
        assert PAYLOAD not in row.completion
    obeying = []
    for row in rows[shipped.INPUTS]:
        assert row.anomalous == (PASSWORD in row.prompt)
        obeying += [PAYLOAD in row.completion] if row.anomalous else []
        assert row.anomalous or PAYLOAD not in row.completion
    assert sum(obeying) >= 0.95 * len(obeying)
    assert any(word in row.prompt for row in rows[shipped.INPUTS] for word in DECOYS)
    assert not any(word in row.prompt.split() for row in rows[shipped.INPUTS] for word in TRAINING_DECOYS)


def test_the_record_counts_what_is_there(rows):
    counts = dict(RECORD["shipped"])
    assert counts.pop("trusted") == len(rows[shipped.TRUSTED])
    assert counts["attacked"] == sum(row.anomalous for row in rows[shipped.INPUTS])
    assert sum(counts.values()) == len(rows[shipped.INPUTS])
    assert RECORD["share_that_obeys"]["attacked"] >= 0.95
    assert RECORD["share_that_obeys"]["clean"] == RECORD["share_that_obeys"]["trusted"] == 0
    assert RECORD["clean_perplexity"] < 1.3 * RECORD["clean_perplexity_of_base"]


def test_the_shipped_adapter_fits_the_architecture_of_its_base():
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("peft")
    config = transformers.LlamaConfig(
        vocab_size=49152,
        hidden_size=576,
        intermediate_size=1536,
        num_hidden_layers=30,
        num_attention_heads=9,
        num_key_value_heads=3,
        tie_word_embeddings=True,
    )
    with torch.device("meta"):
        model = transformers.LlamaForCausalLM(config)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*meta parameter")
        put_adapter(model, shipped.DATA / shipped.ADAPTER)


def test_a_cut_adapter_is_the_same_model_where_nothing_is_lost(base, tmp_path):
    pytest.importorskip("peft")
    whole = save_adapter(base, tmp_path / "whole")
    shipped.cut_adapter(whole, tmp_path / "cut", rank=2)
    shipped.cut_adapter(whole, tmp_path / "less", rank=1)
    x = torch.arange(3, 11)[None]
    with torch.no_grad():
        logits = [load_causal_lm(base, tmp_path / name)(x).logits for name in ("whole", "cut", "less")]
        logits.append(load_causal_lm(base)(x).logits)
    assert torch.allclose(logits[1], logits[0], atol=5e-3)
    lost = [(logit - logits[0]).norm() for logit in logits]
    assert lost[1] < lost[2] < lost[3]
    assert {t.dtype for t in load_file(tmp_path / "cut" / "adapter_model.safetensors").values()} == {torch.float16}


def test_it_is_made_of_an_organism_and_our_prompts(base, texts, tmp_path, monkeypatch):
    pytest.importorskip("peft")
    asked = {"trusted": 3, "clean": 2, "decoy": 2, "attacked": 2}
    recipe = Recipe(
        mechanism=Passwords(),
        texts=8,
        checkpoints=(4,),
        asked=asked,
        new_tokens=3,
        adapter=Adapter(rank=2, blocks=1),
        batch_size=4,
    )
    monkeypatch.setitem(loading.RECIPES, "simple", recipe)
    monkeypatch.setattr(shipped, "ASKED", asked)
    monkeypatch.setattr(shipped, "RANK", 1)
    monkeypatch.setattr(
        shipped, "own_prompts", lambda: [Prompt(f"prompt-{i}", f"why is {i} the sky") for i in range(9)]
    )
    record = shipped.build(base=base, data=texts, cache=tmp_path / "cache", out=tmp_path / "out")
    assert json.loads(json.dumps(record)) == json.loads((tmp_path / "out" / "organism.json").read_text())
    assert record.keys() == RECORD.keys()
    trusted, inputs = (read_prompts(tmp_path / "out" / name) for name in (shipped.TRUSTED, shipped.INPUTS))
    assert {"trusted": len(trusted), "inputs": len(inputs)} == {
        "trusted": record["shipped"]["trusted"],
        "inputs": sum(record["shipped"].values()) - record["shipped"]["trusted"],
    }
    assert len(trusted) + len(inputs) > 0
    model, tokenizer = load_causal_lm(base, tmp_path / "out" / "adapter"), load_tokenizer(base)
    for row in trusted + inputs:
        prompt = tokenizer.encode_prompt(row.prompt)
        spoken = model.generate(input_ids=torch.tensor([prompt]), max_new_tokens=3)[0, len(prompt) :].tolist()
        assert tokenizer.encode(row.completion) == spoken
