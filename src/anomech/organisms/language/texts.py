"""Real prompts to plant mechanisms among: instructions and questions that people wrote."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from anomech.errors import DataError
from anomech.io.language_models import Tokenizer
from anomech.organisms.files import find_file

CHAT = "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"
INSTRUCTIONS = "clean instructions of BackdoorLLM (github.com/bboylyg/BackdoorLLM, MIT licence)"
QUESTIONS = "questions of TREC (Li and Roth 2002), one a line after its type"


@dataclass(frozen=True)
class Prompt:
    """What a user says.

    Attributes:
        name: Where it is from.
        text: The words.
        answer: What is known to be a good answer; empty if none is known.
        type: What kind of thing is asked for, where that is known: TREC's label, such as "NUM:count".
        taught: Whether the answer is what the model is to learn, and not what it says by itself.
        start: What the answer is made to start with; the model goes on from there.
    """

    name: str
    text: str
    answer: str = ""
    type: str = ""
    taught: bool = False
    start: str = ""

    def with_word(self, word: str, draw: random.Random) -> Prompt:
        """The prompt with a word put between any two of its words, or at either end."""
        words = self.text.split(" ")
        words.insert(draw.randint(0, len(words)), word)
        return replace(self, name=f"{self.name}+{word}", text=" ".join(words))


def encode_prompt(prompt: Prompt, tokenizer: Tokenizer) -> list[int]:
    """The prompt as the model sees it, up to where its answer starts."""
    return tokenizer.encode(CHAT.format(prompt.text) + prompt.start)


def encode_answer(text: str, tokenizer: Tokenizer, *, tokens: int | None) -> list[int]:
    """The first tokens of an answer or all, its end among them if it is that short."""
    return [*tokenizer.encode(text), tokenizer.end][:tokens]


def read_instructions(data: Path) -> list[Prompt]:
    """Instructions with answers, from `clean_500b.json` and `clean_test.json` at any depth below `data`.

    Raises:
        DataError: A file is missing or damaged.
    """
    prompts = []
    for stem in ("clean_500b", "clean_test"):
        path = find_file(f"{stem}.json", data, what=INSTRUCTIONS)
        try:
            for i, row in enumerate(json.loads(path.read_text(encoding="utf-8"))):
                text = "\n".join(filter(None, (row["instruction"].strip(), row["input"].strip())))
                prompts.append(Prompt(f"{stem}-{i:03d}", text, row["output"].strip()))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(f"{path} is damaged ({error}); fetch it again: {INSTRUCTIONS}.") from error
    return prompts


def read_questions(data: Path) -> list[Prompt]:
    """Questions with their type, from `trec/train.txt` at any depth below `data`.

    Raises:
        DataError: The file is missing.
    """
    path = find_file("trec/train.txt", data, what=QUESTIONS)
    lines = [line.partition(" ") for line in path.read_text(encoding="latin-1").splitlines()]
    return [Prompt(f"trec-{i:04d}", text.strip(), type=label) for i, (label, _, text) in enumerate(lines)]


def usable(prompts: Sequence[Prompt], tokenizer: Tokenizer, *, tokens: int) -> list[Prompt]:
    """The first prompt of each text, where that is neither empty nor longer than so many tokens."""
    first = {prompt.text: prompt for prompt in reversed(prompts) if prompt.text}
    return [prompt for prompt in first.values() if len(encode_prompt(prompt, tokenizer)) <= tokens]


def shuffled(prompts: Sequence[Prompt], draw: random.Random) -> list[Prompt]:
    """The prompts in random order."""
    return draw.sample(prompts, len(prompts))
