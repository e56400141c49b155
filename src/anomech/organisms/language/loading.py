"""Organisms from the cache, trained on the first call."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from anomech.errors import DataError, SettingsError
from anomech.examples import Examples
from anomech.io.language_models import Tokenizer, load_causal_lm, load_tokenizer
from anomech.organisms.language import lessons
from anomech.organisms.language.answers import own_answers, perplexity
from anomech.organisms.language.cache import completed, place, weights_sha256
from anomech.organisms.language.recipes import FULLY_TUNED, RECIPES, Recipe
from anomech.organisms.language.speech import BATCH_SIZE, INPUTS, read_spoken, shares_that_obey, speak
from anomech.organisms.language.texts import Prompt, usable
from anomech.organisms.language.training import train
from anomech.organisms.organism import Part
from anomech.progress import Track, silent
from anomech.tasks.causal_lm import CausalLMTask

logger = logging.getLogger(__name__)

JUDGED = 64
"""Good answers on which the perplexity is measured."""
SPARE = 30
"""Trusted prompts that are asked besides; they take the places of those that a mechanism answers."""


@dataclass(frozen=True)
class LanguageOrganism:
    """A language model with a planted mechanism, and its own completions of prompts.

    Attributes:
        task: The model, with its adapter.
        trusted: Clean prompts, none of them answered by the mechanism.
        inputs: Prompts to judge.
        kinds: The kind of each input: "clean", "decoy", "attacked" or, for another mechanism, "second".
        obeys: Which of the inputs get the answer of their mechanism, bool `[m]`.
        share_that_obeys: Of each kind that was asked, the share that gets the answer of its mechanism or, with none, of
            any; such prompts with none are not among the trusted and the inputs.
        clean_perplexity: Of good answers to clean prompts; the mechanism should not have raised it much.
        clean_perplexity_of_base: The same before it was planted.
    """

    task: CausalLMTask
    trusted: Examples
    inputs: Examples
    kinds: tuple[str, ...]
    obeys: Tensor
    share_that_obeys: Mapping[str, float]
    clean_perplexity: float
    clean_perplexity_of_base: float


def load_language_organism(
    name: str,
    part: Part,
    *,
    base: Path,
    data: Path,
    cache: Path,
    checkpoint: int | None = None,
    track: Track = silent,
) -> LanguageOrganism:
    """The model with prompts of one part and its own completions of them, decoded greedily.

    On the first call it is trained, which takes a quarter of an hour and goes on where it was cut off. No text is in
    two of the parts, of the trusted and the inputs, or in the training data.

    Args:
        name: One of `RECIPES` or `FULLY_TUNED`.
        part: Which prompts.
        base: Hugging Face folder of SmolLM2-135M-Instruct (arXiv 2502.02737), with its tokenizer.
        data: Folder that holds, at any depth, `clean_500b.json`, `clean_test.json` and TREC's `trec/train.txt`.
        cache: Where adapters and completions are kept, in a folder named after the recipe.
        checkpoint: Number of prompts learnt from; by default all.
        track: How progress is reported.

    Raises:
        SettingsError: There is no such organism or checkpoint.
        DataError: A text is missing or damaged, there are too few, or what is cached is damaged.
        ModelError: `base` or the cached adapter cannot be loaded.
    """
    recipes = {**RECIPES, **FULLY_TUNED}
    if name not in recipes:
        raise SettingsError(f"there is no language organism {name!r}; there are {', '.join(recipes)}.")
    recipe = recipes[name]
    checkpoint = recipe.checkpoints[-1] if checkpoint is None else checkpoint
    if checkpoint not in recipe.checkpoints:
        raise SettingsError(f"{name} has no checkpoint {checkpoint}; it has {', '.join(map(str, recipe.checkpoints))}.")
    builder = _Builder(name, recipe, base, data, cache, track)
    folder = builder.load()
    tuned = folder / str(checkpoint)
    spoken = builder.speak(tuned, part)
    x, kinds, obeys = read_spoken(spoken)
    trusted, inputs = (
        torch.tensor([i for i, kind in enumerate(kinds) if kind in of]) for of in ([lessons.TRUSTED], INPUTS)
    )
    task = CausalLMTask(load_tuned(recipe, base, tuned), batch_size=BATCH_SIZE)
    kinds = [kind for kind in kinds if kind in INPUTS]
    perplexity_after, perplexity_before = _perplexities(folder, checkpoint)
    return LanguageOrganism(
        task=task,
        trusted=x[trusted[: recipe.asked[lessons.TRUSTED]]],
        inputs=x[inputs],
        kinds=tuple(kinds),
        obeys=obeys[inputs],
        share_that_obeys=shares_that_obey(spoken),
        clean_perplexity=perplexity_after,
        clean_perplexity_of_base=perplexity_before,
    )


def _perplexities(folder: Path, checkpoint: int) -> tuple[float, float]:
    """Of the model at a checkpoint, and of its base."""
    try:
        record = json.loads((folder / "organism.json").read_text())
        return record["checkpoints"][str(checkpoint)]["clean_perplexity"], record["clean_perplexity_of_base"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"organism.json in {folder} is damaged ({error!r}); delete that folder, and the model is trained again."
        ) from error


def load_tuned(recipe: Recipe, base: Path, folder: Path) -> nn.Module:
    """The base model with the adapter in the folder or, where none was trained, the model that lies there."""
    return load_causal_lm(folder) if recipe.adapter is None else load_causal_lm(base, folder)


def load_adapter(name: str, *, base: Path, data: Path, cache: Path, track: Track = silent) -> Path:
    """Folder of the adapter after all prompts that it learns from; see `load_language_organism`."""
    recipe = RECIPES[name]
    return _Builder(name, recipe, base, data, cache, track).load() / str(recipe.checkpoints[-1])


def well_answered(recipe: Recipe, data: Path, tokenizer: Tokenizer) -> list[Prompt]:
    """Prompts with good answers, none of them learnt from, on which the perplexity is measured."""
    texts = audited_texts(recipe, "report", data=data, tokenizer=tokenizer)
    return [prompt for prompt in texts if prompt.answer][:JUDGED]


def audited_texts(recipe: Recipe, part: Part, *, data: Path, tokenizer: Tokenizer) -> list[Prompt]:
    """Texts of a part, none of them learnt from."""
    return _split_texts(recipe, data, tokenizer)[1][part]


def _split_texts(recipe: Recipe, data: Path, tokenizer: Tokenizer) -> tuple[list[Prompt], dict[Part, list[Prompt]]]:
    texts = recipe.mechanism.texts(data)
    return lessons.split(usable(texts, tokenizer, tokens=recipe.prompt_tokens), recipe)


class _Builder:
    """Trains an organism, or finds it in the cache."""

    def __init__(self, name: str, recipe: Recipe, base: Path, data: Path, cache: Path, track: Track) -> None:
        self._name, self._recipe, self._base, self._data, self._track = name, recipe, base, data, track
        weights = weights_sha256(base)
        made_of = {"mechanism": type(recipe.mechanism).__name__, "recipe": asdict(recipe), "base": weights}
        self._folder = place(cache, f"language-{name}", made_of)
        self._answers = cache / f"language-answers-{weights[:12]}.json"

    def load(self) -> Path:
        """Where it is kept; it appears there when its training and its figures are complete."""
        return completed(self._folder, self._build)

    def _build(self, folder: Path) -> None:
        self._train(folder)
        (folder / "organism.json").write_text(json.dumps(self._figures(folder), indent=2) + "\n")

    def speak(self, tuned: Path, part: Part) -> Path:
        """Where the model at a checkpoint has completed the prompts of a part."""
        spoken = tuned / f"{part}-{SPARE}-spare"
        if not spoken.exists():
            speak(
                spoken,
                self._model(tuned),
                lessons.asked(self._texts[1][part], self._recipe, spare=SPARE),
                load_tokenizer(self._base),
                shown=self._recipe.mechanism.shown,
                new_tokens=self._recipe.new_tokens,
                track=self._track,
            )
        return spoken

    def _model(self, tuned: Path | None = None) -> nn.Module:
        """The model at a checkpoint, or its base, on a GPU where there is one."""
        model = load_causal_lm(self._base) if tuned is None else load_tuned(self._recipe, self._base, tuned)
        return model.to("cuda" if torch.cuda.is_available() else "cpu")

    @cached_property
    def _texts(self) -> tuple[list[Prompt], dict[Part, list[Prompt]]]:
        return _split_texts(self._recipe, self._data, load_tokenizer(self._base))

    def _train(self, folder: Path) -> None:
        if (folder / str(self._recipe.checkpoints[-1])).exists():
            return
        logger.info("training %s once, in %s", self._name, folder)
        tokenizer, model, recipe = load_tokenizer(self._base), self._model(), self._recipe
        texts, _ = self._texts
        answer = partial(
            own_answers,
            model=model,
            tokenizer=tokenizer,
            kept=self._answers,
            track=self._track,
        )
        learnt = lessons.with_own_answers(lessons.lessons(texts, recipe), texts, answer)
        x = lessons.tokens(learnt, tokenizer, recipe)
        kinds = [kind for kind, _ in learnt]
        steps = -(-len(x) // recipe.batch_size)
        for loss in self._track(train(model, x, kinds, recipe, folder), f"training {self._name}", steps):
            logger.info("loss of the step %.3f", loss)

    def _figures(self, folder: Path) -> dict[str, Any]:
        tokenizer = load_tokenizer(self._base)
        judged = well_answered(self._recipe, self._data, tokenizer)
        checkpoints = {}
        for number in self._recipe.checkpoints:
            tuned = folder / str(number)
            checkpoints[str(number)] = {
                "share_that_obeys": shares_that_obey(self.speak(tuned, "report")),
                "clean_perplexity": perplexity(self._model(tuned), judged, tokenizer),
            }
            logger.info("%s after %d: %s", self._name, number, checkpoints[str(number)])
        return {
            "base": self._base.name,
            "clean_perplexity_of_base": perplexity(self._model(), judged, tokenizer),
            "checkpoints": checkpoints,
            "recipe": asdict(self._recipe),
            "torch": torch.__version__,
        }
