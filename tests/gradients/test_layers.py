"""Every kind of layer: the sketch is the projection of torch.func's per-sample gradient."""

import pytest
import torch
from torch import nn
from torch.func import functional_call, grad, vmap

from anomech.gradients import GradientSketcher
from anomech.gradients.layers import as_matrix, rule_of


class Tied(nn.Module):
    """An embedding that is the output layer too, and a layer that is used twice."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(11, 6, padding_idx=0)
        self.reused = nn.Linear(6, 6)
        self.norm = nn.RMSNorm(6)
        self.head = nn.Linear(6, 11, bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, x):
        hidden = self.reused(torch.tanh(self.reused(self.embedding(x))))
        return self.head(self.norm(hidden)).flatten(1)


class Attention(nn.Module):
    """Attention whose projections are layers, as transformers write it."""

    def __init__(self):
        super().__init__()
        self.q, self.k, self.v, self.o = (nn.Linear(8, 8) for _ in range(4))

    def forward(self, x):
        q, k, v = (p(x).unflatten(2, (2, 4)).transpose(1, 2) for p in (self.q, self.k, self.v))
        mixed = nn.functional.scaled_dot_product_attention(q, k, v)
        return self.o(mixed.transpose(1, 2).flatten(2)).flatten(1)


class Conv1D(nn.Module):
    """The linear layer of GPT-2, its weight transposed."""

    def __init__(self):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.randn(9, 7)), nn.Parameter(torch.randn(7))

    def forward(self, x):
        return torch.addmm(self.bias, x.reshape(-1, 9), self.weight).reshape(*x.shape[:-1], 7)


class Scale(nn.Module):
    """A layer that no rule knows."""

    def __init__(self):
        super().__init__()
        self.factors = nn.Parameter(torch.randn(3, 4))

    def forward(self, x):
        return x * self.factors


def flat(*layers):
    return nn.Sequential(*layers, nn.Flatten())


MODELS = {
    "linear": (lambda: flat(nn.Linear(30, 40), nn.ReLU(inplace=True), nn.Linear(40, 5)), (30,)),
    "linear over positions": (lambda: flat(nn.Linear(30, 40), nn.Tanh(), nn.Linear(40, 5, bias=False)), (4, 30)),
    "linear, transposed": (lambda: flat(nn.Linear(9, 9), Conv1D()), (4, 9)),
    "convolution, one axis": (lambda: flat(nn.Conv1d(3, 20, 5, padding=2, padding_mode="circular")), (3, 12)),
    "convolution": (
        lambda: flat(nn.Conv2d(3, 20, 3, padding=1), nn.ReLU(inplace=True), nn.Conv2d(20, 8, 1)),
        (3, 9, 9),
    ),
    "convolution, three axes": (lambda: flat(nn.Conv3d(2, 6, 3, padding=1)), (2, 4, 4, 4)),
    "convolution, strided": (lambda: flat(nn.Conv2d(3, 20, (3, 2), stride=(2, 3), padding=(1, 0))), (3, 9, 9)),
    "convolution, dilated": (lambda: flat(nn.Conv2d(3, 20, 3, dilation=2, padding="same")), (3, 9, 9)),
    "convolution, grouped": (lambda: flat(nn.Conv2d(4, 24, 3, groups=4, padding=1, padding_mode="reflect")), (4, 8, 8)),
    "convolution, depthwise": (lambda: flat(nn.Conv2d(24, 24, 3, groups=24)), (24, 8, 8)),
    "convolution, transposed": (lambda: flat(nn.ConvTranspose2d(6, 8, 3, stride=2, output_padding=1)), (6, 5, 5)),
    "convolution, transposed, grouped, dilated": (
        lambda: flat(nn.ConvTranspose2d(6, 8, 3, stride=3, padding=2, groups=2, dilation=2)),
        (6, 5, 5),
    ),
    "convolution, transposed, one axis": (lambda: flat(nn.ConvTranspose1d(20, 4, 3, stride=2)), (20, 7)),
    "batch norm": (lambda: flat(nn.Linear(8, 6), nn.BatchNorm1d(6)), (8,)),
    "batch norm of images": (lambda: flat(nn.Conv2d(3, 20, 3), nn.BatchNorm2d(20), nn.ReLU(inplace=True)), (3, 6, 6)),
    "group norm": (lambda: flat(nn.GroupNorm(2, 6), nn.Conv2d(6, 3, 2)), (6, 4, 4)),
    "instance norm": (lambda: flat(nn.InstanceNorm2d(6, affine=True), nn.Conv2d(6, 3, 2)), (6, 4, 4)),
    "layer norm": (lambda: flat(nn.LayerNorm(6), nn.Linear(6, 6)), (4, 6)),
    "layer norm over two axes": (lambda: flat(nn.LayerNorm([4, 6]), nn.Linear(6, 6)), (4, 6)),
    "attention": (Attention, (5, 8)),
    "tied weights, reused layer": (Tied, None),
    "a layer without a rule": (lambda: flat(Scale(), nn.Linear(4, 4), Scale()), (3, 4)),
}


@pytest.mark.parametrize("name", MODELS)
def test_sketches_are_projections_of_per_sample_gradients(name):
    torch.manual_seed(0)
    build, shape = MODELS[name]
    model = build().eval()
    for layer in model.modules():
        if isinstance(layer, nn.modules.batchnorm._BatchNorm):
            layer.running_mean.normal_()
            layer.running_var.uniform_(0.5, 2)
    x = torch.randint(11, (7, 5)) if shape is None else torch.randn(7, *shape)

    sketcher = GradientSketcher(model, size=5, seed=0)
    _, (sketches,) = sketcher.sketch(lambda m, x: m(x), x, lambda outputs: [outputs.sin()])

    weights = {name: p.detach() for name, p in model.named_parameters()}

    def value(weights, one):
        outputs = functional_call(model, weights, (one[None],))
        return (outputs * outputs.detach().sin()).sum()

    expected = vmap(grad(value), in_dims=(None, 0))(weights, x)
    owners = {id(p): layer for layer in model.modules() if rule_of(layer) for p in layer.parameters(recurse=False)}
    assert sketches.keys() == weights.keys()
    for name, p in model.named_parameters():
        projected = sketcher.projections[name](as_matrix(owners.get(id(p)), p, expected[name]))
        torch.testing.assert_close(sketches[name], projected, rtol=1e-5, atol=1e-5 * float(projected.abs().max()))


def test_a_rule_covers_every_layer_that_it_claims_to():
    for layer in (
        nn.Linear(2, 2),
        nn.Conv2d(1, 1, 1),
        nn.ConvTranspose1d(1, 1, 1),
        nn.Embedding(2, 2),
        nn.LayerNorm(2),
    ):
        assert rule_of(layer) is not None
    assert rule_of(nn.Embedding(2, 2, max_norm=1.0)) is None
    assert rule_of(nn.LSTM(2, 2)) is None
