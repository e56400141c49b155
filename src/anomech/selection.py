"""Which parameters of a model are differentiated, or sampled."""

from __future__ import annotations

import re

from torch import nn

from anomech.errors import SettingsError

LAST = re.compile(r"last-([1-9]\d*)")


def check_selection(which: str) -> None:
    """Raises SettingsError unless it is one that `select_parameters` knows."""
    try:
        re.compile(which)
    except re.error as error:
        raise SettingsError(
            f'parameters must be "all", "adapter", "last-K" or a regular expression, got {which!r} ({error}).'
        ) from error


def select_parameters(model: nn.Module, which: str) -> list[str]:
    """Names of some parameters of a model, in its order.

    Args:
        model: The model.
        which: "all"; "adapter", those of a LoRA adapter; "last-K", those of the last K blocks; or a regular
            expression that is searched for in their names.

    Raises:
        SettingsError: There are none.
    """
    check_selection(which)
    names = [name for name, p in model.named_parameters() if p.numel()]
    if which == "all":
        return names
    last = LAST.fullmatch(which)
    pattern = r"\.lora_" if which == "adapter" else _last_blocks(model, int(last[1])) if last else which
    chosen = [name for name in names if re.search(pattern, name)]
    if not chosen:
        raise SettingsError(
            f"parameters={which!r} chooses none of the model's {len(names)} parameters, "
            f"such as {', '.join(names[:1] + names[-1:])}."
        )
    return chosen


def _last_blocks(model: nn.Module, number: int) -> str:
    """A pattern of names in the last blocks of the longest list of modules."""
    lists = [(name, len(module)) for name, module in model.named_modules() if isinstance(module, nn.ModuleList)]
    if not lists:
        raise SettingsError(
            'the model has no list of blocks of which "last-K" could choose; name parameters by pattern.'
        )
    name, blocks = max(lists, key=lambda one: one[1])
    numbers = "|".join(map(str, range(max(0, blocks - number), blocks)))
    return rf"^{re.escape(name)}\.({numbers})\."
