"""Small language models that others are derived from: two that were published, and six trained here from scratch."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from anomech.bench.derived import Tuning, trained
from anomech.bench.llama2c import encode_longest, load_llama2c, read_words
from anomech.bench.setup import LANGUAGE_MODEL, Setup
from anomech.io.atomic import atomic_directory
from anomech.io.language_models import load_causal_lm, load_tokenizer
from anomech.organisms.files import digest, find_file
from anomech.organisms.language.cache import weights_sha256
from anomech.organisms.language.texts import read_instructions, read_questions
from anomech.organisms.organism import Part
from anomech.progress import Track

logger = logging.getLogger(__name__)

STORIES, STORY_WORDS = "stories260K.bin", "tok512.bin"
LLAMA2C = "a story teller of 260,032 weights and its words (github.com/karpathy/llama2.c, MIT licence)"
PLAYS = "Shakespeare's plays as char-rnn has them (github.com/karpathy/char-rnn)"
BYTES, HEADS = 256, 4


@dataclass(frozen=True, kw_only=True)
class Base:
    """A model that others are derived from.

    Attributes:
        name: What its family is called.
        texts: What the copy that is judged is fine-tuned on, and what the one that is known.
        made_of: Plain data that tell its weights from all others.
        load: Gives the model.
        encode: Token ids of a text.
        tuning: How it is fine-tuned.
    """

    name: str
    texts: tuple[str, str]
    made_of: object
    load: Callable[[], nn.Module]
    encode: Callable[[str], list[int]]
    tuning: Tuning


@dataclass(frozen=True)
class Recipe:
    """A model that is trained here, of bytes.

    Attributes:
        architecture: As transformers names it.
        text: What it is trained on.
        width: Of the residual stream.
        depth: Blocks.
        tuning: How it is trained; its seed is also that of the first weights.
    """

    architecture: str
    text: str
    width: int
    depth: int
    tuning: Tuning


FAMILIES = {
    "llama a": ("llama", "plays", 0),
    "llama b": ("llama", "plays", 1),
    "gpt2 a": ("gpt2", "plays", 2),
    "gpt2 b": ("gpt2", "instructions", 3),
    "gpt-neox": ("gpt_neox", "plays", 4),
    "opt": ("opt", "instructions", 5),
}
"""Architecture, text and seed; llama a and b differ by the seed alone, gpt2 a and b by the text too."""
SHAPES: dict[Part, tuple[int, int, int]] = {"report": (80, 5, 0), "development": (64, 4, 100)}
"""Width, depth and what is added to the seeds: what is chosen is chosen on other models."""
TRAINING = Tuning(steps=300, learning_rate=3e-3)
"""How they are trained."""
TUNING = Tuning(steps=100, learning_rate=5e-4)
"""How bases are fine-tuned; more gently than they are trained."""
LARGE = Tuning(steps=12, learning_rate=2e-4, batch=2, length=64)
"""The same of the largest."""


def bases(setup: Setup) -> Iterator[Base]:
    """Every base, one in memory at a time; those that others published only to report.

    Raises:
        DataError: A text or published model is not among the data.
    """
    if setup.part == "report":
        yield _smollm2(setup)
        yield _stories(setup)
    width, depth, shift = SHAPES[setup.part]
    for name, (architecture, text, seed) in FAMILIES.items():
        tuning = replace(TRAINING, seed=seed + shift)
        yield _made(name, Recipe(architecture, text, width, depth, tuning), setup)


def read_text(name: str, data: Path) -> str:
    """One of the texts: "plays", "instructions" with their answers, or "questions".

    Raises:
        DataError: It is not among the data.
    """
    match name:
        case "plays":
            return find_file("tinyshakespeare.txt", data, what=PLAYS).read_text(encoding="utf-8")
        case "instructions":
            return "\n\n".join(f"{prompt.text}\n{prompt.answer}" for prompt in read_instructions(data))
        case _:
            return "\n".join(prompt.text for prompt in read_questions(data))


def _smollm2(setup: Setup) -> Base:
    _, folder = setup.language_data()
    tokenizer = load_tokenizer(folder)
    return Base(
        name=LANGUAGE_MODEL,
        texts=("plays", "questions"),
        made_of=weights_sha256(folder),
        load=partial(load_causal_lm, folder),
        encode=tokenizer.encode,
        tuning=LARGE,
    )


def _stories(setup: Setup) -> Base:
    data, _ = setup.language_data()
    path, words = (find_file(name, data, what=LLAMA2C) for name in (STORIES, STORY_WORDS))
    return Base(
        name="stories260K",
        texts=("plays", "questions"),
        made_of=hashlib.sha256(path.read_bytes()).hexdigest(),
        load=partial(load_llama2c, path),
        encode=partial(encode_longest, words=read_words(words)),
        tuning=TUNING,
    )


def _made(name: str, recipe: Recipe, setup: Setup) -> Base:
    data, _ = setup.language_data()
    others = [text for text in ("plays", "instructions", "questions") if text != recipe.text]
    return Base(
        name=name,
        texts=(others[0], others[1]),
        made_of=asdict(recipe),
        load=partial(_load_made, recipe, data, setup.cache, setup.track),
        encode=lambda text: list(text.encode()),
        tuning=TUNING,
    )


def _load_made(recipe: Recipe, data: Path, cache: Path, track: Track) -> nn.Module:
    """The model, trained on the first call."""
    folder, steps = cache / f"base-{recipe.architecture}-{digest(asdict(recipe))}", recipe.tuning.steps
    if not folder.exists():
        logger.info("training a %s once, for %s", recipe.architecture, folder)
        model = untrained(recipe)
        tokens = torch.tensor(list(read_text(recipe.text, data).encode()))
        for loss in track(trained(model, tokens, recipe.tuning), f"training a {recipe.architecture}", steps):
            logger.debug("loss of the step %.3f", loss)
        with atomic_directory(folder) as unfinished:
            model.save_pretrained(unfinished)
    return load_causal_lm(folder)


def untrained(recipe: Recipe) -> Any:
    """A model with its first weights, in evaluation mode."""
    import transformers

    width = recipe.width
    hidden: dict[str, dict[str, int]] = {
        "llama": {"intermediate_size": 8 * width // 3},
        "gpt2": {"n_inner": 4 * width},
        "gpt_neox": {"intermediate_size": 4 * width},
        "opt": {"ffn_dim": 4 * width, "word_embed_proj_dim": width},
    }
    config = transformers.AutoConfig.for_model(
        recipe.architecture,
        hidden_size=width,
        num_hidden_layers=recipe.depth,
        num_attention_heads=HEADS,
        vocab_size=BYTES,
        max_position_embeddings=recipe.tuning.length,
        bos_token_id=0,
        eos_token_id=0,
        pad_token_id=None,
        **hidden[recipe.architecture],
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.tuning.seed)
        return transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()
