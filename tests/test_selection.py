import pytest
import torch
from factories import save_adapter
from torch import nn
from torch.func import functional_call, grad, vmap

from anomech.errors import SettingsError
from anomech.gradients import GradientSketcher
from anomech.io.language_models import load_causal_lm
from anomech.selection import check_selection, select_parameters
from anomech.tasks import CausalLMTask
from anomech.tasks.causal_lm import join_tokens

X = join_tokens([[3, 4, 5, 6], [7, 8, 3], [9, 4]], [[5, 6], [4], [3, 2]])


@pytest.fixture
def adapted(base, tmp_path):
    pytest.importorskip("peft")
    return load_causal_lm(base, save_adapter(base, tmp_path / "adapter"))


def sketch(model, parameters, size=64):
    """Sketches of the mean log-odds of each completion."""
    task = CausalLMTask(model, device="cpu")
    found = GradientSketcher(model, size=size, seed=0, parameters=parameters)
    _, (sketches,) = found.sketch(task.outputs, X, lambda outputs: [torch.tensor([[1.0, 0.0]]).expand(len(outputs), 2)])
    return sketches


def test_an_adapters_own_parameters_are_sketched_as_torch_func_differentiates_them(adapted):
    sketches = sketch(adapted, "adapter")
    weights = {name: p.detach() for name, p in adapted.named_parameters() if "lora_" in name}
    assert sketches.keys() == weights.keys()
    assert len(weights) == 14
    task = CausalLMTask(adapted, device="cpu")

    def evidence(weights, one):
        calling = lambda **arguments: functional_call(adapted, weights, (), arguments)  # noqa: E731
        return task.outputs(calling, one[None])[0, 0]

    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        expected = vmap(grad(evidence), in_dims=(None, 0))(weights, X)
    for name, gradient in expected.items():
        assert gradient.abs().max() > 0
        torch.testing.assert_close(sketches[name], gradient.flatten(1), rtol=1e-4, atol=1e-5)


def test_a_choice_changes_no_sketch_and_leaves_no_gradient(adapted):
    adapted.requires_grad_(True)
    everything = sketch(adapted, "all", size=4)
    for parameters in ("adapter", "last-1", "mlp"):
        for name, values in sketch(adapted, parameters, size=4).items():
            torch.testing.assert_close(values, everything[name])
    assert all(p.requires_grad and p.grad is None for p in adapted.parameters())


def test_nothing_is_pulled_back_through_what_lies_before_the_first_choice(base):
    model = load_causal_lm(base)
    seen = []
    for block in model.model.layers:
        block.register_forward_hook(lambda _, args, output: seen.append(output.requires_grad))
    sketch(model, "last-1")
    assert seen == [False, True]
    sketch(model, "all")
    assert seen == [False, True, True, True]


def test_parameters_are_chosen_by_place_and_by_name(adapted):
    names = [name for name, _ in adapted.named_parameters()]
    assert select_parameters(adapted, "all") == names
    assert select_parameters(adapted, "last-1") == [name for name in names if ".layers.1." in name]
    assert select_parameters(adapted, "last-9") == [name for name in names if ".layers." in name]
    assert select_parameters(adapted, r"q_proj.*lora_A|embed") == [
        "base_model.model.model.embed_tokens.weight",
        "base_model.model.model.layers.1.self_attn.q_proj.lora_A.default.weight",
    ]


def test_a_bias_can_be_chosen_without_its_weight():
    torch.manual_seed(0)
    model, x = nn.Sequential(nn.Linear(6, 9), nn.Tanh(), nn.Linear(9, 3)), torch.randn(5, 6)
    both, bias = (
        GradientSketcher(model, size=9, seed=0, parameters=parameters).sketch(
            lambda m, x: m(x), x, lambda outputs: [outputs.sin()]
        )[1][0]
        for parameters in ("all", "bias")
    )
    assert set(bias) == {"0.bias", "2.bias"}
    for name, values in bias.items():
        torch.testing.assert_close(values, both[name])


def test_a_choice_of_nothing_is_refused():
    model = nn.Sequential(nn.Linear(2, 2))
    with pytest.raises(SettingsError, match=r"'adapter' chooses none of the model's 2 parameters, such as 0.weight"):
        select_parameters(model, "adapter")
    with pytest.raises(SettingsError, match="no list of blocks"):
        select_parameters(model, "last-1")
    with pytest.raises(SettingsError, match="or a regular expression, got"):
        check_selection("(")
