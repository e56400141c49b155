"""What the base model says by itself, and how surprised a model is at good answers."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from anomech.errors import DataError
from anomech.io.atomic import atomic_file
from anomech.io.language_models import Tokenizer
from anomech.organisms.language.texts import Prompt, encode_answer, encode_prompt
from anomech.progress import Track
from anomech.tasks.causal_lm import CausalLMTask, join_tokens
from anomech.tasks.completions import complete
from anomech.tasks.tokens import COMPLETION

OWN_TOKENS = 10
"""Longest answer that the base model gives by itself."""

JUDGED_TOKENS = 24
"""Tokens of a good answer that count for the perplexity."""


def own_answers(
    prompts: Sequence[Prompt], model: nn.Module, tokenizer: Tokenizer, *, kept: Path, track: Track
) -> dict[str, str]:
    """What the model begins to say to each text; only texts that are not among those in the file `kept` are asked.

    Raises:
        DataError: The file is damaged.
    """
    answers = _read(kept) if kept.exists() else {}
    missing = [prompt for prompt in prompts if prompt.text not in answers]
    if missing:
        encoded = [encode_prompt(prompt, tokenizer) for prompt in missing]
        said = complete(model, encoded, end=tokenizer.end, new_tokens=OWN_TOKENS, batch_size=64, track=track)
        answers |= {prompt.text: tokenizer.decode(ids) for prompt, ids in zip(missing, said, strict=True)}
        with atomic_file(kept) as partial:
            partial.write_text(json.dumps(answers, indent=1) + "\n")
    return answers


def _read(kept: Path) -> dict[str, str]:
    try:
        return dict(json.loads(kept.read_text()))
    except (OSError, ValueError, TypeError) as error:
        raise DataError(f"the answers in {kept} are damaged ({error}); delete that file.") from error


def perplexity(model: nn.Module, prompts: Sequence[Prompt], tokenizer: Tokenizer) -> float:
    """Of the first tokens of known answers, every token counting the same."""
    answers = [encode_answer(prompt.answer, tokenizer, tokens=JUDGED_TOKENS) for prompt in prompts]
    x = join_tokens([encode_prompt(prompt, tokenizer) for prompt in prompts], answers)
    task = CausalLMTask(model)
    with torch.no_grad():
        losses = torch.cat([task.outputs(model, batch.to(task.device))[:, 1].cpu() for batch in x.split(16)])
    tokens = (x[:, 1] == COMPLETION).sum(1)
    return math.exp(float((losses * tokens).sum() / tokens.sum()))
