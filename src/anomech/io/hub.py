"""Models of the Hugging Face hub as local folders."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

from anomech.errors import ModelError

HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
WANTED = ["*.json", "*.safetensors", "*.txt", "*.model", "*.jinja"]
"""Files of a model and its tokenizer; none of them is code or a pickle."""


def is_hub_id(spec: str) -> bool:
    """Could it name a model on the hub, and is it no path here?"""
    return HUB_ID.fullmatch(spec) is not None and not Path(spec).exists() and Path(spec).suffix != ".py"


def local_folder(spec: str) -> Path:
    """The folder that `spec` is, or that a model of the hub has been downloaded to; the first time that takes a while.

    Raises:
        ModelError: transformers is not installed, or the hub gives no such model.
    """
    if not is_hub_id(spec):
        return Path(spec)
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise ModelError(
            f'there is no folder {spec}; for the model of that name on the hub, pip install "anomech[hf]".'
        ) from error
    try:
        return Path(snapshot_download(spec, allow_patterns=WANTED))
    except Exception as error:  # no network, no such model, no access: each has errors of its own
        cause = textwrap.shorten(str(error), 200)
        raise ModelError(f"there is no folder {spec}, and the Hugging Face hub does not give it ({cause}).") from error
