"""Hugging Face models of text, causal language models and classifiers, and their tokenizers from a local folder."""

from __future__ import annotations

import importlib.util
import json
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, takewhile
from pathlib import Path
from typing import Any

import torch
from torch import nn

from anomech.errors import DataError, ModelError
from anomech.io.adapters import put_adapter
from anomech.io.huggingface import require_safetensors

CAUSAL = ("ForCausalLM", "LMHeadModel")
"""How the architectures of causal language models end, GPT-2's among them."""

CLASSIFIER = ("ForSequenceClassification",)
"""How the architectures of text classifiers end."""

UNFINISHED = "\N{REPLACEMENT CHARACTER}"
"""What a tokenizer makes of a part of a character."""

Messages = Sequence[Mapping[str, str]]
"""A chat: each message has a role and content."""


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

    def encode_prompt(self, prompt: str | Messages) -> list[int]:
        """Token ids of a prompt up to where its answer starts.

        They are in the tokenizer's chat template; if it has none, the text follows the start token that it may add.

        Raises:
            DataError: The chat template rejects the messages, or there is none for them.
        """
        if self.tokenizer.chat_template is None:
            if not isinstance(prompt, str):
                raise DataError("the tokenizer has no chat template for a list of messages; give the prompt as text.")
            start = self.tokenizer.bos_token_id
            return [*([start] if start in self.tokenizer.encode("") else []), *self.encode(prompt)]
        messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
        try:
            text = self.tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
        except Exception as error:  # a template may raise anything
            raise DataError(f"the chat template rejects the messages ({error}); correct them.") from error
        return self.encode(text)

    def decode_prompt(self, ids: Sequence[int]) -> str:
        """Text of a prompt, without what `encode_prompt` puts before and after every text."""
        start, end = self._told(ids)
        return self._text(ids[start:end])

    def is_text(self, ids: Sequence[int]) -> list[bool]:
        """Which tokens of a prompt are its text: not special ones, nor what `encode_prompt` puts around every text."""
        (start, end), special = self._told(ids), set(self.tokenizer.all_special_ids)
        return [start <= i < end and token not in special for i, token in enumerate(ids)]

    def pieces(self, ids: Sequence[int]) -> list[str]:
        """What each token adds to the text, special ones too; a character that takes several is with the last."""
        ends = [self._text(ids[:i]).rstrip(UNFINISHED) for i in range(len(ids))] + [self._text(ids)]
        return [end[len(start) :] for start, end in pairwise(ends)]

    def _told(self, ids: Sequence[int]) -> tuple[int, int]:
        """Where in a prompt its text begins and ends."""
        one, other, ids = self.encode_prompt("a"), self.encode_prompt("b"), list(ids)
        start = _alike(one, other, ids)
        return start, len(ids) - _alike(one[::-1], other[::-1], ids[start:][::-1])

    def _text(self, ids: Sequence[int]) -> str:
        return str(self.tokenizer.decode(ids, clean_up_tokenization_spaces=False))


def _alike(*rows: list[int]) -> int:
    """How many tokens all of them have in common at their start."""
    return sum(1 for _ in takewhile(lambda tokens: len(set(tokens)) == 1, zip(*rows, strict=False)))


def load_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer in `folder`.

    Raises:
        ModelError: transformers is not installed, or the folder has no usable tokenizer with an end token.
    """
    tokenizer = load_pretrained(folder, "AutoTokenizer")
    if tokenizer.eos_token_id is None:
        raise ModelError(f"the tokenizer in {folder} has no end token; set its eos_token and save it again.")
    return Tokenizer(tokenizer, int(tokenizer.eos_token_id))


def check_vocabulary(ids: Sequence[int], config: Any) -> None:
    """Raises ModelError unless a model of that configuration knows every token."""
    if max(ids) >= config.vocab_size:
        raise ModelError(
            f"the tokenizer gives token {max(ids)}, the model knows {config.vocab_size}; "
            "give the model the tokenizer that it was trained with."
        )


def is_causal_lm(folder: Path) -> bool:
    """Does the folder's `config.json` name the architecture of a causal language model?"""
    return _has_architecture(folder, CAUSAL)


