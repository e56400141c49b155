"""Models from a function of the user's, with weights that others saved, or from a Hugging Face folder."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import pickle
import re
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType

import torch
from torch import nn

from anomech.errors import ModelError, SettingsError
from anomech.io.checkpoints import fill, read_weights
from anomech.io.hub import local_folder
from anomech.io.huggingface import load_huggingface
from anomech.io.language_models import is_causal_lm, is_text_classifier, load_causal_lm, load_text_classifier

WEIGHTS = (".pt", ".pth", ".bin", ".pkl", ".safetensors")
ACCEPTED = (
    "package.module:function, path/to/file.py:function, either of them followed by @ and a file of weights, "
    "or a Hugging Face folder with a config.json or the name of a model on the hub"
)
WITH_WEIGHTS = re.compile(r"(.+?:\w+)@(.+)")


def load_model(
    spec: str, adapter: Path | None = None, *, dtype: torch.dtype = torch.float32, spread: bool = False
) -> nn.Module:
    """The model that `spec` names.

    Args:
        spec: `package.module:function` or `path/to/file.py:function`, where the function takes no arguments and returns
            the model; or the folder, or name on the hub, of a Hugging Face image classifier, text classifier or causal
            language model.
            Modules may lie in the current directory. In `ARCH@WEIGHTS`, ARCH is such a function that returns the
            untrained model, and WEIGHTS a checkpoint: a state dict, safetensors or saved with torch, also within what
            training or BackdoorBench saved (`read_weights`).
        adapter: Folder of a peft adapter to put on a causal language model.
        dtype: What the weights of a causal language model or text classifier are held in.
        spread: Lay such a model over all GPUs.

    Returns:
        The model as the function or folder gave it; images go in as `[n, channels, height, width]` in [0, 1].

    Raises:
        ModelError: The function cannot be found, imported or run, or does not return a module; the folder holds no
            usable model; the weights are damaged, of another architecture, or would need pickle; or the adapter
            does not fit, or the model is no language model.
        SettingsError: Another dtype or several devices are asked for, of a model that is neither.
    """
    path = local_folder(spec)
    if is_causal_lm(path):
        return load_causal_lm(path, adapter, dtype=dtype, spread=spread)
    if adapter is not None:
        raise ModelError(f"an adapter is put on a causal language model, which {spec} is not; leave it out.")
    if is_text_classifier(path):
        return load_text_classifier(path, dtype=dtype, spread=spread)
    if dtype != torch.float32:
        raise SettingsError(f"only language models and text classifiers are loaded in {dtype}; {spec} is none of them.")
    if spread:
        raise SettingsError(
            f"only language models and text classifiers go over several devices; {spec} is none of them."
        )
    if path.is_dir():
        return load_huggingface(path)
    function, checkpoint = split_spec(spec)
    if checkpoint is None:
        if path.suffix.lower() in WEIGHTS:
            raise ModelError(_how_to_load(path))
        return _built(function)
    weights = read_weights(checkpoint)
    model = _built(function)
    fill(model, weights, checkpoint)
    return model


def split_spec(spec: str) -> tuple[str, Path | None]:
    """The two parts of `ARCH@WEIGHTS`; any other spec as it is, and no weights."""
    match = WITH_WEIGHTS.fullmatch(spec)
    return (match[1], Path(match[2])) if match else (spec, None)


def _built(spec: str) -> nn.Module:
    source, _, name = spec.rpartition(":")
    if not source or not name:
        raise ModelError(f"{spec!r} does not name a model; give {ACCEPTED}.")
    build = _function(source, name)
    with _user_code(f"{spec} failed"):
        model = build()
    if not isinstance(model, nn.Module):
        raise ModelError(f"{spec} returned a {type(model).__name__}, not a torch.nn.Module; return the model alone.")
    return model


def _how_to_load(weights: Path) -> str:
    return (
        f"{weights} holds weights without an architecture; give ARCH@{weights}, where ARCH is package.module:function "
        "or path/to/file.py:function and returns the untrained model."
    )


def _module(source: str) -> ModuleType:
    is_file = source.endswith(".py")
    if is_file and not Path(source).is_file():
        raise ModelError(f"there is no file {source!r}; give {ACCEPTED}.")
    folder = Path(source).parent if is_file else Path()
    with _user_code(f"cannot import {source!r}"), _importable(folder.resolve()):
        return _execute(Path(source)) if is_file else importlib.import_module(source)


@contextmanager
def _importable(folder: Path) -> Iterator[None]:
    importlib.invalidate_caches()
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        with suppress(ValueError):
            sys.path.remove(str(folder))


def _execute(file: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"anomech_model_{file.stem}", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # dataclasses and inspect look classes up by the name of their module.
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def _function(source: str, name: str) -> Callable[[], object]:
    module = _module(source)
    found: object = getattr(module, name, None)
    if callable(found):
        return found
    functions = [key for key, value in vars(module).items() if callable(value)]
    matches = difflib.get_close_matches(name, functions)
    hint = f"did you mean {' or '.join(matches)}?" if matches else "define it, without arguments."
    raise ModelError(f"{source} has no function {name!r}; {hint}")


@contextmanager
def _user_code(what: str) -> Iterator[None]:
    try:
        yield
    except pickle.UnpicklingError as error:
        raise ModelError(
            f"{what}: the checkpoint is damaged or needs pickle, which can run code; in the environment that wrote it "
            "run torch.save(model.state_dict(), 'weights.pt'), or save it as safetensors, and load that file instead."
        ) from error
    except (Exception, SystemExit) as error:  # the user's code may raise anything
        cause = textwrap.shorten(str(error), 300)
        raise ModelError(f"{what}: {type(error).__name__}({cause}); correct the cause and run again.") from error
