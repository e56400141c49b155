import pytest
import torch
from torch import nn

from anomech.errors import ModelError
from anomech.gradients import GradientSketcher


def run(model, x):
    return model(x)


def cotangents(outputs):
    return [outputs.sin()]


def sketcher(model, **settings):
    return GradientSketcher(model.eval(), **{"size": 4, "seed": 0, **settings})


def alone(model, found, x):
    return [found.sketch(run, one[None], cotangents)[1][0] for one in x]


def test_a_weight_that_is_used_behind_the_layers_back_is_found_out_and_differentiated_in_general():
    class Sneaky(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(6, 6)

        def forward(self, x):
            return self.layer(x) + x @ self.layer.weight

    torch.manual_seed(0)
    model, x = Sneaky(), torch.randn(3, 6)
    wrong = sketcher(model).unfaithful(run, x, cotangents)
    assert wrong == ["layer.weight"]
    assert sketcher(model, general=wrong).unfaithful(run, x, cotangents) == []


def test_multi_head_attention_is_exact_through_torch_func():
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
    model, x = nn.Sequential(nn.Linear(8, 8), layer, nn.Flatten()), torch.randn(3, 5, 8)
    wrong = sketcher(model).unfaithful(run, x, cotangents)
    assert wrong == ["1.self_attn.out_proj.weight", "1.self_attn.out_proj.bias"]
    assert sketcher(model, general=wrong).unfaithful(run, x, cotangents) == []


def test_a_batch_gives_what_its_samples_give_alone():
    torch.manual_seed(0)
    model, x = nn.Sequential(nn.Linear(6, 9), nn.ReLU(), nn.Linear(9, 3)), torch.randn(5, 6)
    _, (together,) = sketcher(model).sketch(run, x, cotangents)
    for i, one in enumerate(alone(model, sketcher(model), x)):
        for name, values in one.items():
            torch.testing.assert_close(together[name][i], values[0])


def test_several_vectors_are_pulled_back_through_one_forward_pass():
    torch.manual_seed(0)
    model, x = nn.Sequential(nn.Linear(6, 9), nn.ReLU(), nn.Linear(9, 3)), torch.randn(5, 6)
    _, (sine, cosine) = sketcher(model).sketch(run, x, lambda outputs: [outputs.sin(), outputs.cos()])
    _, (both,) = sketcher(model).sketch(run, x, lambda outputs: [outputs.sin() + outputs.cos()])
    for name in both:
        torch.testing.assert_close(sine[name] + cosine[name], both[name])


def test_inner_products_are_kept_on_average():
    torch.manual_seed(0)
    model, x = nn.Linear(40, 30), torch.randn(2, 40)
    _, (exact,) = sketcher(model, size=40).sketch(run, x, cotangents)
    products = []
    for seed in range(200):
        _, (found,) = sketcher(model, size=8, seed=seed).sketch(run, x, cotangents)
        products.append(found["weight"][0] @ found["weight"][1] - exact["weight"][0] @ exact["weight"][1])
    mean, error = torch.stack(products).mean(), torch.stack(products).std() / 200**0.5
    assert abs(mean) < 3 * error
    assert error < exact["weight"].norm(dim=1).prod()


def test_the_model_is_left_as_it_was():
    model = nn.Sequential(nn.Linear(6, 9), nn.BatchNorm1d(9), nn.Linear(9, 3))
    model[0].weight.requires_grad_(False)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    found = sketcher(model)
    found.unfaithful(run, torch.randn(2, 6), cotangents)
    with pytest.raises(RuntimeError):
        found.sketch(run, torch.randn(2, 7), cotangents)
    assert [p.requires_grad for p in model.parameters()] == [False, True, True, True, True, True]
    assert all(p.grad is None for p in model.parameters())
    assert not any(m._forward_hooks for m in model.modules())
    assert torch.backends.mha.get_fastpath_enabled()
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_an_unused_parameter_has_a_gradient_of_zero():
    class Idle(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.idle = nn.Linear(3, 2), nn.Linear(3, 2)

        def forward(self, x):
            return self.used(x)

    found = sketcher(Idle())
    _, (sketches,) = found.sketch(run, torch.randn(4, 3), cotangents)
    assert sketches["idle.weight"].shape == (4, 6)
    assert not sketches["idle.weight"].any()
    assert found.unfaithful(run, torch.randn(2, 3), cotangents) == []


@pytest.mark.parametrize(
    "norm",
    [nn.BatchNorm1d(9, track_running_stats=False).eval(), nn.BatchNorm1d(9).train()],
    ids=["untracked", "training"],
)
def test_batch_statistics_are_refused(norm):
    with pytest.raises(ModelError, match="batch normalisation '1'"):
        GradientSketcher(nn.Sequential(nn.Linear(6, 9), norm), size=4, seed=0)


class Positions(nn.Module):
    """Adds a learned position to every token, as transformers do."""

    def __init__(self):
        super().__init__()
        self.embedding, self.head = nn.Embedding(5, 6), nn.Linear(6, 2)

    def forward(self, x):
        return self.head(x + self.embedding(torch.arange(5))).flatten(1)


class Twice(nn.Module):
    """Calls a layer on every token, and on the mean of all."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(6, 6)

    def forward(self, x):
        tokens = self.layer(x.reshape(-1, 6)).reshape(x.shape)
        return self.layer(input=tokens.mean(1))


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer, self.head = nn.GRU(6, 4, batch_first=True), nn.Linear(4, 2)

    def forward(self, x):
        return self.head(self.layer(x)[0][:, -1])


ODD = {
    "positions": Positions,
    "one layer on other rows": Twice,
    "a recurrent layer, which torch.func cannot run": Recurrent,
    "weight norm": lambda: nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(6, 3)), nn.Flatten()),
    "spectral norm": lambda: nn.Sequential(nn.utils.parametrizations.spectral_norm(nn.Linear(6, 3)), nn.Flatten()),
}


@pytest.mark.parametrize("name", ODD)
def test_models_that_the_rules_do_not_fit_are_exact_in_general(name):
    torch.manual_seed(0)
    model, x = ODD[name]().eval(), torch.randn(4, 5, 6)
    wrong = sketcher(model).unfaithful(run, x, cotangents)
    found = sketcher(model, general=wrong)
    assert found.unfaithful(run, x, cotangents) == []
    _, (sketches,) = found.sketch(run, x, cotangents)
    assert all(values.any() for values in sketches.values())


def test_a_branch_that_was_not_taken_before_is_an_error_and_not_a_gradient_of_zero():
    class Branching(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(6, 6)

        def forward(self, x):
            return self.layer(x) + (self.layer(x.repeat(2, 1))[: len(x)] if x.max() > 9 else 0)

    x = torch.rand(3, 6)
    found = sketcher(Branching())
    assert found.unfaithful(run, x, cotangents) == []
    with pytest.raises(ModelError, match="another form than when this was fitted"):
        found.sketch(run, x + 10, cotangents)


def test_half_precision_is_not_taken_for_a_wrong_rule():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 8)).bfloat16()
    assert sketcher(model).unfaithful(run, torch.randn(4, 32).bfloat16(), cotangents) == []


def test_what_has_no_gradients_is_refused():
    with pytest.raises(ModelError, match="no parameters"):
        sketcher(nn.Flatten())
    with pytest.raises(ModelError, match="TorchScript"):
        sketcher(torch.jit.trace(nn.Linear(2, 2), torch.zeros(1, 2)))

    class Detached(nn.Linear):
        def forward(self, x):
            return super().forward(x).detach()

    with pytest.raises(ModelError, match="has no gradient"):
        sketcher(Detached(6, 2)).unfaithful(run, torch.randn(2, 6), cotangents)


def test_a_layer_that_mixes_samples_is_refused():
    class Mixing(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(6, 3)

        def forward(self, x):
            return self.layer(x - x.mean(0))

    with pytest.raises(ModelError, match="depends on the others in its batch"):
        sketcher(Mixing()).unfaithful(run, torch.randn(2, 6), cotangents)
