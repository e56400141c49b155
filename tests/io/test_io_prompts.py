import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from anomech.errors import DataError
from anomech.io.prompts import read_prompts

CHAT = [{"role": "system", "content": ""}, {"role": "user", "content": "Why?"}]


@pytest.fixture
def write(tmp_path):
    """Write lines, or rows as JSON, into a `.jsonl` file."""

    def write(*lines):
        text = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)
        (tmp_path / "prompts.jsonl").write_text(text + "\n", encoding="utf-8")
        return tmp_path / "prompts.jsonl"

    return write


def test_rows_are_read_in_their_order(write):
    path = write({"prompt": "One?", "completion": " 1"}, "", {"prompt": CHAT, "id": 7}, {"prompt": "Drei\u2028ß"})
    first, second, third = read_prompts(path)
    assert (first.prompt, first.completion, first.id, first.anomalous) == ("One?", " 1", "0", None)
    assert (second.prompt, second.completion, second.id, second.where) == (CHAT, None, "7", "line 3")
    assert third.prompt == "Drei\u2028ß"


def test_parquet_gives_the_same_as_jsonl(write, tmp_path):
    rows = [
        {"id": "a", "prompt": "One?", "completion": "1", "anomalous": True},
        {"id": "b", "prompt": "Two?", "completion": None, "anomalous": False},
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "prompts.parquet")
    one, other = read_prompts(write(*rows)), read_prompts(tmp_path / "prompts.parquet")
    assert [vars(p) | {"where": ""} for p in one] == [vars(p) | {"where": ""} for p in other]
    assert [p.anomalous for p in other] == [True, False]
    assert [p.completion for p in other] == ["1", None]


def test_chats_are_read_from_parquet(tmp_path):
    pq.write_table(pa.Table.from_pylist([{"prompt": CHAT}]), tmp_path / "prompts.parquet")
    assert read_prompts(tmp_path / "prompts.parquet")[0].prompt == CHAT


GOOD = {"prompt": "One?"}


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([], "no prompts; at least one is needed"),
        ([GOOD, '{"prompt": "Tw'], r"line 2 is not JSON \(Unterminated string starting at\); correct or remove it"),
        ([GOOD, "[" * 100_000], "line 2 is not JSON"),
        ([GOOD, '"Two?"'], "line 2 is no object; write each row as"),
        ([GOOD, {"promt": "Two?"}], "line 2 has a column 'promt'; rename or remove it, the columns are prompt, comp"),
        ([{"completion": "1"}], "line 1 has no prompt; fill it in"),
        ([GOOD, {"prompt": " \n"}], "the prompt in line 2 is empty; fill it in"),
        ([{"prompt": []}], "the prompt in line 1 is empty"),
        ([{"prompt": 3}], "the prompt in line 1 is a int; give text"),
        ([{"prompt": ["Why?"]}], "the prompt in line 1 holds a message without text for its `role` and `content`"),
        ([{"prompt": [{"role": "user"}]}], "the prompt in line 1 holds a message without text"),
        ([{"prompt": [{"role": "user", "content": ""}]}], "the prompt in line 1 is empty"),
        ([{**GOOD, "completion": ""}], "the completion in line 1 is empty"),
        ([{**GOOD, "completion": ["1"]}], "the completion in line 1 is a list; give text"),
        ([{**GOOD, "id": 1.5}], "the id in line 1 is a float; give a string or an integer"),
        ([{**GOOD, "id": True}], "the id in line 1 is a bool"),
        ([{**GOOD, "anomalous": 1}], "`anomalous` in line 1 is a int; give true or false"),
        ([{**GOOD, "anomalous": True}, GOOD], "`anomalous` is missing in some rows"),
        ([{**GOOD, "id": 1}, {**GOOD, "id": "1"}], "the id '1' occurs 2 times; give each row its own"),
        ([{**GOOD, "id": "1"}, GOOD], "the id '1' occurs 2 times"),
        (['{"prompt": "\\ud800"}'], "the prompt in line 1 holds half of a character; correct it"),
    ],
)
def test_what_cannot_be_used_is_named_with_its_place(write, lines, words):
    with pytest.raises(DataError, match=words) as error:
        read_prompts(write(*lines))
    assert str(error.value).endswith((".", "?"))


def test_files_of_other_kinds_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"no such file; give a \.jsonl or \.parquet file"):
        read_prompts(tmp_path / "missing.jsonl")
    for name, words in {"p.npz": "type '.npz' hold no prompts", "p.parquet": "not parquet", "p.jsonl": "UTF-8"}.items():
        (tmp_path / name).write_bytes(b'{"prompt": "\xff"}')
        with pytest.raises(DataError, match=words):
            read_prompts(tmp_path / name)
