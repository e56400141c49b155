import json

import pytest

from anomech.errors import StorageError
from anomech.io.results import check_replaceable, result_directory


def write(path, content):
    with result_directory(path) as partial:
        (partial / "config.json").write_text(json.dumps({"versions": {"anomech": "0"}, "content": content}))


def test_a_result_replaces_an_earlier_one(tmp_path):
    write(tmp_path / "out", 1)
    write(tmp_path / "out", 2)
    assert json.loads((tmp_path / "out" / "config.json").read_text())["content"] == 2
    assert [f.name for f in tmp_path.iterdir()] == ["out"]


def test_an_empty_folder_may_be_used(tmp_path):
    (tmp_path / "out").mkdir()
    write(tmp_path / "out", 1)


@pytest.mark.parametrize("config", [None, "{", "[]", '{"model_type": "resnet"}', '{"versions": {"other": "1"}}'])
def test_what_somebody_else_wrote_is_left_alone(tmp_path, config):
    (tmp_path / "notes.txt").write_text("mine")
    if config is not None:
        (tmp_path / "config.json").write_text(config)
    with pytest.raises(StorageError, match="did not write"):
        check_replaceable(tmp_path)
    with pytest.raises(StorageError, match="did not write"):
        write(tmp_path, 1)
    assert (tmp_path / "notes.txt").read_text() == "mine"
