import pytest


def test_missing_data_is_said(refused, tmp_path):
    words = ("Fashion-MNIST cannot be read from .*nowhere", "Point --data at its IDX files")
    refused("organisms", "train", "--data", tmp_path / "nowhere", words=words)


def test_a_language_organism_needs_its_base(refused, tmp_path):
    pytest.importorskip("transformers")
    options = ("--base", tmp_path / "nowhere", "--data", tmp_path, "--cache", tmp_path, "--out", tmp_path / "out")
    refused("organisms", "train-language", *options, words="nowhere holds no usable tokenizer")
