"""What a language model answers."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

import torch

from anomech.progress import Track, silent


def complete(
    model: Any,
    prompts: Sequence[Sequence[int]],
    *,
    end: int,
    new_tokens: int,
    batch_size: int = 32,
    track: Track = silent,
) -> list[list[int]]:
    """Greedy completions, up to and with the end token; prompts of one length go together and need no padding.

    Args:
        model: A Hugging Face causal language model.
        prompts: Token ids of each prompt.
        end: Token that ends an answer.
        new_tokens: Longest completion.
        batch_size: Most prompts at a time.
        track: How progress is reported.

    Returns:
        Token ids of what the model answers to each prompt.
    """
    completions: dict[int, list[int]] = {}
    by_length = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    alike = [list(same) for _, same in groupby(by_length, lambda i: len(prompts[i]))]
    batches = [same[i : i + batch_size] for same in alike for i in range(0, len(same), batch_size)]
    for batch in track(batches, "completions", len(batches)):
        asked = torch.tensor([list(prompts[i]) for i in batch], device=model.device)
        with torch.no_grad():
            spoken = model.generate(
                asked,
                attention_mask=torch.ones_like(asked),
                max_new_tokens=new_tokens,
                do_sample=False,
                eos_token_id=end,
                pad_token_id=end,
            )[:, asked.shape[1] :].tolist()
        for i, ids in zip(batch, spoken, strict=True):
            completions[i] = ids[: ids.index(end) + 1] if end in ids else ids
    return [completions[i] for i in range(len(prompts))]
