"""Prompts from JSONL and Parquet files, each perhaps with what the model answered."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anomech.errors import DataError
from anomech.io.language_models import Messages
from anomech.io.rows import Row, checked_text, read_rows


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
    """The rows of what `read_rows` takes.

    Columns are `prompt`, text or a list of chat messages, each with a `role` and `content`; and, all optional,
    `completion` (text; may be missing in some rows), `id` and `anomalous` (bool).

    Raises:
        DataError: The file is missing, damaged, of another kind or empty, a column is unknown or missing, a value is
            empty or of the wrong type, or an id occurs twice.
    """
    return [_prompt(row) for row in read_rows(path, "prompt", ["completion"])]


def _prompt(row: Row) -> Prompt:
    prompt = row.values.get("prompt")
    return Prompt(
        where=row.where,
        id=row.id,
        prompt=_messages(row.where, prompt) if isinstance(prompt, list) else row.text("prompt"),
        completion=None if row.values.get("completion") is None else row.text("completion"),
        anomalous=row.anomalous,
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
            checked_text(where, "prompt", message["content"])
    return messages
