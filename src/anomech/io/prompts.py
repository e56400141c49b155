"""Prompts from JSONL and Parquet files, each perhaps with what the model answered."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anomech.errors import DataError
from anomech.io.language_models import Messages
from anomech.io.parquet import read_table

COLUMNS = ("prompt", "completion", "id", "anomalous")
ACCEPTED = "a .jsonl or .parquet file with a column `prompt`"


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """A row of a file.

    Attributes:
        where: Where it stands in the file.
        id: Its name; by default its position.
        prompt: What the model is asked.
        completion: What it answered, if that is known.
        anomalous: Ground truth, if that is known.
    """

    where: str
    id: str
    prompt: str | Messages
    completion: str | None
    anomalous: bool | None


def read_prompts(path: Path) -> list[Prompt]:
    """The rows of a file.

    Columns are `prompt`, text or a list of chat messages, each with a `role` and `content`; and, all optional,
    `completion` (text; may be missing in some rows), `id` and `anomalous` (bool).

    Raises:
        DataError: The file is missing, damaged, of another kind or empty, a column is unknown or missing, a value is
            empty or of the wrong type, or an id occurs twice.
    """
    readers = {".jsonl": _json_lines, ".parquet": _parquet_rows}
    if not path.is_file():
        raise DataError(f"no such file; give {ACCEPTED}.")
    if path.suffix.lower() not in readers:
        raise DataError(f"files of type {path.suffix!r} hold no prompts for a language model; give {ACCEPTED}.")
    rows = readers[path.suffix.lower()](path)
    prompts = [_prompt(where, str(i), row) for i, (where, row) in enumerate(rows)]
    if not prompts:
        raise DataError("no prompts; at least one is needed.")
    if len({prompt.anomalous is None for prompt in prompts}) > 1:
        raise DataError("`anomalous` is missing in some rows; give it in every row or in none.")
    name, times = Counter(prompt.id for prompt in prompts).most_common(1)[0]
    if times > 1:
        raise DataError(f"the id {name!r} occurs {times} times; give each row its own.")
    return prompts


def _json_lines(path: Path) -> Iterator[tuple[str, Any]]:
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise DataError(f"the file is not UTF-8 ({error}); save it as such.") from error
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                yield f"line {number}", json.loads(line)
            except (ValueError, RecursionError) as error:
                raise DataError(f"line {number} is not JSON ({error}); correct or remove it.") from error


def _parquet_rows(path: Path) -> Iterator[tuple[str, Any]]:
    for number, row in enumerate(read_table(path).to_pylist()):
        yield f"row {number}", row


def _prompt(where: str, name: str, row: Any) -> Prompt:
    if not isinstance(row, dict):
        raise DataError(f'{where} is no object; write each row as {{"prompt": "..."}}.')
    if unknown := row.keys() - set(COLUMNS):
        raise DataError(
            f"{where} has a column {min(unknown)!r}; rename or remove it, the columns are {', '.join(COLUMNS)}."
        )
    given, prompt, completion = row.get("id"), row.get("prompt"), row.get("completion")
    if given is not None and (isinstance(given, bool) or not isinstance(given, str | int)):
        raise DataError(f"the id in {where} is a {type(given).__name__}; give a string or an integer.")
    if not isinstance(row.get("anomalous"), bool | None):
        raise DataError(f"`anomalous` in {where} is a {type(row['anomalous']).__name__}; give true or false.")
    return Prompt(
        where=where,
        id=name if given is None else str(given),
        prompt=_messages(where, prompt) if isinstance(prompt, list) else _text(where, "prompt", prompt),
        completion=None if completion is None else _text(where, "completion", completion),
        anomalous=row.get("anomalous"),
    )


def _messages(where: str, messages: list[Any]) -> Messages:
    if not messages:
        raise DataError(f"the prompt in {where} is empty; fill it in or remove the row.")
    for message in messages:
        if not isinstance(message, dict) or not all(isinstance(message.get(key), str) for key in ("role", "content")):
            raise DataError(
                f"the prompt in {where} holds a message without text for its `role` and `content`; "
                'write each as {"role": "user", "content": "..."}.'
            )
        if message["content"] or message is messages[-1]:
            _text(where, "prompt", message["content"])
    return messages


def _text(where: str, column: str, value: Any) -> str:
    if value is None:
        raise DataError(f"{where} has no {column}; fill it in or remove the row.")
    if not isinstance(value, str):
        raise DataError(f"the {column} in {where} is a {type(value).__name__}; give text.")
    if not value.strip():
        raise DataError(f"the {column} in {where} is empty; fill it in or remove the row.")
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise DataError(f"the {column} in {where} holds half of a character; correct it.")
    return value
