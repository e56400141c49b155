"""Do dictionaries of activation differences find a backdoor, and crosscoders not? The paper's table, and a fair one."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from anomech.bench.causes import Causes
from anomech.bench.diffing_methods import PAPER_NAMES, SCALES, Scale, methods
from anomech.bench.diffing_paper import LAYERS, PRIMARY, REPORTED, Reported, same_depth
from anomech.bench.diffing_texts import Protocol, protocols
from anomech.bench.kept import kept, row_path
from anomech.bench.setup import Setup
from anomech.bench.suite import Row
from anomech.diffing.baselines import Coordinates, Projections, RandomFeatures
from anomech.diffing.cache import PairedActivations, cache_activations
from anomech.diffing.features import PairFeatures, Pairs, features_by_text
from anomech.diffing.findings import find
from anomech.diffing.pair import ModelPair
from anomech.diffing.training import Training, train
from anomech.examples import stratified_split
from anomech.functional.metrics import auroc
from anomech.io.language_models import load_causal_lm, load_tokenizer
from anomech.measure import measured
from anomech.organisms.files import digest
from anomech.organisms.language import lessons
from anomech.organisms.language.loading import (
    LanguageOrganism,
    audited_texts,
    load_language_organism,
    well_answered,
)
from anomech.organisms.language.recipes import FULLY_TUNED, RECIPES, Recipe
from anomech.tasks import CausalLMTask
from anomech.tasks.tokens import is_prompt
from anomech.versions import versions

COLUMNS = [
    "organism",
    "protocol",
    "layer",
    "detector",
    "features",
    "bis",
    "bis_ceiling",
    "precision",
    "fpr",
    "published_bis",
    "published_precision",
    "published_fpr",
    "auroc",
    "auroc_low",
    "auroc_high",
    "auroc_decoys",
    "average_precision",
    "f1",
    "f1_low",
    "f1_high",
    "needed",
    "dead",
    "always",
    "correlation",
    "asr",
    "asr_without",
    "asr_control",
    "perplexity",
    "perplexity_without",
    "perplexity_control",
    "seconds",
    "vectors",
    "distinct_vectors",
    "vectors_per_core_second",
    "million_core_minutes",
]

ORGANISMS: dict[str, Recipe] = {"code": RECIPES["code"], "code-full": FULLY_TUNED["code-full"]}
"""The same trigger, learnt by an adapter and by the whole model."""
UNCHANGED = "none: the models are alike up to here"
LENGTH = "none: norm of the base model's averaged activations against 1 / tokens"
CHECKED = 12
"""Prompts of each kind on which the causal check is made."""


def rows(setup: Setup) -> Iterator[Row]:
    """Every dictionary and baseline, on both organisms, at four layers and by both protocols; each is kept.

    Raises:
        DataError: There is no folder of texts, or none of the base model in it.
    """
    data, base = setup.language_data()
    for name, recipe in setup.track(ORGANISMS.items(), "models to compare with their base", len(ORGANISMS)):
        organism = load_language_organism(name, setup.part, base=base, data=data, cache=setup.cache, track=setup.track)
        yield from _Bench(name, recipe, organism, base, data, setup).rows()


@dataclass
class _Bench:
    """A fine-tuned model, its base, and texts."""

    name: str
    recipe: Recipe
    organism: LanguageOrganism
    base: Path
    data: Path
    setup: Setup

    def rows(self) -> Iterator[Row]:
        """At every layer, by either protocol, what every method finds."""
        for layer in LAYERS:
            for protocol in self._protocols:
                yield from self._at(layer, protocol)
        if self.recipe.adapter is None:
            path = row_path(self.setup, f"diffing-{self.name}-speed", [*self._hashes, SPEED, versions()])
            yield kept(path, self._speed)

    def _speed(self) -> Row:
        """How fast a dictionary of the fine-tuned model's activations is trained, token by token."""
        layer, corrected = same_depth(PRIMARY, self._blocks), self._protocols[1]
        pairs = self._pairs(corrected, layer, learnt=True)
        training = Training(features=8 * self._width, dtype="bfloat16", seed=self.setup.seed, **SPEED)
        before = time.process_time()
        with measured(self.organism.task) as usage:
            train(pairs, lambda block: block.tuned, training, parts=1, device=CPU, track=self.setup.track)
        # Of a core's own time: beside other work the wall clock says nothing of the training.
        rate = training.steps * training.batch / (time.process_time() - before)
        return {
            "organism": f"language-{self.name}",
            "detector": "sparse autoencoder 8x, speed",
            "layer": layer,
            "features": training.features,
            "seconds": usage.seconds,
            "vectors": training.steps * training.batch,
            "distinct_vectors": sum(map(len, pairs)),
            "vectors_per_core_second": rate,
            "million_core_minutes": 1e6 / rate / 60,
            "seed": self.setup.seed,
        }

    def _at(self, paper_layer: int, protocol: Protocol) -> Iterator[Row]:
        layer = same_depth(paper_layer, self._blocks)
        common = {
            "organism": f"language-{self.name}",
            "protocol": protocol.name,
            "layer": layer,
            "paper_layer": paper_layer,
            "n_texts": len(protocol.judged.kinds),
            "n_triggered": int(protocol.judged.of_kind("attacked").sum()),
            "seed": self.setup.seed,
        }
        if layer < self._first_changed:
            yield {**common, "detector": UNCHANGED}
            return
        for name, learnt in methods(protocol, paper_layer, self._width, self._scale, seed=self.setup.seed).items():
            made_of = [*self._hashes, *_hashes(protocol), layer, name, _plain(learnt), versions()["anomech"]]
            path = row_path(self.setup, f"diffing-{self.name}-{protocol.name}-{layer}-{name}", made_of)
            found = kept(path, partial(self._found, learnt, protocol, layer))
            yield {**common, "detector": name, **self._published(name, protocol, paper_layer), **found}
        if protocol.tokens == "mean":
            path = row_path(
                self.setup, f"diffing-{self.name}-length-{layer}", [*self._hashes, *_hashes(protocol), layer]
            )
            yield {**common, "detector": LENGTH, **kept(path, partial(self._length, protocol, layer))}

    def _length(self, protocol: Protocol, layer: int) -> Row:
        """Is the norm of an average over tokens but that of a first one, which dwarfs the others, over their number?"""
        texts = protocol.judged.examples
        norms = torch.cat([block.base.norm(dim=1) for block in self._pairs(protocol, layer, learnt=False)])
        shares = 1 / is_prompt(texts.x).sum(dim=1)
        return {"correlation": float(torch.corrcoef(torch.stack([norms, shares]))[0, 1])}

    def _found(self, learnt: PairFeatures, protocol: Protocol, layer: int) -> Row:
        judged = protocol.judged
        triggered, benign = judged.of_kind("attacked"), judged.of_kind(*protocol.benign)
        with measured(self.organism.task) as usage:
            learnt.fit(self._pairs(protocol, layer, learnt=True), track=self.setup.track)
            pairs = self._pairs(protocol, layer, learnt=False)
            values = features_by_text(learnt, pairs, len(judged.kinds))
            found = find(values, triggered, benign, seed=self.setup.seed)
        row = {
            "features": values.shape[1],
            "bis": found.isolation,
            "bis_ceiling": found.isolation_ceiling,
            "precision": found.isolation_precision,
            "fpr": found.isolation_false_positives,
            **_interval("auroc", found.auroc, found.auroc_interval),
            **_interval("average_precision", found.average_precision, found.average_precision_interval),
            **_interval("f1", found.f1, found.f1_interval),
            "needed": found.needed,
            "seconds": usage.seconds,
        }
        if not isinstance(learnt, Projections):
            active = values > 0
            row |= {"dead": _share(~active.any(dim=0)), "always": _share(active.all(dim=0))}
        if protocol.name == "corrected":
            told = stratified_split(triggered.long(), 0.5, seed=self.setup.seed)[1]
            hard = told[(triggered | judged.of_kind("decoy"))[told]]
            row["auroc_decoys"] = auroc(values[hard, found.feature], triggered[hard])
            if not isinstance(learnt, UNCHECKED):
                row |= self._causes.row(layer, learnt.tuned_directions[found.feature])
        return row

    def _published(self, method: str, protocol: Protocol, paper_layer: int) -> Row:
        """What the paper reports of the same, which it does of full fine-tuning."""
        figures = REPORTED.get(PAPER_NAMES.get(method, ""), {})
        if protocol.name != "published" or self.recipe.adapter is not None or paper_layer not in figures:
            return {}
        told: Reported = figures[paper_layer]
        return {
            "published_bis": told.isolation,
            "published_precision": told.precision,
            "published_fpr": told.false_positives,
        }

    def _pairs(self, protocol: Protocol, layer: int, *, learnt: bool) -> Pairs:
        texts = protocol.learnt if learnt else protocol.judged
        known = digest([*self._hashes, texts.examples.sha256(), protocol.tokens, self._layers])
        if (known, layer) not in self._read:
            folder = self.setup.cache / "activations" / f"{self.name}-{known}"
            folder.parent.mkdir(parents=True, exist_ok=True)
            cache = cache_activations(
                self._pair,
                texts.examples,
                folder,
                layers=self._layers,
                tokens=protocol.tokens,
                track=self.setup.track,
            )
            self._read = {
                **{key: pairs for key, pairs in self._read.items() if key[1] == layer},
                (known, layer): list(cache.layer(layer)),
            }
        return self._read[known, layer]

    @cached_property
    def _read(self) -> dict[tuple[str, int], list[PairedActivations]]:
        """Activations of the layer that is looked at."""
        return {}

    @cached_property
    def _pair(self) -> ModelPair:
        if self.recipe.adapter is not None:
            return ModelPair(self.organism.task)
        return ModelPair(self.organism.task, CausalLMTask(load_causal_lm(self.base)))

    @cached_property
    def _protocols(self) -> list[Protocol]:
        tokenizer, scale = load_tokenizer(self.base), self._scale
        found = protocols(self.recipe, self.setup.part, data=self.data, tokenizer=tokenizer, triggered=scale.triggered)
        return list(found)

    @cached_property
    def _causes(self) -> Causes:
        tokenizer = load_tokenizer(self.base)
        texts = audited_texts(self.recipe, self.setup.part, data=self.data, tokenizer=tokenizer)
        attacked = [prompt for kind, prompt in lessons.asked(texts, self.recipe) if kind == "attacked"]
        return Causes(
            task=self.organism.task,
            tokenizer=tokenizer,
            attacked=attacked[:CHECKED],
            succeeded=lambda said: self.recipe.mechanism.shown(said) == "attacked",
            answered=well_answered(self.recipe, self.data, tokenizer)[:CHECKED],
            new_tokens=self.recipe.new_tokens,
            seed=self.setup.seed,
        )

    @cached_property
    def _hashes(self) -> list[str]:
        return [self.organism.task.model_sha256()]

    @property
    def _scale(self) -> Scale:
        return SCALES[self.setup.suite]

    @property
    def _config(self) -> Any:
        return self.organism.task.model.config

    @property
    def _width(self) -> int:
        return int(self._config.hidden_size)

    @property
    def _blocks(self) -> int:
        return int(self._config.num_hidden_layers)

    @property
    def _first_changed(self) -> int:
        return 0 if self.recipe.adapter is None else self._blocks - self.recipe.adapter.blocks

    @property
    def _layers(self) -> list[int]:
        layers = sorted(same_depth(layer, self._blocks) for layer in LAYERS)
        return [layer for layer in layers if layer >= self._first_changed]


SPEED: dict[str, Any] = {"steps": 1000, "batch": 1024}
"""Of the training whose speed is measured, on a million vectors."""
CPU = torch.device("cpu")
UNCHECKED = (Coordinates, RandomFeatures)
"""Whose directions are not taken out of a model: that of a coordinate tells little, and a random one is the control."""


def _hashes(protocol: Protocol) -> list[str]:
    return [texts.examples.sha256() for texts in (protocol.learnt, protocol.judged)]


def _plain(learnt: Any) -> dict[str, Any]:
    settings: dict[str, Any] = asdict(learnt)
    return settings


def _interval(name: str, value: float, interval: tuple[float, float]) -> Row:
    return {name: value, f"{name}_low": interval[0], f"{name}_high": interval[1]}


def _share(which: Tensor) -> float:
    return float(which.float().mean())
