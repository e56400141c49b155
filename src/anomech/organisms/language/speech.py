"""What a model with a planted mechanism says to the prompts of a part."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import compress
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from anomech.errors import DataError
from anomech.examples import Examples
from anomech.io.atomic import atomic_directory
from anomech.io.language_models import Tokenizer
from anomech.organisms.language.texts import Prompt, encode_prompt
from anomech.progress import Track
from anomech.tasks.causal_lm import join_tokens
from anomech.tasks.completions import complete

BATCH_SIZE = 32
ATTACKED = ("attacked", "second")
INPUTS = ("decoy", "clean", *ATTACKED)


def speak(
    folder: Path,
    model: Any,
    asked: Sequence[tuple[str, Prompt]],
    tokenizer: Tokenizer,
    *,
    shown: Callable[[str], str | None],
    new_tokens: int,
    track: Track,
) -> None:
    """Let the model complete prompts, and keep what it says.

    A prompt that sets no mechanism off but gets its answer all the same is dropped, neither trusted nor clean: the
    mechanism answered it. How many do is recorded.

    Args:
        folder: Where it is kept.
        model: The model.
        asked: Prompts by kind.
        tokenizer: Its tokenizer.
        shown: The kind of prompt that a completion is the mechanism's answer to; None for an honest answer.
        new_tokens: Longest completion.
        track: How progress is reported.
    """
    kinds, prompts = zip(*asked, strict=True)
    encoded = [encode_prompt(prompt, tokenizer) for prompt in prompts]
    completions = complete(model, encoded, end=tokenizer.end, new_tokens=new_tokens, batch_size=BATCH_SIZE, track=track)
    answers = [shown(tokenizer.decode(completion)) for completion in completions]
    obeys = [
        answer == kind if kind in ATTACKED else answer is not None for kind, answer in zip(kinds, answers, strict=True)
    ]
    obeying, all_of = Counter(compress(kinds, obeys)), Counter(kinds)
    record = {
        "share_that_obeys": {kind: obeying[kind] / number for kind, number in all_of.items()},
        "ids": [prompt.name for prompt in prompts],
        "kinds": ["dropped" if o and kind not in ATTACKED else kind for kind, o in zip(kinds, obeys, strict=True)],
        "obeys": obeys,
    }
    with atomic_directory(folder) as partial:
        save_file({"x": join_tokens(encoded, completions)}, partial / "tokens.safetensors")
        (partial / "tokens.json").write_text(json.dumps(record, indent=2) + "\n")


def shares_that_obey(folder: Path) -> dict[str, float]:
    """Share of the prompts of each kind that get the answer of their mechanism or, if they have none, of any.

    Raises:
        DataError: What was said is damaged.
    """
    shares: dict[str, float] = _record(folder)["share_that_obeys"]
    return shares


def read_spoken(folder: Path) -> tuple[Examples, list[str]]:
    """What a model said, and the kind of each prompt.

    Raises:
        DataError: It is damaged.
    """
    record = _record(folder)
    try:
        x = load_file(folder / "tokens.safetensors")["x"]
        anomalous = torch.tensor([kind in ATTACKED for kind in record["kinds"]])
        return Examples(x=x, ids=tuple(record["ids"]), anomalous=anomalous), record["kinds"]
    except (OSError, KeyError, SafetensorError) as error:
        raise _damaged(folder, error) from error


def _record(folder: Path) -> dict[str, Any]:
    try:
        record: dict[str, Any] = json.loads((folder / "tokens.json").read_text())
        return record
    except (OSError, ValueError) as error:
        raise _damaged(folder, error) from error


def _damaged(folder: Path, error: Exception) -> DataError:
    return DataError(f"the completions in {folder} are damaged ({error}); delete that folder.")
