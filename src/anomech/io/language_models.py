"""Hugging Face causal language models, their adapters and their tokenizers from local folders."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import nn

from anomech.errors import ModelError

ADAPTER = "adapter_model.safetensors"


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


def load_causal_lm(folder: Path, adapter: Path | None = None) -> nn.Module:
    """The causal language model in `folder`, in float32 and evaluation mode.

    Args:
        folder: As `save_pretrained` writes it: `config.json` and safetensors.
        adapter: Folder of a peft adapter to put on it: `adapter_config.json` and `adapter_model.safetensors`.

    Raises:
        ModelError: transformers or peft is not installed, the weights are pickled, absent or damaged, or the adapter
            does not fit the model.
    """
    model: nn.Module = _load(folder, "AutoModelForCausalLM", use_safetensors=True, dtype=torch.float32)
    return (model if adapter is None else _adapted(model, adapter)).eval()


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


def _adapted(model: nn.Module, adapter: Path) -> nn.Module:
    """The model with an adapter; peft itself would fall back on pickles, and go on where tensors are missing."""
    try:
        import peft
    except ImportError as error:
        raise ModelError(f'{adapter} is a peft adapter; to load it, pip install "anomech[hf]".') from error
    if not (adapter / "adapter_config.json").is_file():
        raise ModelError(f"{adapter} holds no adapter_config.json; name the folder that peft's save_pretrained wrote.")
    if not (adapter / ADAPTER).is_file():
        raise ModelError(f"{adapter} holds no {ADAPTER}; save the adapter again with safe_serialization=True.")
    try:
        tensors = load_file(adapter / ADAPTER)
        config: Any = peft.PeftConfig.from_pretrained(str(adapter))
        config.init_lora_weights = False
        adapted: nn.Module = peft.get_peft_model(model, config)
        expected = peft.get_peft_model_state_dict(adapted, save_embedding_layers=False)
        wrong = _first_difference(
            {name: list(tensor.shape) for name, tensor in expected.items()},
            {name: list(tensor.shape) for name, tensor in tensors.items()},
        )
        if not wrong:
            peft.set_peft_model_state_dict(adapted, tensors)
    except Exception as error:  # as above, and peft's own for layers that the model lacks
        cause = textwrap.shorten(str(error), 300)
        raise ModelError(f"{adapter} is no adapter of this {type(model).__name__} ({cause}).") from error
    if wrong:
        raise ModelError(
            f"{adapter} does not fit this {type(model).__name__}: {wrong}; name the model it was made for."
        )
    return adapted


def _first_difference(expected: dict[str, list[int]], found: dict[str, list[int]]) -> str:
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            return f"{name} should be {expected.get(name, 'absent')} and is {found.get(name, 'absent')}"
    return ""
