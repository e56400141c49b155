"""Explanations of what a language model was asked."""

from __future__ import annotations

from anomech.explain.asking import Asking
from anomech.explain.explanations import Explainer
from anomech.explain.token_erasers import TokenEraser
from anomech.explain.token_occlusion import TokenOcclusion
from anomech.io.language_models import Tokenizer
from anomech.tasks import CausalLMTask

HIDDEN = 3
"""Tokens that are left out, at least."""


def text_explainer(task: CausalLMTask, tokenizer: Tokenizer, *, new_tokens: int) -> Explainer:
    """Settings of explanations of prompts, each copy of which the model is asked again.

    Args:
        task: The model.
        tokenizer: The model's.
        new_tokens: Longest answer.
    """
    eraser, ask = TokenEraser(tokenizer.is_text), Asking(task, tokenizer.end, new_tokens)
    attribution = TokenOcclusion(eraser=eraser)
    return Explainer(attribution=attribution, eraser=eraser, ask=ask, share=0.04, fewest=HIDDEN)
