"""Texts as a classifier's task takes them, and back."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from anomech.errors import DataError
from anomech.examples import Examples
from anomech.io.conversations import Conversation
from anomech.io.language_models import check_vocabulary
from anomech.io.rows import Row, read_rows, truth
from anomech.tasks.tokens import PROMPT, context_of, pad_tokens


def read_texts(path: Path, tokenizer: Any, config: Any) -> Examples:
    """The texts of a file, with `x` as `pad_tokens` makes it.

    Args:
        path: `.jsonl` or `.parquet` with a column `text`, and, all optional, `label` (the number or name of a class, in
            every row or none), `id` and `anomalous` (bool, likewise).
        tokenizer: The model's Hugging Face tokenizer; it adds the tokens that start and end a sequence.
        config: The model's configuration.

    Raises:
        DataError: The file or a row cannot be used, or a text does not fit into the model's context.
        ModelError: The tokenizer is another model's.
    """
    try:
        rows = read_rows(path, "text", ["label"])
        encoded = [_encoded(row, tokenizer, config) for row in rows]
        labels = _labels(rows, names_of_classes(config))
    except DataError as error:
        raise DataError(f"{path}: {error}") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error}; check the file and its permissions.") from error
    ids, anomalous = tuple(row.id for row in rows), [row.anomalous for row in rows]
    return Examples(x=pad_tokens(encoded), y=labels, ids=ids, anomalous=truth(anomalous))


def classifications(x: Tensor, classes: Tensor, *, tokenizer: Any, config: Any) -> list[Conversation]:
    """Inputs `[n, 2, length]` as the model reads them, without special tokens, and the names of their classes `[n]`."""
    texts = [str(tokenizer.decode(ids[roles == PROMPT].tolist(), skip_special_tokens=True)) for ids, roles in x]
    names = names_of_classes(config)
    return [Conversation(text, (names[i],)) for text, i in zip(texts, classes.tolist(), strict=True)]


def names_of_classes(config: Any) -> tuple[str, ...]:
    """Names of a model's classes."""
    return tuple(str(config.id2label[i]) for i in range(config.num_labels))


def _encoded(row: Row, tokenizer: Any, config: Any) -> list[int]:
    ids: list[int] = tokenizer(row.text("text"), verbose=False)["input_ids"]
    context = min(context_of(config), tokenizer.model_max_length)
    if not ids:
        raise DataError(f"the text in {row.where} has no tokens; remove the row.")
    if len(ids) > context:
        raise DataError(
            f"the text in {row.where} has {len(ids)} tokens, more than the {context} that the model takes; "
            "shorten or remove it."
        )
    check_vocabulary(ids, config)
    return ids


def _labels(rows: Sequence[Row], names: Sequence[str]) -> Tensor | None:
    given = [row.values.get("label") for row in rows]
    if all(label is None for label in given):
        return None
    if None in given:
        raise DataError("`label` is missing in some rows; give it in every row or in none.")
    return torch.tensor([_class(row.where, label, names) for row, label in zip(rows, given, strict=True)])


def _class(where: str, label: Any, names: Sequence[str]) -> int:
    if isinstance(label, str) and label in names:
        return names.index(label)
    if type(label) is int and 0 <= label < len(names):
        return label
    raise DataError(
        f"the label in {where} is {label!r}; give a number from 0 to {len(names) - 1} or one of the model's classes: "
        f"{textwrap.shorten(', '.join(names), 200)}."
    )
