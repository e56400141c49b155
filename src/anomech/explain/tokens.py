"""Which tokens of a completion make it anomalous."""

from __future__ import annotations

import torch
from torch import Tensor

from anomech.auditor import Auditor
from anomech.examples import Examples
from anomech.tasks.tokens import COMPLETION, PADDING, PROMPT


def split_by_token(x: Tensor) -> tuple[Tensor, Tensor]:
    """One input for each token of the completions: what stands before that token is its prompt.

    Args:
        x: Inputs of a `CausalLMTask`, int64 `[n, 2, length]`.

    Returns:
        Inputs `[t, 2, length]`, one a completion token, and which of the n each comes from, `[t]`, ascending.
    """
    origins, at = (x[:, 1] == COMPLETION).nonzero().unbind(1)
    place = torch.arange(x.shape[2], device=x.device)
    roles = torch.where(place < at[:, None], PROMPT, PADDING)
    roles[place == at[:, None]] = COMPLETION
    ids = x[origins, 0] * (roles != PADDING)
    return torch.stack([ids, roles], dim=1), origins


def score_tokens(auditor: Auditor, x: Tensor) -> list[list[float]]:
    """How anomalous a fitted auditor finds each token of a completion as if it were the whole of it.

    Args:
        auditor: Of a `CausalLMTask`; its detector scores each input by itself.
        x: Inputs, int64 `[n, 2, length]`.

    Returns:
        For each input the scores of its completion's tokens.
    """
    tokens, origins = split_by_token(x)
    scores = auditor.audit(Examples(x=tokens)).scores
    return [scores[origins == i].tolist() for i in range(len(x))]
