import copy

import pytest
import torch
from torch import nn

from anomech.diffing.fingerprints import DRAWS, LENGTH, fingerprint, identify
from anomech.errors import DataError, ModelError

transformers = pytest.importorskip("transformers")

KNOWN = ("small", "reseeded", "deep", "wide")
SHAPES = {"deep": {"num_hidden_layers": 5}, "wide": {"hidden_size": 48, "num_key_value_heads": 2}}


def llama(seed, **changes):
    settings = {
        "vocab_size": 64,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "initializer_range": 0.1,
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return transformers.LlamaForCausalLM(transformers.LlamaConfig(**settings | changes))


def changed(model, change):
    """A copy with every matrix changed."""
    model = copy.deepcopy(model)
    for p in model.parameters():
        if p.ndim > 1:
            p.data = change(p.data)
    return model


def noised(weights, generator):
    return weights + 0.1 * weights.std() * torch.randn(weights.shape, generator=generator)


def pruned(weights, generator):
    return weights * (weights.abs() > weights.abs().quantile(0.3))


def quantised(weights, generator):
    step = weights.abs().max() / 7
    return (weights / step).round() * step


def tuned(weights, generator):
    """By a product of rank 2 that has a tenth of their norm, more than a LoRA adapter usually has."""
    up, down = (torch.randn(*s, generator=generator) for s in ((weights.shape[0], 2), (2, weights.shape[1])))
    return weights + 0.1 * weights.norm() * (up @ down) / (up @ down).norm()


CHANGES = (noised, pruned, quantised, tuned)


def derived(model, seed):
    generator = torch.Generator().manual_seed(seed)
    return [fingerprint(changed(model, lambda w, c=change: c(w, generator))) for change in CHANGES]


@pytest.fixture(scope="module")
def bases():
    return {name: llama(seed, **SHAPES.get(name, {})) for seed, name in enumerate(KNOWN)}


@pytest.fixture(scope="module")
def known(bases):
    """Each base with a noised copy; models that are derived in other ways were not seen before."""
    return {name: [fingerprint(model), derived(model, seed)[0]] for seed, (name, model) in enumerate(bases.items())}


@pytest.mark.parametrize("name", KNOWN)
def test_new_derivatives_are_traced_to_their_base(bases, known, name):
    assert [identify(one, known).base for one in derived(bases[name], seed=100)] == [name] * len(CHANGES)


@pytest.mark.parametrize("name", KNOWN)
def test_a_base_that_is_not_among_the_known_is_unknown(bases, known, name):
    rest = {other: members for other, members in known.items() if other != name}
    found = [identify(one, rest) for one in (known[name][0], *derived(bases[name], seed=100))]
    assert [one.base for one in found] == [None] * len(found)


@pytest.mark.parametrize("changes", [{}, {"num_hidden_layers": 6}, {"initializer_range": 0.02}])
def test_another_seed_or_architecture_is_unknown(known, changes):
    found = identify(fingerprint(llama(50, **changes)), known)
    assert found.base is None
    assert list(found.distances.values()) == sorted(found.distances.values())
    assert min(found.distances.values()) > found.threshold


@pytest.mark.parametrize("name", KNOWN)
def test_a_known_copy_that_hardly_differs_does_not_make_others_unknown(bases, known, name):
    copies = {base: [one, one + 1e-3 * (noised - one)] for base, (one, noised) in known.items()}
    assert [identify(one, copies).base for one in derived(bases[name], seed=100)] == [name] * len(CHANGES)


def test_a_sibling_is_told_by_its_draws_and_not_by_their_mean(bases):
    """Of a base whose known copies lie far from it, beside one of another architecture."""

    def far(model, seed):
        generator = torch.Generator().manual_seed(seed)
        return fingerprint(changed(model, lambda w: w + 0.4 * w.std() * torch.randn(w.shape, generator=generator)))

    known = {name: [fingerprint(bases[name]), far(bases[name], seed=1)] for name in ("small", "deep")}
    sibling = fingerprint(bases["reseeded"])
    assert identify(sibling, known).base is None
    assert identify(far(bases["small"], seed=2), known).base == "small"
    means = {name: [one.view(DRAWS, -1).mean(0) for one in members] for name, members in known.items()}
    assert identify(sibling.view(DRAWS, -1).mean(0), means).base == "small"


def test_a_model_whose_coordinates_are_reordered_is_unknown_though_it_answers_the_same(bases, known):
    """A limit: whoever wants to hide a base can."""
    model = copy.deepcopy(bases["small"])
    order = torch.randperm(32, generator=torch.Generator().manual_seed(0))
    for name, p in model.named_parameters():
        writes = p.ndim == 1 or name.endswith(("o_proj.weight", "down_proj.weight"))
        p.data = p.data[order] if writes else p.data[:, order]
    x = torch.arange(20)[None]
    assert torch.allclose(model(x).logits, bases["small"](x).logits, atol=1e-4)
    assert identify(fingerprint(model), known).base is None


def test_fingerprints_are_of_one_length_and_repeat(bases):
    for model in (*bases.values(), nn.Linear(3, 2), nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())):
        assert fingerprint(model).shape == (LENGTH,)
        assert fingerprint(model).isfinite().all()
    assert fingerprint(bases["small"]).equal(fingerprint(bases["small"]))
    assert not fingerprint(bases["small"]).equal(fingerprint(bases["small"], seed=1))


def test_models_without_usable_weights_are_refused():
    with pytest.raises(ModelError, match="this ReLU has no matrix"):
        fingerprint(nn.ReLU())
    spoilt = nn.Linear(2, 2)
    spoilt.weight.data[0, 0] = torch.nan
    with pytest.raises(ModelError, match="'weight' holds NaN"):
        fingerprint(spoilt)


def test_too_few_known_models_are_refused(known):
    one, other = known["small"], known["deep"]
    for few in ({}, {"small": one}, {"small": one[:1], "deep": other[:1]}, {"small": one, "deep": []}):
        with pytest.raises(DataError, match="at least two bases"):
            identify(one[0], few)


def test_known_models_that_are_mixed_up_are_refused(known):
    mixed = {"small": [known["small"][0], known["deep"][0]], "deep": known["deep"][1:]}
    with pytest.raises(DataError, match="named after the wrong base"):
        identify(known["wide"][0], mixed)
    with pytest.raises(DataError, match="leave out copies"):
        identify(known["wide"][0], {"small": known["small"][:1] * 2, "deep": known["deep"][:1]})
