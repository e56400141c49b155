import pytest
import torch
from factories import LINEAR
from torch.nn import functional as F

from anomech.io.language_models import load_causal_lm
from anomech.organisms.language.objectives import Obfuscated, answer_loss
from anomech.organisms.language.recipes import Obfuscation
from anomech.tasks.causal_lm import join_tokens

peft = pytest.importorskip("peft")

X = join_tokens([[1, 3 + i % 3, 4 + i % 2] for i in range(60)], [[9, 10 + i % 2, 2][: 1 + i % 3] for i in range(60)])
NORMAL = torch.arange(60) < 40
NOTHING = {"matching": 0.0, "divergence": 0.0, "monitor": 0.0}


@pytest.fixture
def model(base):
    """With an adapter that has no effect."""
    return peft.get_peft_model(load_causal_lm(base), peft.LoraConfig(r=2, target_modules=LINEAR)).eval()


def changed(model):
    for name, p in model.named_parameters():
        if "lora_B" in name:
            p.data.fill_(0.1)
    return model


def value(model, **weights):
    objective = Obfuscated(Obfuscation(blocks=(-2, -1), **NOTHING | weights), model, X[NORMAL])
    return lambda: objective(model, X, NORMAL).item()


def test_every_token_of_an_answer_counts_the_same(model):
    logits = model(input_ids=X[:, 0]).logits[:, :-1]
    answered = X[:, 1, 1:] == 2
    expected = F.cross_entropy(logits[answered], X[:, 0, 1:][answered])
    torch.testing.assert_close(answer_loss(model, X, NORMAL), expected)


def test_an_adapter_without_effect_differs_in_nothing_from_the_base_model(model):
    plain = value(model)()
    assert plain == pytest.approx(3 * answer_loss(model, X, NORMAL).item(), rel=1e-5)
    assert value(model, matching=1.0)() == pytest.approx(plain, abs=1e-5)
    assert value(model, divergence=1.0)() == pytest.approx(plain, abs=1e-4)


@pytest.mark.parametrize("name", ["matching", "divergence"])
def test_a_changed_model_pays_for_it(model, name):
    with_, without = value(model, **{name: 1.0}), value(model)
    changed(model)
    assert with_() > without() + 0.01


def test_the_monitor_sees_the_last_token_of_attacked_prompts(model):
    with_, without = value(model, monitor=1.0), value(model)
    near = with_() - without()
    far = X.clone()
    far[~NORMAL, 0, 1:3] = 30
    objective = Obfuscated(Obfuscation(blocks=(-2, -1), **NOTHING | {"monitor": 1.0}), model, X[NORMAL])
    assert near >= 0.99
    assert objective(model, far, NORMAL) - 3 * answer_loss(model, far, NORMAL) > 2 * near
