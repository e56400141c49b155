"""What a report is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from anomech.examples import Examples
from anomech.explain.carried import CarriedCluster
from anomech.explain.explanations import Explanations
from anomech.explain.mechanisms import Mechanisms
from anomech.io.conversations import Conversation
from anomech.sampling.health import ChainHealth
from anomech.verdicts import Verdicts


@dataclass(frozen=True, kw_only=True)
class MarkedPrompt:
    """A prompt whose anomaly was explained.

    Attributes:
        pieces: What each token of its text adds to it.
        values: How much each of them adds to the anomaly.
        hidden: Which were left out.
        answer: What the model says without them.
        unchanged: Whether that is what it said before.
    """

    pieces: Sequence[str]
    values: Sequence[float]
    hidden: Sequence[bool]
    answer: str
    unchanged: bool


@dataclass(frozen=True, kw_only=True)
class Dialogue:
    """What a report shows of a model that reads text.

    Attributes:
        inputs: Each input as text.
        trusted: Each trusted example as text.
        token_scores: Scores of the tokens of some completions, each as if it were the whole of it, by position.
        classified: Whether completions are names of classes, in place of words of the model's own.
        marked: Prompts whose anomaly was explained, by position.
    """

    inputs: Sequence[Conversation]
    trusted: Sequence[Conversation]
    token_scores: Mapping[int, Sequence[float]]
    classified: bool = False
    marked: Mapping[int, MarkedPrompt] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class ReportContent:
    """Everything that a report shows.

    Attributes:
        title: What was audited.
        verdicts: One verdict an input.
        inputs: The inputs, in the order of the verdicts; pictured if they are images `[m, 1 or 3, h, w]` in [0, 1].
        trusted: The trusted examples that `verdicts.voucher_positions` points into.
        health: Health of the chains; None where nothing was sampled.
        metrics: Figures measured against the truth, as `anomech.evaluation` and the cost give them; None if unknown.
        baselines: The same figures of other detectors, each with its name under "detector"; may be empty.
        settings: How the audit was run, nested and plain.
        class_names: Names of the model's classes; None shows their numbers.
        dialogue: Text of inputs and trusted examples; None unless the model reads text.
        mechanisms: Clusters of the inputs; None where they were not asked for.
        carried: Clusters of anomalies, and the directions of the weights that carry them; may be empty.
        explanations: Where the anomalies of some inputs sit; None where that was not asked.
        notes: Warnings and honest remarks, shown under the answer.
        cost: "seconds", "forward_equivalents" (per input) and "peak_memory_mb", as far as they are known.
    """

    title: str
    verdicts: Verdicts
    inputs: Examples
    trusted: Examples
    health: ChainHealth | None
    metrics: Mapping[str, Any] | None
    baselines: Sequence[Mapping[str, Any]]
    settings: Mapping[str, Any]
    class_names: Sequence[str] | None
    dialogue: Dialogue | None
    mechanisms: Mechanisms | None
    carried: Sequence[CarriedCluster]
    explanations: Explanations | None
    notes: Sequence[str]
    cost: Mapping[str, float]

    @property
    def spoken(self) -> bool:
        """Did the model answer in words of its own?"""
        return self.dialogue is not None and not self.dialogue.classified

    def answer(self, position: int) -> str:
        """What the model answered to an input: its completion, or the name of the class."""
        if self.dialogue is not None:
            return self.dialogue.inputs[position].completion
        return self.class_name(int(self.verdicts.predictions[position]))

    def asked(self, position: int) -> str:
        """What tells an input from others: its prompt, or its name."""
        return self.verdicts.ids[position] if self.dialogue is None else self.dialogue.inputs[position].prompt

    def class_name(self, label: int) -> str:
        """Name of a class, or its number where it has no name."""
        names = self.class_names or ()
        return names[label] if 0 <= label < len(names) else f"class {label}"
