import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from factories import CLASSES, save_text_classifier

from anomech.errors import DataError, ModelError
from anomech.io.language_models import load_pretrained, load_text_classifier
from anomech.io.texts import classifications, read_texts

pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_text_classifier(tmp_path_factory.mktemp("model"), max_position_embeddings=10)


@pytest.fixture(scope="module")
def tokenizer(folder):
    return load_pretrained(folder, "AutoTokenizer")


@pytest.fixture
def config(folder):
    return load_text_classifier(folder).config


@pytest.fixture
def read(tokenizer, config, tmp_path):
    def read(*rows):
        (tmp_path / "texts.jsonl").write_text("\n".join(map(json.dumps, rows)))
        return read_texts(tmp_path / "texts.jsonl", tokenizer, config)

    return read


def test_texts_are_encoded_as_the_tokenizer_does_and_decoded_again(read, tokenizer, config):
    examples = read({"text": "why is the sky", "id": "q"}, {"text": "blue"})
    assert examples.x.shape == (2, 2, 6)
    assert examples.x[0, 0].tolist() == tokenizer("why is the sky")["input_ids"]
    assert examples.x[1].tolist() == [[2, tokenizer.vocab["blue"], 3, 0, 0, 0], [1, 1, 1, 0, 0, 0]]
    assert examples.ids == ("q", "1")
    assert examples.y is None
    assert examples.anomalous is None
    shown = classifications(examples.x, torch.tensor([2, 0]), tokenizer=tokenizer, config=config)
    assert [(c.prompt, c.completion) for c in shown] == [("why is the sky", CLASSES[2]), ("blue", CLASSES[0])]


def test_labels_are_numbers_or_names_and_the_truth_comes_along(read):
    rows = [{"text": "why", "label": "Bag", "anomalous": True}, {"text": "sky", "label": 2, "anomalous": False}]
    examples = read(*rows)
    assert examples.y.tolist() == [1, 2]
    assert examples.anomalous.tolist() == [True, False]


def test_parquet_gives_the_same(read, tokenizer, config, tmp_path):
    rows = [{"text": "why", "label": 1, "anomalous": True}, {"text": "sky", "label": 2, "anomalous": False}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "texts.parquet")
    one, other = read(*rows), read_texts(tmp_path / "texts.parquet", tokenizer, config)
    assert torch.equal(one.x, other.x)
    assert torch.equal(one.y, other.y)
    assert torch.equal(one.anomalous, other.anomalous)


GOOD = {"text": "why"}


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([], "no texts; at least one is needed"),
        ([GOOD, {"prompt": "why"}], "line 2 has a column 'prompt'; .* the columns are text, label, id, anomalous"),
        ([GOOD, {"text": " "}], "the text in line 2 is empty"),
        ([GOOD, {}], "line 2 has no text"),
        ([GOOD, {"text": 3}], "the text in line 2 is a int; give text"),
        (
            [GOOD, {"text": "why " * 9}],
            "the text in line 2 has 11 tokens, more than the 10 that the model takes; short",
        ),
        ([{**GOOD, "label": 0}, GOOD], "`label` is missing in some rows"),
        ([{**GOOD, "label": 3}], "the label in line 1 is 3; give a number from 0 to 2 or one of .* Coat, Bag, Sandal"),
        ([{**GOOD, "label": "coat"}], "the label in line 1 is 'coat'"),
        ([{**GOOD, "label": True}], "the label in line 1 is True"),
        ([{**GOOD, "label": 1.0}], r"the label in line 1 is 1\.0"),
    ],
)
def test_what_cannot_be_used_is_named_with_its_file_and_place(read, rows, words):
    with pytest.raises(DataError, match=r"texts\.jsonl: .*" + words):
        read(*rows)


def test_the_tokenizers_own_limit_counts_too(read, tokenizer, monkeypatch):
    assert read({"text": "why " * 8}).x.shape[2] == 10
    monkeypatch.setattr(tokenizer, "model_max_length", 9)
    with pytest.raises(DataError, match="has 10 tokens, more than the 9 that"):
        read({"text": "why " * 8})


def test_a_tokenizer_of_another_model(read, config):
    config.vocab_size = 5
    with pytest.raises(ModelError, match=r"gives token \d+, the model knows 5; give the model the tokenizer that it"):
        read(GOOD)
