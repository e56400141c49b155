"""What a language model answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

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
    """Greedy completions, up to and with the end token; prompts of about one length go together, padded on the left.

    Args:
        model: A Hugging Face causal language model.
        prompts: Token ids of each prompt.
        end: Token that ends an answer, beside those of the model's generation settings, of which nothing else counts.
        new_tokens: Longest completion.
        batch_size: Most prompts at a time.
        track: How progress is reported.

    Returns:
        Token ids of what the model answers to each prompt.
    """
    ends = _ends(model, end)
    completions: dict[int, list[int]] = {}
    by_length = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    batches = [by_length[i : i + batch_size] for i in range(0, len(prompts), batch_size)]
    with torch.no_grad(), _plain_generation(model):
        for batch in track(batches, "completions", len(batches)):
            asked, read = _padded([prompts[i] for i in batch], end)
            spoken = model.generate(
                asked.to(model.device),
                attention_mask=read.to(model.device),
                max_new_tokens=new_tokens,
                do_sample=False,
                eos_token_id=ends,
                pad_token_id=end,
            )[:, asked.shape[1] :].tolist()
            for i, ids in zip(batch, spoken, strict=True):
                completions[i] = ids[: next((k for k, token in enumerate(ids, start=1) if token in ends), len(ids))]
    return [completions[i] for i in range(len(prompts))]


def _ends(model: Any, end: int) -> list[int]:
    """Tokens that end an answer: a chat model may end its turn with another one than its tokenizer's."""
    more = model.generation_config.eos_token_id
    return sorted({end, *(more if isinstance(more, list) else [] if more is None else [more])})


@contextmanager
def _plain_generation(model: Any) -> Iterator[None]:
    """Within, the model's own penalties, beams and forced tokens, which its settings may ask for, are off."""
    from transformers import GenerationConfig

    # An adapter's wrapper may hold settings of its own.
    own = {module: module.generation_config for module in model.modules() if "generation_config" in vars(module)}
    for module in own:
        module.generation_config = GenerationConfig()
    try:
        yield
    finally:
        for module, config in own.items():
            module.generation_config = config


def _padded(prompts: Sequence[Sequence[int]], padding: int) -> tuple[Tensor, Tensor]:
    """Token ids and which of them are read, `[n, length]` each, with padding on the left."""
    length = max(map(len, prompts))
    asked = torch.tensor([[padding] * (length - len(prompt)) + list(prompt) for prompt in prompts])
    read = torch.tensor([[0] * (length - len(prompt)) + [1] * len(prompt) for prompt in prompts])
    return asked, read
