import json

import pyarrow as pa
import pyarrow.parquet as pq
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


def save_arrow(folder, name, rows):
    """As `datasets.Dataset.save_to_disk` does."""
    table = pa.Table.from_pylist(rows)
    with pa.OSFile(str(folder / name), "wb") as file, pa.ipc.new_stream(file, table.schema) as stream:
        stream.write_table(table)


def save_parquet(folder, name, rows):
    pq.write_table(pa.Table.from_pylist(rows), folder / name)


@pytest.mark.parametrize(("save", "ending"), [(save_arrow, "arrow"), (save_parquet, "parquet")])
def test_the_parts_of_a_dataset_are_one(tmp_path, save, ending):
    save(tmp_path, f"data-00001-of-00002.{ending}", [{"verse": "c"}])
    save(tmp_path, f"data-00000-of-00002.{ending}", [{"verse": "a"}, {"verse": "b"}])
    (tmp_path / "state.json").write_text("{}")
    rows = read_rows(tmp_path, "verse", [])
    assert [(row.text("verse"), row.id) for row in rows] == [("a", "0"), ("b", "1"), ("c", "2")]
    assert rows[2].where == f"row 0 of data-00001-of-00002.{ending}"


def test_a_folder_of_splits_is_not_guessed_at(tmp_path):
    (tmp_path / "train").mkdir()
    with pytest.raises(DataError, match="name the folder of one split"):
        read_rows(tmp_path, "verse", [])


def test_a_truncated_part_is_named(tmp_path):
    save_arrow(tmp_path, "data.arrow", [{"verse": "a"}])
    (tmp_path / "data.arrow").write_bytes((tmp_path / "data.arrow").read_bytes()[:40])
    with pytest.raises(DataError, match=r"data\.arrow is truncated"):
        read_rows(tmp_path, "verse", [])


def test_the_truth_is_known_of_all_or_of_none():
    assert truth([None, None]) is None
    assert truth([True, False]).tolist() == [True, False]
