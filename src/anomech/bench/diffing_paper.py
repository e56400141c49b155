"""What the paper reports, to stand beside what is measured here: Kumar 2026, "Activation Differences Reveal Backdoors".

Source: arXiv 2605.07324, figures of the full fine-tuning from the authors' `exp_fullrank/results.json`
(github.com/techsachinkr/diff-sae-backdoor-detection), the only such file; of LoRA there are none.
"""

from __future__ import annotations

from typing import NamedTuple


class Reported(NamedTuple):
    """Figures of a model's best feature; None where they are not told."""

    isolation: float
    precision: float | None = None
    false_positives: float | None = None


BLOCKS = 32
"""Of SmolLM2-360M, which the paper looks at."""
LAYERS = (14, 18, 22, 26)
"""Blocks after which it does."""
PRIMARY = 18
"""The one that the paper calls its primary."""

CROSSCODER, DIFF_SAE, NARROW_DIFF_SAE = "crosscoder", "Diff-SAE 32x", "Diff-SAE 4x"
REPORTED: dict[str, dict[int, Reported]] = {
    CROSSCODER: {
        14: Reported(0.0),
        18: Reported(0.0),
        22: Reported(0.0),
        26: Reported(0.235, precision=0.616, false_positives=0.047),
    },
    DIFF_SAE: {
        14: Reported(0.400, precision=1.0, false_positives=0.0),
        18: Reported(0.400),
        22: Reported(0.400),
        26: Reported(0.400),
    },
    NARROW_DIFF_SAE: dict.fromkeys(LAYERS, Reported(0.400)),
}


def same_depth(layer: int, blocks: int) -> int:
    """The block of another model that lies as deep as one of the paper's."""
    return round(layer * blocks / BLOCKS)
