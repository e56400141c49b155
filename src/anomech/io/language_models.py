"""Hugging Face causal language models and their tokenizers from a local folder."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from anomech.errors import ModelError


@dataclass(frozen=True)
class Tokenizer:
    """Text to token ids and back.

    Attributes:
        tokenizer: The Hugging Face tokenizer.
        end: Token that ends an answer.
    """

    tokenizer: Any
    end: int

    def encode(self, text: str) -> list[int]:
        """Token ids of the text alone, without tokens that start or end a sequence."""
        return list(self.tokenizer.encode(text, add_special_tokens=False))

    def decode(self, ids: Sequence[int]) -> str:
        """Text of the tokens, without special ones."""
        return str(self.tokenizer.decode(ids, skip_special_tokens=True))


def load_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer in `folder`.

    Raises:
        ModelError: transformers is not installed, or the folder has no usable tokenizer with an end token.
    """
    tokenizer = _load(folder, "AutoTokenizer")
    if tokenizer.eos_token_id is None:
        raise ModelError(f"the tokenizer in {folder} has no end token; set its eos_token and save it again.")
    return Tokenizer(tokenizer, int(tokenizer.eos_token_id))


def load_causal_lm(folder: Path) -> nn.Module:
    """The causal language model in `folder`, in float32 and evaluation mode.

    Args:
        folder: As `save_pretrained` writes it: `config.json` and safetensors.

    Raises:
        ModelError: transformers is not installed, or the weights are pickled, absent or damaged.
    """
    model: nn.Module = _load(folder, "AutoModelForCausalLM", use_safetensors=True, dtype=torch.float32)
    return model.eval()


def _load(folder: Path, kind: str, **options: Any) -> Any:
    try:
        import transformers
    except ImportError as error:
        raise ModelError(f'{folder} is a Hugging Face model; to load it, pip install "anomech[hf]".') from error
    try:
        return getattr(transformers, kind).from_pretrained(
            folder, local_files_only=True, trust_remote_code=False, **options
        )
    except Exception as error:  # damaged files make transformers raise errors of many kinds
        cause = textwrap.shorten(str(error), 300)
        raise ModelError(f"{folder} is not a usable language model ({cause}); make it again.") from error
