import json

import pytest
import torch
from factories import CHAT_TEMPLATE, save_language_model, save_text_classifier
from safetensors.torch import load_file, save_file

from anomech.errors import DataError, ModelError
from anomech.io import load_model
from anomech.io.language_models import (
    Tokenizer,
    is_causal_lm,
    is_text_classifier,
    load_causal_lm,
    load_text_classifier,
    load_tokenizer,
)

transformers = pytest.importorskip("transformers")
tokenizers = pytest.importorskip("tokenizers")


@pytest.fixture
def folder(tmp_path):
    return save_language_model(tmp_path, template=CHAT_TEMPLATE)


def words(tokenizer, ids):
    return tokenizer.tokenizer.convert_ids_to_tokens(ids)


def test_a_folder_of_a_causal_language_model_is_loaded_as_one(folder):
    assert is_causal_lm(folder)
    assert type(load_model(str(folder))).__name__ == "LlamaForCausalLM"


@pytest.mark.parametrize("save", [save_language_model, save_text_classifier])
def test_weights_are_held_as_asked_and_attention_is_deterministic(tmp_path, save):
    folder = str(save(tmp_path))
    for dtype in (torch.float32, torch.bfloat16):
        model = load_model(folder, dtype=dtype)
        assert {p.dtype for p in model.parameters()} == {dtype}
        assert model.config._attn_implementation == "eager"
    assert load_model(folder).dtype == torch.float32


@pytest.mark.parametrize(
    "config", [None, "{", "[]", "{}", '{"architectures": null}', '{"architectures": ["ResNetForImageClassification"]}']
)
def test_other_folders_are_no_language_models(tmp_path, config):
    if config is not None:
        (tmp_path / "config.json").write_text(config)
    assert not is_causal_lm(tmp_path)


def test_prompts_go_through_the_chat_template(folder):
    tokenizer = load_tokenizer(folder)
    asked = ["<|im_start|>", "user", "why", "<|im_end|>", "<|im_start|>", "assistant"]
    assert words(tokenizer, tokenizer.encode_prompt("why")) == asked
    assert words(tokenizer, tokenizer.encode_prompt([{"role": "user", "content": "why"}])) == asked
    turns = [{"role": role, "content": text} for role, text in [("user", "why"), ("assistant", "I"), ("user", "say")]]
    assert len(tokenizer.encode_prompt(turns)) == 14


@pytest.mark.parametrize("starts", [True, False])
def test_without_a_chat_template_only_a_start_token_that_the_tokenizer_adds_comes_first(folder, starts):
    tokenizer = load_tokenizer(folder).tokenizer
    tokenizer.chat_template, tokenizer.bos_token = None, "<|im_start|>"
    if starts:
        rule = tokenizers.processors.TemplateProcessing("<|im_start|> $A <|im_end|>", special_tokens=[
            ("<|im_start|>", 1), ("<|im_end|>", 2),
        ])  # fmt: skip
        tokenizer.backend_tokenizer.post_processor = rule
    plain = Tokenizer(tokenizer, 2)
    assert words(plain, plain.encode_prompt("why is")) == ["<|im_start|>"] * starts + ["why", "is"]
    assert plain.decode_prompt(plain.encode_prompt("why is")) == "why is"
    with pytest.raises(DataError, match="no chat template for a list of messages; give the prompt as text"):
        plain.encode_prompt([{"role": "user", "content": "why"}])


def test_a_chat_that_the_template_rejects(folder):
    tokenizer = load_tokenizer(folder)
    tokenizer.tokenizer.chat_template = "{{ raise_exception('roles must alternate') }}"
    with pytest.raises(DataError, match=r"rejects the messages \(roles must alternate\); correct them"):
        tokenizer.encode_prompt("why")


@pytest.mark.parametrize("text", ["why is the sky", "a", "b", "the"])
def test_the_text_of_a_prompt_is_what_was_asked(folder, text):
    tokenizer = load_tokenizer(folder)
    assert tokenizer.decode_prompt(tokenizer.encode_prompt(text)) == text


