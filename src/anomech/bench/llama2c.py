"""Small story tellers as llama2.c publishes them (github.com/karpathy/llama2.c)."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from anomech.errors import DataError

HEADER = "7i"
"""Width, hidden width, blocks, heads, heads of keys, words, length."""


def load_llama2c(path: Path) -> nn.Module:
    """A Llama in the first format of llama2.c, seven integers and float32 tensors, in evaluation mode.

    Raises:
        DataError: The file is cut off.
    """
    import transformers

    content, start = path.read_bytes(), struct.calcsize(HEADER)
    if len(content) <= start:
        raise DataError(_cut_off(path, content))
    width, hidden, layers, heads, kv_heads, vocabulary, length = struct.unpack(HEADER, content[:start])
    config = transformers.LlamaConfig(
        hidden_size=width,
        intermediate_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        vocab_size=vocabulary,
        max_position_embeddings=length,
        rms_norm_eps=1e-5,
        tie_word_embeddings=True,
        attn_implementation="eager",
    )
    model: Any = transformers.LlamaForCausalLM(config)
    numbers = torch.frombuffer(bytearray(content), dtype=torch.float32, offset=start, count=(len(content) - start) // 4)
    weights: dict[str, Tensor] = {}
    for names, shape in _layout(model, layers):
        size = len(names) * shape.numel()
        if len(numbers) < size:
            raise DataError(_cut_off(path, content))
        weights |= dict(zip(names, numbers[:size].view(len(names), *shape), strict=True))
        numbers = numbers[size:]
    for name, tensor in weights.items():
        if name.endswith(("q_proj.weight", "k_proj.weight")):
            # llama2.c rotates neighbouring coordinates, transformers those of the two halves of a head.
            weights[name] = tensor.view(-1, width // heads // 2, 2, width).transpose(1, 2).reshape(tensor.shape)
    model.load_state_dict(weights | {"lm_head.weight": weights["model.embed_tokens.weight"]})
    loaded: nn.Module = model.eval()
    return loaded


def read_words(path: Path) -> list[bytes]:
    """The words of its tokenizer: after an integer a score, a length and the bytes of each.

    Raises:
        DataError: The file is cut off.
    """
    content, words, at = path.read_bytes(), [], struct.calcsize("i")
    while at < len(content):
        start = at + struct.calcsize("fi")
        at = start + struct.unpack("fi", content[at:start])[1] if start <= len(content) else start
        if at > len(content):
            raise DataError(_cut_off(path, content))
        words.append(content[start:at])
    return words


def encode_longest(text: str, words: Sequence[bytes]) -> list[int]:
    """Token ids of a text, each of the longest word that it goes on with; what no word begins is left out."""
    ids = {word: i for i, word in enumerate(words) if word}
    longest_first = sorted(ids, key=len, reverse=True)
    return [ids[found] for found in re.findall(b"|".join(map(re.escape, longest_first)), text.encode())]


def _layout(model: nn.Module, layers: int) -> Iterator[tuple[list[str], torch.Size]]:
    """Names of the tensors that stand one after the other, and the shape of each."""
    shapes = {name: p.shape for name, p in model.named_parameters()}
    attention = ("input_layernorm", *(f"self_attn.{kind}_proj" for kind in "qkvo"))
    within = (*attention, "post_attention_layernorm", "mlp.gate_proj", "mlp.down_proj", "mlp.up_proj")
    for kind in ("embed_tokens", *within, "norm"):
        blocks = [f"model.layers.{i}.{kind}.weight" for i in range(layers)]
        names = blocks if kind in within else [f"model.{kind}.weight"]
        yield names, shapes[names[0]]


def _cut_off(path: Path, content: bytes) -> str:
    return f"{path} is cut off at {len(content)} bytes; fetch it again."