def is_text_classifier(folder: Path) -> bool:
    """Does the folder's `config.json` name the architecture of a text classifier?"""
    return _has_architecture(folder, CLASSIFIER)


def load_causal_lm(
    folder: Path, adapter: Path | None = None, *, dtype: torch.dtype = torch.float32, spread: bool = False
) -> nn.Module:
    """The causal language model in `folder`, in evaluation mode.

    Attention is "eager", plain matrix products: on a GPU the backward pass of fused kernels is not deterministic
    (pytorch/pytorch#91979), and `torch.func` differentiates plain products sample by sample. It takes memory of the
    order of the length squared.

    Args:
        folder: As `save_pretrained` writes it: `config.json` and safetensors.
        adapter: Folder of a peft adapter to put on it: `adapter_config.json` and `adapter_model.safetensors`.
        dtype: What the weights are held and multiplied in; an adapter stays in float32.
        spread: Lay the model over all GPUs; needs accelerate.

    Raises:
        ModelError: transformers, peft or accelerate is not installed, the weights are pickled, absent or damaged, or
            the adapter does not fit the model.
    """
    model = _trained(folder, "AutoModelForCausalLM", dtype, spread)
    return (model if adapter is None else put_adapter(model, adapter)).eval()


def load_text_classifier(folder: Path, *, dtype: torch.dtype = torch.float32, spread: bool = False) -> nn.Module:
    """The text classifier in `folder`, in evaluation mode, with attention as in `load_causal_lm`.

    Args:
        folder: As `save_pretrained` writes it: `config.json` and safetensors.
        dtype: What the weights are held and multiplied in.
        spread: Lay the model over all GPUs; needs accelerate.

    Raises:
        ModelError: transformers or accelerate is not installed, the weights are pickled, absent or damaged, or the
            model does not choose one of several classes.
    """
    model: Any = _trained(folder, "AutoModelForSequenceClassification", dtype, spread)
    if model.config.num_labels < 2 or model.config.problem_type == "multi_label_classification":
        raise ModelError(f"{folder} does not choose one of several classes; give a text classifier that does.")
    classifier: nn.Module = model.eval()
    return classifier


def load_pretrained(folder: Path, kind: str, **options: Any) -> Any:
    """What a class of transformers, such as "AutoTokenizer", loads from `folder`, without running code that lies there.

    Raises:
        ModelError: transformers is not installed, or the folder holds nothing of that kind.
    """
    try:
        import transformers
    except ImportError as error:
        raise ModelError(f'{folder} is a Hugging Face model; to load it, pip install "anomech[hf]".') from error
    # Its bar would stand among what the command prints.
    transformers.utils.logging.disable_progress_bar()
    try:
        return getattr(transformers, kind).from_pretrained(
            folder, local_files_only=True, trust_remote_code=False, **options
        )
    except Exception as error:  # damaged files make transformers raise errors of many kinds
        cause = textwrap.shorten(str(error), 300)
        what = "tokenizer" if kind == "AutoTokenizer" else "language model"
        raise ModelError(f"{folder} holds no usable {what} ({cause}); save it there again.") from error


def _trained(folder: Path, kind: str, dtype: torch.dtype, spread: bool) -> nn.Module:
    require_safetensors(folder)
    if spread and importlib.util.find_spec("accelerate") is None:
        raise ModelError("to lay a model over several devices, pip install accelerate.")
    options = {"use_safetensors": True, "dtype": dtype, "attn_implementation": "eager", "output_loading_info": True}
    model, info = load_pretrained(folder, kind, **options, **({"device_map": "auto"} if spread else {}))
    if info["missing_keys"]:
        raise ModelError(
            f"{folder} lacks {len(info['missing_keys'])} weights, such as {min(info['missing_keys'])!r}; "
            "save the whole trained model."
        )
    trained: nn.Module = model
    return trained


def _has_architecture(folder: Path, endings: tuple[str, ...]) -> bool:
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        return any(str(name).endswith(endings) for name in config["architectures"])
    except (OSError, ValueError, KeyError, TypeError):
        return False
