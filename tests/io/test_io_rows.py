import json

import pytest

from anomech.errors import DataError
from anomech.io.rows import read_rows, truth


@pytest.fixture
def write(tmp_path):
    def write(*rows):
        (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
        return tmp_path / "rows.jsonl"

    return write


def test_rows_keep_their_columns_place_and_name(write):
    verses = [{"verse": "a", "metre": 4, "anomalous": True}, {"verse": "b", "id": 7, "anomalous": False}]
    one, two = read_rows(write(*verses), "verse", ["metre"])
    assert (one.where, one.id, one.anomalous, one.values["metre"]) == ("line 1", "0", True, 4)
    assert (two.where, two.id, two.anomalous, two.text("verse")) == ("line 2", "7", False, "b")


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([], "no verses; at least one"),
        (["a"], 'line 1 is no object; write each row as {"verse": "..."}'),
        ([{"verse": "a", "rhyme": "b"}], "has a column 'rhyme'; .* the columns are verse, metre, id, anomalous"),
    ],
)
def test_messages_name_the_column(write, rows, words):
    with pytest.raises(DataError, match=words):
        read_rows(write(*rows), "verse", ["metre"])


def test_the_truth_is_known_of_all_or_of_none():
    assert truth([None, None]) is None
    assert truth([True, False]).tolist() == [True, False]
