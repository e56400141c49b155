import json
import sys

import pytest
import torch
from factories import save_adapter
from safetensors.torch import load_file, save_file

from anomech.errors import ModelError
from anomech.io.language_models import load_causal_lm

pytest.importorskip("peft")

IDS = torch.tensor([[3, 4, 5, 6, 7]])


@pytest.fixture
def adapter(base, tmp_path):
    return save_adapter(base, tmp_path / "adapter")


def logits(model):
    with torch.no_grad():
        return model(input_ids=IDS).logits


def change(adapter, function):
    """Change the tensors of an adapter."""
    tensors = load_file(adapter / "adapter_model.safetensors")
    save_file(function(tensors), adapter / "adapter_model.safetensors")


def test_an_adapter_changes_the_model_by_its_low_rank_updates(base, adapter):
    plain, adapted = load_causal_lm(base), load_causal_lm(base, adapter)
    assert not adapted.training
    assert {p.dtype for p in adapted.parameters()} == {torch.float32}
    tensors = load_file(adapter / "adapter_model.safetensors")
    for name in [name for name in tensors if "lora_A" in name]:
        linear = plain.get_submodule(name.removeprefix("base_model.model.").partition(".lora_A")[0])
        update = tensors[name.replace("lora_A", "lora_B")] @ tensors[name]
        linear.weight.data += 8 / 2 * update
    assert len(tensors) == 14
    torch.testing.assert_close(logits(adapted), logits(plain))
    assert not torch.allclose(logits(adapted), logits(load_causal_lm(base)), atol=1e-2)


def test_half_precision_is_read_as_single(base, adapter):
    exact = logits(load_causal_lm(base, adapter))
    change(adapter, lambda tensors: {name: tensor.half() for name, tensor in tensors.items()})
    found = load_causal_lm(base, adapter)
    assert {p.dtype for p in found.parameters()} == {torch.float32}
    torch.testing.assert_close(logits(found), exact, rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("missing", ["adapter_config.json", "adapter_model.safetensors"])
def test_a_missing_file_is_named(base, adapter, missing):
    (adapter / missing).unlink()
    with pytest.raises(ModelError, match=f"adapter holds no {missing}"):
        load_causal_lm(base, adapter)


def test_a_pickled_adapter_is_refused(base, adapter):
    path = adapter / "adapter_model.safetensors"
    torch.save(load_file(path), adapter / "adapter_model.bin")
    path.unlink()
    with pytest.raises(ModelError, match="save the adapter again with safe_serialization=True"):
        load_causal_lm(base, adapter)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda t: dict(list(t.items())[1:]), r"lora_A.weight should be \[2, 16\] and is absent"),
        (lambda t: t | {"a.lora_A.weight": torch.ones(2)}, r"a.lora_A.weight should be absent and is \[2\]"),
        (lambda t: {n: x[..., :1].contiguous() for n, x in t.items()}, r"should be \[2, 16\] and is \[2, 1\]"),
    ],
    ids=["missing", "unexpected", "shape"],
)
def test_tensors_that_do_not_fit_are_named(base, adapter, function, message):
    change(adapter, function)
    with pytest.raises(ModelError, match=f"does not fit this LlamaForCausalLM: .*{message}; name the model"):
        load_causal_lm(base, adapter)


def test_an_adapter_of_another_architecture_is_refused(base, adapter):
    config = json.loads((adapter / "adapter_config.json").read_text())
    config |= {"target_modules": ["c_attn"], "layers_to_transform": None, "layers_pattern": None}
    (adapter / "adapter_config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match=r"is no adapter of this LlamaForCausalLM \(.*c_attn"):
        load_causal_lm(base, adapter)


@pytest.mark.parametrize("damaged", ["adapter_config.json", "adapter_model.safetensors"])
def test_a_damaged_file_is_said(base, adapter, damaged):
    content = (adapter / damaged).read_bytes()
    (adapter / damaged).write_bytes(content[: len(content) // 2])
    with pytest.raises(ModelError, match="is no adapter of this LlamaForCausalLM"):
        load_causal_lm(base, adapter)


def test_without_peft_the_extra_is_named(base, adapter, monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    load_causal_lm(base)
    with pytest.raises(ModelError, match=r'adapter is a peft adapter; to load it, pip install "anomech\[hf\]"'):
        load_causal_lm(base, adapter)


def test_a_base_that_lies_elsewhere_now_is_no_cause_for_a_warning(base, adapter, recwarn):
    config = json.loads((adapter / "adapter_config.json").read_text())
    (adapter / "adapter_config.json").write_text(json.dumps({**config, "base_model_name_or_path": "org/tiny"}))
    recwarn.clear()
    load_causal_lm(base, adapter)
    assert not recwarn.list
