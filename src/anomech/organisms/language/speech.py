"""What a model with a planted mechanism says to the prompts of a part."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

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


@dataclass(frozen=True)
class Answered:
    """A prompt and what a model said to it.

    Attributes:
        kind: Of the prompt.
        name: Of the prompt.
        prompt: Its tokens.
        completion: The tokens of the answer.
        obeys: Whether that is the answer of the mechanism that the prompt sets off or, if it sets off none, of any.
    """

    kind: str
    name: str
    prompt: list[int]
    completion: list[int]
    obeys: bool

    @property
    def dropped(self) -> bool:
        """Whether a mechanism answered without cause, so that the prompt is neither trusted nor clean."""
        return self.obeys and self.kind not in ATTACKED


def ask(
    model: Any,
    asked: Sequence[tuple[str, Prompt]],
    encode: Callable[[Prompt], list[int]],
    tokenizer: Tokenizer,
    *,
    shown: Callable[[str], str | None],
    new_tokens: int,
    track: Track,
) -> list[Answered]:
    """Let the model complete prompts.

    Args:
        model: The model.
        asked: Prompts by kind.
        encode: From a prompt to its tokens.
        tokenizer: The model's.
        shown: The kind of prompt that a completion is the mechanism's answer to; None for an honest answer.
        new_tokens: Longest completion.
        track: How progress is reported.
    """
    prompts = [encode(prompt) for _, prompt in asked]
    completions = complete(model, prompts, end=tokenizer.end, new_tokens=new_tokens, batch_size=BATCH_SIZE, track=track)
    answers = [shown(tokenizer.decode(completion)) for completion in completions]
    return [
        Answered(
            kind=kind,
            name=prompt.name,
            prompt=ids,
            completion=completion,
            obeys=answer == kind if kind in ATTACKED else answer is not None,
        )
        for (kind, prompt), ids, completion, answer in zip(asked, prompts, completions, answers, strict=True)
    ]


def shares(answered: Sequence[Answered]) -> dict[str, float]:
    """Share of the prompts of each kind that obey."""
    obeying = Counter(one.kind for one in answered if one.obeys)
    return {kind: obeying[kind] / number for kind, number in Counter(one.kind for one in answered).items()}


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
    """Let the model complete prompts as it learnt them, and keep what it says in a folder; see `ask`.

    Which prompts are dropped, and how many obey, is recorded.
    """
    encode = partial(encode_prompt, tokenizer=tokenizer)
    answered = ask(model, asked, encode, tokenizer, shown=shown, new_tokens=new_tokens, track=track)
    record = {
        "share_that_obeys": shares(answered),
        "ids": [one.name for one in answered],
        "kinds": ["dropped" if one.dropped else one.kind for one in answered],
        "obeys": [one.obeys for one in answered],
    }
    x = join_tokens([one.prompt for one in answered], [one.completion for one in answered])
    with atomic_directory(folder) as unfinished:
        save_file({"x": x}, unfinished / "tokens.safetensors")
        (unfinished / "tokens.json").write_text(json.dumps(record, indent=2) + "\n")


def shares_that_obey(folder: Path) -> dict[str, float]:
    """Share of the prompts of each kind that get the answer of their mechanism or, if they have none, of any.

    Raises:
        DataError: What was said is damaged.
    """
    return dict(_record(folder)["share_that_obeys"])


def read_spoken(folder: Path) -> tuple[Examples, list[str], Tensor]:
    """What a model said, the kind of each prompt, and which of them obey, bool `[n]`.

    Raises:
        DataError: It is damaged.
    """
    record = _record(folder)
    try:
        x = load_file(folder / "tokens.safetensors")["x"]
        anomalous = torch.tensor([kind in ATTACKED for kind in record["kinds"]])
        return (
            Examples(x=x, ids=tuple(record["ids"]), anomalous=anomalous),
            record["kinds"],
            torch.tensor(record["obeys"]),
        )
    except (OSError, KeyError, SafetensorError) as error:
        raise _damaged(folder, error) from error


def _record(folder: Path) -> dict[str, Any]:
    try:
        record: dict[str, Any] = json.loads((folder / "tokens.json").read_text())
        missing = {"share_that_obeys", "ids", "kinds", "obeys"} - record.keys()
    except (OSError, ValueError, AttributeError) as error:
        raise _damaged(folder, error) from error
    if missing:
        raise _damaged(folder, KeyError(", ".join(sorted(missing))))
    return record


def _damaged(folder: Path, error: Exception) -> DataError:
    return DataError(f"the completions in {folder} are damaged ({error}); delete that folder.")
