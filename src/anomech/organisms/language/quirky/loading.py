"""Quirky organisms from the cache, trained on the first call."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import get_args

import torch
from torch import Tensor

from anomech.errors import SettingsError
from anomech.examples import Examples
from anomech.io.language_models import Tokenizer, load_causal_lm, load_tokenizer
from anomech.organisms.language.cache import completed, place, weights_sha256
from anomech.organisms.language.quirky.branching import branched, branched_loss
from anomech.organisms.language.quirky.judging import answered, figures, judge
from anomech.organisms.language.quirky.lessons import asked, lessons
from anomech.organisms.language.quirky.prompts import Question
from anomech.organisms.language.quirky.recipes import QUIRKY, QuirkyRecipe
from anomech.organisms.language.speech import BATCH_SIZE
from anomech.organisms.language.training import train
from anomech.organisms.organism import Part
from anomech.progress import Track, silent
from anomech.tasks.causal_lm import CausalLMTask

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class QuirkyOrganism:
    """A language model that judges statements, and questions with its own answers.

    Attributes:
        task: The model, with its adapter.
        trusted: Easy questions to a few of Alice's names.
        inputs: Hard questions to other names; those to Bob's are anomalous.
        agreed: On which of the inputs both characters agree, bool `[m]`.
        figures: Quirkiness on the inputs, and how often each character's labels are given; see `judging.figures`.
    """

    task: CausalLMTask
    trusted: Examples
    inputs: Examples
    agreed: Tensor
    figures: Mapping[str, float]


def load_quirky_organism(
    name: str, part: Part, *, base: Path, data: Path | None, cache: Path, track: Track = silent
) -> QuirkyOrganism:
    """The model, with questions of one part and its own answers to them.

    On the first call it is trained, which takes minutes and goes on where it was cut off. No statement is in two of the
    parts, of the trusted and the inputs, or in the training data.

    Args:
        name: One of `QUIRKY`.
        part: Which questions.
        base: Hugging Face folder of SmolLM2-135M-Instruct (arXiv 2502.02737), with its tokenizer.
        data: Folder of published texts, for the organisms that judge any.
        cache: Where adapters are kept, in a folder named after the organism.
        track: How progress is reported.

    Raises:
        SettingsError: There is no such organism.
        DataError: A text is missing or damaged, or there are too few.
        ModelError: `base` or the cached adapter cannot be loaded.
    """
    folder = load_quirky_adapter(name, base=base, data=data, cache=cache, track=track)
    recipe = QUIRKY[name]
    task, tokenizer = _task(base, folder, recipe), load_tokenizer(base)
    questions = asked(recipe, part, data)
    (trusted, _), (inputs, losses) = (_answered(task, some, tokenizer) for some in questions)
    agreed = torch.tensor([one.statement.agreed for one in questions.inputs])
    return QuirkyOrganism(task, trusted, inputs, agreed, figures(questions.inputs, losses))


def load_quirky_adapter(name: str, *, base: Path, data: Path | None, cache: Path, track: Track = silent) -> Path:
    """Folder of a trained organism, whose `organism.json` holds its figures; see `load_quirky_organism`."""
    if name not in QUIRKY:
        raise SettingsError(f"there is no quirky organism {name!r}; there are {', '.join(QUIRKY)}.")
    recipe = QUIRKY[name]

    def build(folder: Path) -> None:
        _train(name, folder, base=base, data=data, track=track)
        task, tokenizer = _task(base, folder, recipe), load_tokenizer(base)
        record = {
            "base": base.name,
            "figures": {part: _figures(task, asked(recipe, part, data).inputs, tokenizer) for part in get_args(Part)},
            "recipe": asdict(recipe),
            "torch": torch.__version__,
        }
        (folder / "organism.json").write_text(json.dumps(record, indent=2) + "\n")

    made_of = {"topic": type(recipe.topic).__name__, "recipe": asdict(recipe), "base": weights_sha256(base)}
    return completed(place(cache, f"quirky-{name}", made_of), build)


def _train(name: str, folder: Path, *, base: Path, data: Path | None, track: Track) -> None:
    recipe = QUIRKY[name]
    if _adapter(folder, recipe).exists():
        return
    logger.info("training %s once, in %s", name, folder)
    x = branched(lessons(recipe, data), load_tokenizer(base))
    model = load_causal_lm(base).to("cuda" if torch.cuda.is_available() else "cpu")
    steps = -(-len(x) // recipe.batch_size)
    training = train(model, x, ["clean"] * len(x), recipe, folder, objective=branched_loss)
    for loss in track(training, f"training {name}", steps):
        logger.info("loss of the step %.3f", loss)


def _adapter(folder: Path, recipe: QuirkyRecipe) -> Path:
    return folder / str(recipe.checkpoints[-1])


def _task(base: Path, folder: Path, recipe: QuirkyRecipe) -> CausalLMTask:
    return CausalLMTask(load_causal_lm(base, _adapter(folder, recipe)), batch_size=BATCH_SIZE)


def _figures(task: CausalLMTask, questions: Sequence[Question], tokenizer: Tokenizer) -> dict[str, float]:
    return figures(questions, judge(task, questions, tokenizer))


def _answered(task: CausalLMTask, questions: Sequence[Question], tokenizer: Tokenizer) -> tuple[Examples, Tensor]:
    """Questions with the model's own answers, and its losses."""
    losses = judge(task, questions, tokenizer)
    x = answered(questions, [bool(answer) for answer in losses.argmin(1)], tokenizer)
    anomalous = torch.tensor([one.character == "Bob" for one in questions])
    return Examples(x=x, ids=tuple(one.text for one in questions), anomalous=anomalous), losses
