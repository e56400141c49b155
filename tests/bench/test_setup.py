import logging

import pytest

from anomech.bench.setup import Setup
from anomech.errors import DataError


def test_an_organism_without_its_files_is_left_out_and_named(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        scenes = list(Setup(data=tmp_path).scenes(trusted=50, clean=40, attacked=40))
    assert [scene.organism for scene in scenes] == ["fashion-badnets"]
    assert [len(scenes[0].trusted), len(scenes[0].inputs)] == [50, 80]
    assert [record.args[0] for record in caplog.records] == ["gtsrb-badnets", "gtsrb-trojan", "cifar10-blended"]
    assert list(Setup(data=tmp_path).language_scenes()) == []


def test_a_folder_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(DataError, match="there is no folder"):
        Setup(data=tmp_path / "nowhere")


def test_the_options_that_ask_for_it_name_what_is_not_as_by_default(tmp_path):
    assert Setup().options == []
    asked = Setup(seed=3, data=tmp_path, cache=tmp_path, part="development", suite="full")
    assert asked.options == ["--data DATA", "--cache CACHE", "--development", "--suite full", "--seed 3"]
