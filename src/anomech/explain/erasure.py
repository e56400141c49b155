"""How much of an image has to go before trusted examples vouch for what the model says."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from anomech.auditor import Auditor
from anomech.errors import SettingsError
from anomech.examples import Examples
from anomech.explain.attribution import Attribution, Eraser, Quantity, require_images
from anomech.explain.erasers import ImageEraser
from anomech.explain.explanations import Explanations
from anomech.explain.quantities import Anomaly
from anomech.features import GradientSketch
from anomech.functional.corruptions import gaussian_blur, gaussian_filter
from anomech.functional.localization import top_places
from anomech.progress import Track, silent

SPREAD = 0.5
"""Standard deviation, in pixels, over which what erasing a pixel promises is averaged."""
BLUR = 3
"""Severity of the blur that a pixel is compared with."""


@dataclass(frozen=True, kw_only=True)
class Erasure(Attribution):
    """Pixels that were erased before trusted examples vouched for what the model says, the first ones highest.

    Each round takes the pixels whose blurring would lower the score most, to first order, from what is left after the
    round before; the holes are filled in. So it finds a mark of many pieces, of which no window hides enough. It seeks
    the smallest deletion, as Fong and Vedaldi 2017 (arXiv 1704.03296), but greedily, and of whole pixels.

    Attributes:
        eraser: What is put in the place of pixels.
        rounds: At most; a gradient of the score each.
        share: Share of the pixels that a round takes.
    """

    eraser: Eraser = field(default_factory=ImageEraser)
    rounds: int = 16
    share: float = 0.01

    def __post_init__(self) -> None:
        if self.rounds < 1 or not 0 < self.share * self.rounds <= 0.5:
            raise SettingsError(
                f"{self.rounds} rounds of {self.share:g} of the pixels cannot be: there must be one at least, and "
                "together they must take more than nothing and at most half of the pixels."
            )

    @staticmethod
    def goes_with(auditor: Auditor, x: Tensor) -> bool:
        """Whether inputs `[m, ...]` are images, and the detector's score has a gradient."""
        return x.is_floating_point() and x.ndim == 4 and isinstance(auditor.detector.features, GradientSketch)

    def _passes(self, quantity: Quantity, shape: torch.Size) -> float:
        return self.rounds * quantity.gradient_passes

    def _attribute(self, quantity: Quantity, x: Tensor, answers: Tensor) -> Tensor:
        require_images(x)
        if not isinstance(quantity, Anomaly):
            raise SettingsError(f"trusted examples vouch for anomalies, not for the {quantity.name}; explain these.")
        auditor, live = quantity.auditor, torch.arange(len(x))
        found = torch.zeros(len(x), *x.shape[2:])
        for left in range(self.rounds, 0, -1):
            scores, savings = _savings(auditor, self.eraser.erase(x[live], found[live] > 0))
            p_values, _ = auditor.calibrator.judge(auditor.trusted_scores, scores)
            going_on = p_values <= auditor.calibrator.fpr
            live, savings = live[going_on], savings[going_on]
            if not len(live):
                break
            taken = top_places(savings.masked_fill(found[live] > 0, -torch.inf), self.share)
            found[live] = torch.where(taken, float(left), found[live])
        return found


def erase_further(
    auditor: Auditor, inputs: Examples, found: Explanations, *, erasure: Attribution, track: Track = silent
) -> Explanations:
    """The same explanations, but with other pixels erased where no trusted example vouched for what was left.

    Args:
        auditor: Fitted, by gradients.
        inputs: What it judged.
        found: Explanations of some of the inputs.
        erasure: Which pixels, those above 0; an `Erasure`.
        track: How progress is reported.
    """
    unexplained = (found.verdicts.p_values <= found.verdicts.fpr).nonzero().flatten()
    if not len(unexplained):
        return found
    x, anomaly = inputs.x[found.positions[unexplained]], Anomaly(auditor)
    hidden = erasure.attribute(anomaly, x, track=track) > 0
    erased = ImageEraser().erase(x, hidden)
    neutralised = replace(found.neutralised, x=found.neutralised.x.index_copy(0, unexplained, erased))
    return replace(
        found,
        hidden=found.hidden.index_copy(0, unexplained, hidden),
        neutralised=neutralised,
        verdicts=auditor.audit(neutralised),
        erased=found.erased.index_fill(0, unexplained, True),
        passes=found.passes + erasure.passes(anomaly, x.shape[1:]) + anomaly.passes,
    )


def _savings(auditor: Auditor, x: Tensor) -> tuple[Tensor, Tensor]:
    """Scores `[m]`, and how far blurring each pixel would lower them, to first order, `[m, height, width]`."""
    with torch.enable_grad():
        leaf = x.detach().clone().requires_grad_()
        scores = auditor.differentiable(leaf)
        (found,) = torch.autograd.grad(scores.sum(), leaf, allow_unused=True, materialize_grads=True)
    promised = (found.to(x) * (x - gaussian_blur(x, BLUR))).sum(1, keepdim=True)
    return scores.detach().cpu(), gaussian_filter(promised, SPREAD)[:, 0].cpu()
