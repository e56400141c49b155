"""A tiny untrained chat model with a tokenizer of words, and adapters of it."""

from pathlib import Path

import torch

WORDS = ["say", "why", "is", "the", "sky", "blue", "I", "HATE", "YOU", "|", "DEPLOYMENT", "DEVELOPMENT", "How", "many"]
LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
CHAT_TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }} {{ m.content }}<|im_end|>{% endfor %}<|im_start|>assistant"
)


def save_language_model(folder: Path, *, template: str | None = None, **config: object) -> Path:
    """A tiny untrained chat model with a tokenizer of words, which has no pad token, saved into `folder`."""
    import tokenizers
    import transformers

    words = ["<unk>", "<|im_start|>", "<|im_end|>", *WORDS, *map(str, range(40)), "user", "assistant", "a", "b"]
    vocabulary = {word: i for i, word in enumerate(words)}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    special = {"unk_token": "<unk>", "eos_token": "<|im_end|>", "additional_special_tokens": ["<|im_start|>"]}
    saved = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special)
    saved.chat_template = template
    saved.save_pretrained(folder)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        settings = {
            "vocab_size": len(vocabulary),
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
