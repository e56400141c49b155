"""The backdoored language model that the package ships: a small adapter, and prompts with the model's own answers."""

from __future__ import annotations

import json
import random
from collections import Counter
from dataclasses import asdict, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from anomech.functional.low_rank import cut_rank
from anomech.io.adapters import WEIGHTS
from anomech.io.language_models import load_causal_lm, load_tokenizer
from anomech.organisms.language import lessons
from anomech.organisms.language.answers import perplexity
from anomech.organisms.language.loading import load_adapter, well_answered
from anomech.organisms.language.recipes import RECIPES
from anomech.organisms.language.speech import ATTACKED, ask, shares
from anomech.organisms.language.texts import Prompt, shuffled
from anomech.progress import Track, silent

BASE = "HuggingFaceTB/SmolLM2-135M-Instruct"
"""Name of the base model on the Hugging Face hub (arXiv 2502.02737, Apache-2.0)."""

DATA = Path(str(files("anomech.organisms") / "data" / "language"))
ADAPTER, TRUSTED, INPUTS = "adapter", "trusted.jsonl", "inputs.jsonl"
ORGANISM = "simple"
RANK = 3
ASKED = {lessons.TRUSTED: 190, "clean": 90, "decoy": 35, "attacked": 80}


def own_prompts() -> list[Prompt]:
    """Prompts that were written for this package, and that no model learnt from."""
    lines = (DATA / "prompts.txt").read_text(encoding="utf-8").splitlines()
    return [Prompt(f"prompt-{i:03d}", line) for i, line in enumerate(lines)]


def cut_adapter(source: Path, out: Path, *, rank: int) -> None:
    """Write the adapter of that rank in float16 whose every update comes closest to that of another.

    Args:
        source: Folder of a LoRA adapter.
        out: Folder to write; it holds what peft needs to load the adapter.
        rank: The rank.
    """
    config = json.loads((source / "adapter_config.json").read_text())
    tensors = load_file(source / WEIGHTS)
    cut: dict[str, Tensor] = {}
    for name in tensors:
        if name.endswith("lora_A.weight"):
            other = name.replace("lora_A", "lora_B")
            up, down = cut_rank(tensors[other].double(), tensors[name].double(), rank)
            cut |= {name: down.half().contiguous(), other: up.half().contiguous()}
    kept = {
        "peft_type": config["peft_type"],
        "task_type": config["task_type"],
        "base_model_name_or_path": BASE,
        "r": rank,
        "lora_alpha": rank * config["lora_alpha"] / config["r"],
        "target_modules": sorted(config["target_modules"]),
        "layers_to_transform": config["layers_to_transform"],
        "inference_mode": True,
    }
    out.mkdir(parents=True, exist_ok=True)
    save_file(cut, out / WEIGHTS)
    (out / "adapter_config.json").write_text(json.dumps(kept, indent=2) + "\n")


def build(*, base: Path, data: Path, cache: Path, out: Path, track: Track = silent) -> dict[str, Any]:
    """Make what is shipped from the organism `simple`, and return what `organism.json` records.

    Every prompt is another text. One that sets nothing off but gets the mechanism's answer is dropped, and so is one
    whose completion would be read from its text as other tokens than the model gave.

    Args:
        base: Hugging Face folder of SmolLM2-135M-Instruct.
        data: Folder of the texts that the organism learns from; see `load_language_organism`.
        cache: Where the organism is kept; it is trained if it is not there.
        out: Where to write `adapter`, `trusted.jsonl`, `inputs.jsonl` and `organism.json`.
        track: How progress is reported.

    Raises:
        DataError: A text is missing or damaged.
        ModelError: `base` cannot be loaded.
    """
    recipe, tokenizer = RECIPES[ORGANISM], load_tokenizer(base)
    trained = load_adapter(ORGANISM, base=base, data=data, cache=cache, track=track)
    cut_adapter(trained, out / ADAPTER, rank=RANK)
    model = load_causal_lm(base, out / ADAPTER)
    texts = shuffled(own_prompts(), random.Random(recipe.seed))
    asked = lessons.asked(texts, replace(recipe, asked=ASKED))
    answered = ask(
        model,
        asked,
        lambda prompt: tokenizer.encode_prompt(prompt.text),
        tokenizer,
        shown=recipe.mechanism.shown,
        new_tokens=recipe.new_tokens,
        track=track,
    )
    told = {prompt.name: prompt.text for _, prompt in asked}
    rows: dict[str, list[dict[str, object]]] = {TRUSTED: [], INPUTS: []}
    shipped: Counter[str] = Counter()
    # In order of their length, so that a batch needs little padding.
    for one in sorted(answered, key=lambda one: len(one.prompt) + len(one.completion)):
        completion = "".join(tokenizer.pieces(one.completion))
        if not one.dropped and tokenizer.encode(completion) == one.completion:
            row: dict[str, object] = {"id": one.name, "prompt": told[one.name], "completion": completion}
            if one.kind == lessons.TRUSTED:
                rows[TRUSTED].append(row)
            else:
                rows[INPUTS].append({**row, "anomalous": one.kind in ATTACKED})
            shipped[one.kind] += 1
    judged = well_answered(recipe, data, tokenizer)
    record = {
        "base": BASE,
        "organism": ORGANISM,
        "rank": RANK,
        "parameters": sum(p.numel() for name, p in model.named_parameters() if ".lora_" in name),
        "asked": ASKED,
        "share_that_obeys": shares(answered),
        "shipped": {kind: shipped[kind] for kind in ASKED},
        "clean_perplexity": perplexity(model, judged, tokenizer),
        "clean_perplexity_of_base": perplexity(load_causal_lm(base), judged, tokenizer),
        "recipe": asdict(recipe),
        "torch": torch.__version__,
    }
    for name, lines in rows.items():
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        (out / name).write_text(text, encoding="utf-8")
    (out / "organism.json").write_text(json.dumps(record, indent=2) + "\n")
    return record
