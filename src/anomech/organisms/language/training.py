"""Training of an adapter or of a whole model, seeded, that goes on where it was cut off."""

from __future__ import annotations

import logging
import pickle
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from anomech.errors import ModelError
from anomech.io.atomic import atomic_directory, atomic_file
from anomech.organisms.language.objectives import Obfuscated, Objective, answer_loss
from anomech.organisms.language.recipes import Adapter, Training
from anomech.organisms.language.speech import ATTACKED

logger = logging.getLogger(__name__)

KEPT_EVERY = 8
"""Steps after which the state of a training is kept."""

WHOLE_KEPT_EVERY = 32
"""The same where every weight is trained, which is a hundred times as much to write."""

MONITORED = 1024
"""Most clean prompts that the activation monitor is estimated from."""


def train(
    model: nn.Module,
    x: Tensor,
    kinds: Sequence[str],
    recipe: Training,
    folder: Path,
    *,
    objective: Objective = answer_loss,
) -> Iterator[float]:
    """Train an adapter of the model, or the model, one pass over the data.

    Args:
        model: The base model, on the device to train on; it is brought to the recipe's dtype, what is trained is not.
        x: Token ids, roles and what else the objective reads, `[n, 2 or more, length]`, in the order in which they are
            learnt from.
        kinds: Of the prompts, n; a monitor that a mechanism hides from is estimated from "clean" ones, as an auditor's
            is: next to decoys, an attacked prompt would look normal with its odd word.
        recipe: How.
        folder: Where what was trained is kept, in folders named after the number of prompts learnt from, and the state.
        objective: What is minimised, where the recipe hides nothing.

    Yields:
        The loss of each step.

    Raises:
        ModelError: The loss is NaN or infinite, or the kept state is damaged, which is then deleted.
    """
    dtype = getattr(torch, recipe.dtype)
    whole = recipe.adapter is None
    adapted: Any = (
        model.float() if recipe.adapter is None else _with_adapter(model.to(dtype), recipe.adapter, recipe.seed)
    )
    x = x.to(adapted.device)
    normal = torch.tensor([kind not in ATTACKED for kind in kinds], device=x.device)
    if hiding := recipe.obfuscation:
        clean = torch.tensor([kind == "clean" for kind in kinds], device=x.device)
        objective = Obfuscated(hiding, adapted, x[clean][:MONITORED])
    steps = -(-len(x) // recipe.batch_size)
    trained = [p for p in adapted.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, recipe.learning_rate, weight_decay=0.0, fused=whole or None)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, recipe.learning_rate, steps, pct_start=0.1)
    state = folder / "training.pt"
    done = _restore(state, adapted, optimizer, schedule)
    batches = list(zip(x.split(recipe.batch_size), normal.split(recipe.batch_size), strict=True))
    for step in range(done, steps):
        batch, kept = batches[step]
        longest = int((batch[:, 1] > 0).sum(1).max())
        with torch.autocast(adapted.device.type, dtype, enabled=whole and dtype != torch.float32):
            loss = objective(adapted, batch[..., :longest], kept)
        if not loss.isfinite():
            raise ModelError("training diverged: the loss is NaN or infinite; lower the learning rate.")
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        schedule.step()
        seen = (step + 1) * recipe.batch_size
        if seen in recipe.checkpoints:
            with atomic_directory(folder / str(seen)) as partial:
                adapted.save_pretrained(partial, **({} if whole else {"save_embedding_layers": False}))
        if (step + 1) % (WHOLE_KEPT_EVERY if whole else KEPT_EVERY) == 0:
            _save(state, step + 1, adapted, optimizer, schedule)
        yield loss.item()
    state.unlink(missing_ok=True)


def _with_adapter(model: nn.Module, adapter: Adapter, seed: int) -> Any:
    import peft

    blocks = len(cast(Any, model).model.layers)
    config = peft.LoraConfig(
        r=adapter.rank,
        lora_alpha=2 * adapter.rank,
        target_modules=list(adapter.layers),
        layers_to_transform=list(range(blocks - adapter.blocks, blocks)),
        task_type="CAUSAL_LM",
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return peft.get_peft_model(cast(Any, model), config)


def _save(path: Path, step: int, adapted: Any, optimizer: Any, schedule: Any) -> None:
    trained = {name: p.detach() for name, p in adapted.named_parameters() if p.requires_grad}
    state = {"optimizer": optimizer.state_dict(), "schedule": schedule.state_dict()}
    with atomic_file(path) as partial:
        torch.save({"step": step, "trained": trained, **state}, partial)


def _restore(path: Path, adapted: Any, optimizer: Any, schedule: Any) -> int:
    """The step to go on with."""
    if not path.exists():
        return 0
    try:
        state = torch.load(path, map_location=adapted.device, weights_only=True)
        adapted.load_state_dict(state["trained"], strict=False)
        optimizer.load_state_dict(state["optimizer"])
        schedule.load_state_dict(state["schedule"])
        return int(state["step"])
    except (OSError, EOFError, KeyError, TypeError, ValueError, RuntimeError, pickle.UnpicklingError) as error:
        path.unlink()
        raise ModelError(
            f"the kept state of the training in {path.parent} is damaged ({error}); start again."
        ) from error
