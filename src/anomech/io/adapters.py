"""Low-rank adapters of language models, as peft saves them."""

from __future__ import annotations

import textwrap
import warnings
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import nn

from anomech.errors import ModelError

WEIGHTS = "adapter_model.safetensors"


def put_adapter(model: nn.Module, adapter: Path) -> nn.Module:
    """The model, changed in place, with a peft adapter.

    peft itself would fall back on pickles, and go on where tensors are missing.

    Args:
        model: A Hugging Face model.
        adapter: Folder with `adapter_config.json` and `adapter_model.safetensors`.

    Raises:
        ModelError: peft is not installed, or the adapter is pickled, absent or damaged or does not fit the model.
    """
    try:
        import peft
    except ImportError as error:
        raise ModelError(f'{adapter} is a peft adapter; to load it, pip install "anomech[hf]".') from error
    if not (adapter / "adapter_config.json").is_file():
        raise ModelError(f"{adapter} holds no adapter_config.json; name the folder that peft's save_pretrained wrote.")
    if not (adapter / WEIGHTS).is_file():
        raise ModelError(f"{adapter} holds no {WEIGHTS}; save the adapter again with safe_serialization=True.")
    try:
        tensors = load_file(adapter / WEIGHTS)
        config: Any = peft.PeftConfig.from_pretrained(str(adapter))
        config.init_lora_weights = False
        # Whether it fits is seen below; peft would only say of a copy of its base that it lies elsewhere.
        config.base_model_name_or_path = None
        with warnings.catch_warnings():
            # What peft uses of transformers, and that it will go away, is no concern of who loads an adapter.
            warnings.simplefilter("ignore", FutureWarning)
            adapted: nn.Module = peft.get_peft_model(model, config)
        expected = peft.get_peft_model_state_dict(adapted, save_embedding_layers=False)
        wrong = _first_difference(
            {name: list(tensor.shape) for name, tensor in expected.items()},
            {name: list(tensor.shape) for name, tensor in tensors.items()},
        )
        if not wrong:
            peft.set_peft_model_state_dict(adapted, tensors)
    except Exception as error:  # damaged files and layers that the model lacks raise errors of many kinds
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