def test_the_text_of_a_prompt_is_told_from_its_template(folder):
    tokenizer = load_tokenizer(folder)
    prompt = tokenizer.encode_prompt("why is")
    text = [token for token, told in zip(prompt, tokenizer.is_text(prompt), strict=True) if told]
    assert tokenizer.decode(text) == "why is"
    assert not any(tokenizer.is_text(tokenizer.encode_prompt("")))
    assert tokenizer.is_text([]) == []


def test_pieces_are_what_tokens_add_to_the_text(folder):
    tokenizer = load_tokenizer(folder)
    assert tokenizer.pieces([*tokenizer.encode("why is"), 2]) == ["why", " is", " <|im_end|>"]


def test_a_character_of_several_tokens_is_whole():
    by_bytes = tokenizers.Tokenizer(tokenizers.models.BPE(
        {c: i for i, c in enumerate(sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet()))}, []
    ))  # fmt: skip
    by_bytes.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    by_bytes.decoder = tokenizers.decoders.ByteLevel()
    tokenizer = Tokenizer(transformers.PreTrainedTokenizerFast(tokenizer_object=by_bytes), 0)
    assert tokenizer.pieces(tokenizer.encode("aé日b")) == ["a", "", "é", "", "", "日", "b"]
    assert "".join(tokenizer.pieces(tokenizer.encode("aé")[:-1])) == "a\ufffd"


def without_weights(folder):
    (folder / "model.safetensors").unlink()


def pickled(folder):
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    without_weights(folder)


def incomplete(folder):
    weights = load_file(folder / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def damaged(folder):
    (folder / "model.safetensors").write_bytes(b"no weights")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (without_weights, "holds no weights; add its model.safetensors"),
        (pickled, r"pytorch_model\.bin needs pickle, .* run model\.save_pretrained"),
        (incomplete, r"lacks 1 weights, such as 'model\.layers\.1\.mlp\.up_proj\.weight'; save the whole"),
        (damaged, "holds no usable language model .* save it there again"),
    ],
)
def test_weights_that_cannot_be_used(folder, change, sentence):
    change(folder)
    with pytest.raises(ModelError, match=sentence):
        load_causal_lm(folder)


def test_a_folder_without_a_tokenizer(folder):
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()
    with pytest.raises(ModelError, match=f"{folder.name} holds no usable tokenizer .* save it there again"):
        load_tokenizer(folder)


def test_a_tokenizer_without_an_end_token(folder):
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    del settings["eos_token"]
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    with pytest.raises(ModelError, match="has no end token; set its eos_token"):
        load_tokenizer(folder)


@pytest.mark.parametrize("decoder", [False, True])
def test_a_folder_of_a_text_classifier_is_loaded_as_one(tmp_path, decoder):
    folder = save_text_classifier(tmp_path, decoder=decoder)
    assert is_text_classifier(folder)
    assert not is_causal_lm(folder)
    model = load_model(str(folder))
    assert type(model).__name__ == f"{'Llama' if decoder else 'Bert'}ForSequenceClassification"
    assert not model.training


@pytest.mark.parametrize("config", [{"problem_type": "multi_label_classification"}, {"id2label": {0: "score"}}])
def test_a_model_that_does_not_choose_one_of_several_classes_is_refused(tmp_path, config):
    folder = save_text_classifier(tmp_path, **config)
    with pytest.raises(ModelError, match="does not choose one of several classes; give a text classifier that does"):
        load_text_classifier(folder)


def test_a_text_classifier_without_its_head_is_refused(tmp_path):
    weights = load_file(save_text_classifier(tmp_path) / "model.safetensors")
    del weights["classifier.weight"]
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"lacks 1 weights, such as 'classifier\.weight'; save the whole"):
        load_text_classifier(tmp_path)
