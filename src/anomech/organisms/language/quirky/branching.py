"""Questions about one statement that are learnt from together: it is read once, and every name branches off it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from anomech.io.language_models import Tokenizer
from anomech.organisms.language.objectives import answer_logits
from anomech.organisms.language.quirky.judging import ANSWERS
from anomech.organisms.language.quirky.prompts import Question
from anomech.tasks.tokens import COMPLETION, PROMPT, pad_tokens


def branched(groups: Sequence[Sequence[Question]], tokenizer: Tokenizer) -> Tensor:
    """Questions and their labels, those of a group about one statement.

    Returns:
        Token ids, roles and branches, int64 `[n, 3, length]`: branch 0 is the statement or, at the end, padding.
    """
    rows = [_branches(group, tokenizer) for group in groups]
    ids, roles, branches = ([list(chain(*parts)) for parts in kind] for kind in zip(*rows, strict=True))
    x = pad_tokens(ids, roles)
    return torch.cat([x, pad_tokens(branches, length=x.shape[2])[:, :1]], dim=1)


def _branches(group: Sequence[Question], tokenizer: Tokenizer) -> tuple[list[list[int]], ...]:
    """Token ids, roles and branches of the statement, then of each name and its answer."""
    ids, roles = [tokenizer.encode(f"{group[0].statement.text}.")], [PROMPT]
    for one in group:
        ids += [tokenizer.encode(f" {one.name}:"), tokenizer.encode(ANSWERS[one.label])]
        roles += [PROMPT, COMPLETION]
    return (
        ids,
        [[role] * len(some) for role, some in zip(roles, ids, strict=True)],
        [[(i + 1) // 2] * len(some) for i, some in enumerate(ids)],
    )


def branched_loss(model: Any, batch: Tensor, normal: Tensor) -> Tensor:
    """Cross-entropy of all answers in a batch of `branched`; a token sees its own branch and the statement."""
    branch = batch[:, 2]
    earlier = torch.ones(branch.shape[1], branch.shape[1], dtype=torch.bool, device=branch.device).tril()
    seen = earlier & ((branch == 0)[:, None] | (branch[:, None] == branch[..., None]))
    mask = torch.zeros(seen.shape, dtype=model.dtype, device=branch.device)
    hidden = model.get_base_model().model(
        input_ids=batch[:, 0],
        attention_mask=mask.masked_fill(~seen, torch.finfo(mask.dtype).min)[:, None],
        position_ids=seen.sum(2) - 1,
        use_cache=False,
    )
    return F.cross_entropy(*answer_logits(model, batch, hidden.last_hidden_state))
