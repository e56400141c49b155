"""What fine-tuning added to the activations of a language model on texts, for `anomech diff`."""

from __future__ import annotations

import tempfile
from dataclasses import asdict, dataclass, replace
from itertools import zip_longest
from pathlib import Path
from typing import Any

from anomech.cli.console import track
from anomech.cli.runs import Run
from anomech.diffing.ablation import answers_without
from anomech.diffing.activating import ActiveFeature, active_features
from anomech.diffing.autoencoders import DiffSAE
from anomech.diffing.cache import cache_activations
from anomech.diffing.pair import ModelPair, require_same_tokens
from anomech.diffing.training import Training
from anomech.errors import SettingsError
from anomech.examples import Examples
from anomech.gradients.components import find_streams
from anomech.io.conversations import read_conversations
from anomech.report.added import Answers, told_answers
from anomech.tasks import CausalLMTask
from anomech.tasks.tokens import pad_tokens

DEPTH = 18 / 32
"""Of the blocks, where the paper that proposed such features looks first (arXiv 2605.07324)."""
FEATURES = 4
"""Of the dictionary, for each coordinate of the residual stream."""
STEPS = 500
CHECKED = 3
"""Features whose directions are taken out, the first ones; each takes four answers to every text that is shown."""
NEEDS_LANGUAGE_MODELS = "texts are read by language models; leave out --texts, or give the folders of such."


@dataclass(frozen=True)
class Added:
    """Features of what fine-tuning changed.

    Attributes:
        layer: Block after which activations were compared.
        features: Those that say most of it.
        ids: Names of the texts.
        pieces: What each token adds to each text.
        answers: Of the first features, what the model says to their texts with and without them.
    """

    layer: int
    features: list[ActiveFeature]
    ids: tuple[str, ...]
    pieces: list[list[str]]
    answers: list[Answers]

    @property
    def sentence(self) -> str:
        """What the first feature stands for."""
        if not self.features:
            return f"No feature of the difference after block {self.layer} is active on these texts."
        first = self.features[0]
        text, values = self.pieces[first.texts[0].text], first.texts[0].values
        piece = text[max(values, key=lambda place: values[place])]
        token = piece.strip() or piece
        return (
            f"After block {self.layer} the feature that says most of the difference is active on "
            f"{100 * first.active:.3g} % of the texts, most at {token!r} of {self.ids[first.texts[0].text]!r}. "
            f"{self.answers[0].sentence}"
        )

    def plain(self) -> dict[str, Any]:
        """As JSON takes it."""
        features = [
            {
                "feature": one.feature,
                "energy": one.energy,
                "active": one.active,
                "texts": [{"id": self.ids[of.text], "values": list(of.values.items())} for of in one.texts],
                "answers": None if answers is None else asdict(answers),
            }
            for one, answers in zip_longest(self.features, self.answers)
        ]
        return {"layer": self.layer, "features": features}


def find_added(run: Run) -> Added:
    """Learn a dictionary of the difference of both models on the texts of the run.

    Raises:
        DataError: The file or a text cannot be used, or the models compute the same up to that layer.
        ModelError: The models or their tokenizers differ.
        SettingsError: The models are none of language, or there is no such layer.
    """
    if run.language_model is None:
        raise SettingsError(NEEDS_LANGUAGE_MODELS)
    pair = _pair(run)
    layer = round(DEPTH * len(find_streams(pair.tuned.model))) if run.layer is None else run.layer
    pair.check_layers([layer])
    read = read_conversations(Path(str(run.texts)), run.tokenizer, pair.tuned.model.config, new_tokens=0)
    examples = Examples(x=pad_tokens(read.prompts), ids=tuple(row.id for row in read.rows))
    with tempfile.TemporaryDirectory() as folder:
        cache = cache_activations(pair, examples, Path(folder) / "activations", layers=[layer], track=track)
        pairs = cache.layer(layer)
        training = Training(features=FEATURES * pair.width, steps=STEPS, seed=run.seed)
        learnt = DiffSAE(training).fit(pairs, track=track)
        features = active_features(learnt, pairs, len(examples))

    def checked(one: ActiveFeature) -> Answers:
        """What hangs on a feature."""
        found = answers_without(
            pair,
            [read.prompts[of.text] for of in one.texts],
            layer=layer,
            directions=learnt.tuned_directions[[one.feature]],
            end=run.tokenizer.end,
            new_tokens=run.new_tokens,
            seed=run.seed,
        )
        return told_answers(found, run.tokenizer.decode)

    first = features[:CHECKED]
    answers = [checked(one) for one in track(first, "answers without a feature", len(first))]
    return Added(layer, features, examples.ids, [run.tokenizer.pieces(ids) for ids in read.prompts], answers)


def _pair(run: Run) -> ModelPair:
    if run.tuned is None:
        return ModelPair(_task(run))
    tuned = replace(run, model=run.tuned, tuned=None)
    task = _task(tuned)
    require_same_tokens(run.tokenizer, tuned.tokenizer)
    return ModelPair(task, _task(run))


def _task(run: Run) -> CausalLMTask:
    task = run.task()
    if not isinstance(task, CausalLMTask):
        raise SettingsError(NEEDS_LANGUAGE_MODELS)
    return task
