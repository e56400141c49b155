import pytest
import torch
from torch import nn

from anomech.bench.derived import CHANGES, Tuning, changed, halved, mean_loss, noised, pruned, quantised, tuned
from anomech.errors import DataError, ModelError

transformers = pytest.importorskip("transformers")
pytest.importorskip("peft")

ARCHITECTURES = {"llama": {"hidden_size": 16, "intermediate_size": 24}, "gpt2": {"n_embd": 16}}


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(1)


@pytest.fixture(params=ARCHITECTURES)
def model(request):
    config = transformers.AutoConfig.for_model(
        request.param, vocab_size=20, num_hidden_layers=2, num_attention_heads=2, **ARCHITECTURES[request.param]
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return transformers.AutoModelForCausalLM.from_config(config).eval()


@pytest.fixture
def text():
    """The same twenty tokens over and over."""
    return torch.arange(20).repeat(20)


def test_pruning_takes_the_smallest(generator):
    weights = drawn(10, 20)
    found = pruned(weights, generator, share=0.3)
    assert int((found == 0).sum()) == 60
    assert found[found != 0].abs().min() >= weights[found == 0].abs().max()
    assert found[found != 0].equal(weights[found != 0])


def test_quantised_rows_have_few_levels_and_lie_within_half_a_step(generator):
    weights = drawn(6, 5, 7)
    found = quantised(weights, generator, bits=4)
    for row, kept in zip(weights.flatten(1), found.flatten(1), strict=True):
        step = row.abs().max() / 7
        assert len(kept.unique()) <= 15
        assert (row - kept).abs().max() <= step / 2 + 1e-6
    assert quantised(torch.zeros(2, 3), generator, bits=4).eq(0).all()


def test_noise_is_relative(generator):
    weights = 7 * drawn(100, 100)
    assert float((noised(weights, generator, share=0.05) - weights).std()) == pytest.approx(0.05 * 7, rel=0.05)


def test_half_precision_has_eight_bits_of_mantissa(generator):
    found = halved(drawn(10, 10), generator)
    assert found.dtype == torch.float32
    assert found.bfloat16().float().equal(found)


@pytest.mark.parametrize("kind", CHANGES)
def test_a_change_is_of_every_matrix_and_of_a_copy(model, kind):
    before = {name: p.clone() for name, p in model.named_parameters()}
    after = dict(changed(model, CHANGES[kind], seed=0).named_parameters())
    for name, p in model.named_parameters():
        assert p.equal(before[name])
        assert p.equal(after[name]) == (p.ndim == 1)


@pytest.mark.parametrize("rank", [0, 2])
def test_tuning_lowers_the_loss_of_a_copy(model, text, rank):
    before = {name: p.clone() for name, p in model.named_parameters()}
    found = tuned(model, text, Tuning(steps=30, learning_rate=1e-2, length=12, rank=rank))
    assert mean_loss(found, text, length=12) < mean_loss(model, text, length=12) - 0.1
    assert all(p.equal(before[name]) for name, p in model.named_parameters())
    assert found.state_dict().keys() == model.state_dict().keys()
    if rank:
        moved = {name: p - before[name] for name, p in found.named_parameters() if not p.equal(before[name])}
        assert moved
        assert all(torch.linalg.matrix_rank(one.double(), rtol=1e-4) <= rank for one in moved.values())


def test_the_same_seed_tunes_alike(model, text):
    tuning = Tuning(steps=3, learning_rate=1e-2, length=12)
    one, same = (tuned(model, text, tuning).state_dict() for _ in range(2))
    assert all(one[name].equal(same[name]) for name in one)


def test_what_cannot_be_learnt_from_is_refused(model, text):
    with pytest.raises(DataError, match="the text has 5 tokens, a window 12"):
        tuned(model, text[:5], Tuning(steps=1, learning_rate=1e-2, length=12))
    nn.init.constant_(next(model.parameters()), torch.nan)
    with pytest.raises(ModelError, match="the loss became nan"):
        tuned(model, text, Tuning(steps=1, learning_rate=1e-2, length=12))
