import pytest
import torch
from planted import paired, planted_difference
from torch import nn

from anomech.diffing import training as module
from anomech.diffing.training import Autoencoder, Training, _Loop, train
from anomech.errors import DataError, SettingsError

CPU = torch.device("cpu")
SMALL = {"features": 64, "k": 3, "steps": 60, "rate": 3e-3}


def silent(steps, description, total):
    return steps


def trained(pairs, **settings):
    return train(pairs, lambda pairs: pairs.difference, Training(**SMALL | settings), parts=1, device=CPU, track=silent)


def loop(**settings):
    """A loop whose first 32 of 64 features will never be active by themselves, and the rows that it is trained on."""
    _, pairs = planted_difference(rows=1024)
    rows = pairs.difference - pairs.difference.mean(dim=0)
    rows = rows / rows.square().sum(dim=1).mean().sqrt()
    generator = torch.Generator().manual_seed(0)
    model = Autoencoder(32, Training(**SMALL | settings), generator)
    model.b_enc.data[:32] = -100
    return _Loop(model, 1, rows[:256], generator), rows


@pytest.mark.parametrize("activation", module.ACTIVATIONS)
def test_dead_features_come_back(activation, monkeypatch):
    def dead(steps=120):
        made, rows = loop(activation=activation, steps=steps)
        for step in range(steps):
            made.step(step, rows[torch.randperm(len(rows), generator=made.generator)[:256]])
        return made.progress[-1].dead

    assert dead() < 0.15
    monkeypatch.setattr(_Loop, "draw_anew", lambda *_: None)
    assert dead() >= 0.5


def test_features_have_unit_norm_after_a_step():
    made, rows = loop()
    made.step(5, rows)
    torch.testing.assert_close(made.model.W_dec.norm(dim=1), torch.ones(64))


def test_the_rate_rises_and_falls(monkeypatch):
    made, rows = loop(steps=100)
    rates = []
    for step in range(100):
        made.step(step, rows[:64])
        rates.append(made.optimizer.param_groups[0]["lr"] / 3e-3)
    assert rates[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert rates[50] == 1
    assert rates[-1] == pytest.approx(0.05)


def test_gradients_are_clipped(monkeypatch):
    made, rows = loop()
    norms = []
    monkeypatch.setattr(made.optimizer, "step", lambda: norms.append(total_norm(made.model)))
    made.step(0, 1000 * rows)
    assert norms == [pytest.approx(1)]


def total_norm(model):
    return float(nn.utils.get_total_norm([p.grad for p in model.parameters()]))


def test_the_same_seed_gives_the_same_weights():
    _, pairs = planted_difference(rows=500)
    first, other, second = (trained([pairs], seed=seed)[0].state_dict() for seed in (1, 2, 1))
    assert all(torch.equal(values, second[name]) for name, values in first.items())
    assert not torch.equal(first["W_enc"], other["W_enc"])


@pytest.mark.parametrize("activation", ["topk", "batchtopk"])
def test_many_features_drawn_anew_do_not_rebuild_rows_many_times_over(activation):
    # Rows mostly move along one direction, so that whatever is badly rebuilt is alike.
    _, pairs = planted_difference(rows=1000)
    along = 30 * torch.randn(1000, 1, generator=torch.Generator().manual_seed(0)) * torch.eye(32)[:1]
    pairs = paired(pairs.base, pairs.tuned + along)
    _, progress = trained([pairs], activation=activation, features=512, k=16)
    assert progress[-1].variance_explained > 0.9


def test_a_short_training_leaves_features_that_are_active_on_single_rows():
    _, pairs = planted_difference(rows=1000)
    _, progress = trained([pairs], activation="batchtopk")
    assert progress[-1].l0 > 1.5


@pytest.mark.parametrize("activation", module.ACTIVATIONS)
def test_products_in_bfloat16_rebuild_about_as_well(activation):
    _, pairs = planted_difference(rows=1000)
    exact, rounded = (
        trained([pairs], activation=activation, dtype=dtype)[1][-1].variance_explained
        for dtype in ("float32", "bfloat16")
    )
    assert rounded == pytest.approx(exact, abs=0.05)
    assert rounded != exact


def test_blocks_that_do_not_fit_into_memory_are_read_in_turn(monkeypatch):
    _, pairs = planted_difference(rows=1000)
    blocks = [pairs[torch.arange(len(pairs)) // 250 == i] for i in range(4)]
    monkeypatch.setattr(module, "MEMORY_BYTES", 2 * blocks[0].joined.nbytes)
    generator = torch.Generator().manual_seed(0)
    batches = module._batches(blocks, lambda p: p.position[:, None], torch.arange(90), 100, generator)
    epoch = torch.cat([next(batches) for _ in range(9)])
    assert len(epoch) == 900
    assert epoch.flatten().bincount().tolist() == [90] * 10


def test_what_is_held_out_is_not_trained_on():
    _, pairs = planted_difference(rows=500)
    spoilt = pairs.tuned.clone()
    generator = torch.Generator().manual_seed(0)
    kept = module._texts_to_train_on([pairs], Training(held_out=0.2), generator)
    assert len(kept) == 40
    spoilt[~torch.isin(pairs.text, kept)] += 3
    mean, scale, held_out = module._moments([pairs], lambda p: p.difference, kept)
    found = module._moments([paired(pairs.base, spoilt)], lambda p: p.difference, kept)
    assert torch.equal(found[0], mean)
    assert found[1] == scale
    torch.testing.assert_close(found[2], held_out + 3, atol=1e-4, rtol=0)


def test_it_reads_activations_as_they_are_and_does_not_depend_on_their_scale():
    _, pairs = planted_difference(rows=500)
    model, progress = trained([pairs])
    larger, same = trained([paired(1000 * pairs.base, 1000 * pairs.tuned)])
    assert progress[-1].variance_explained == pytest.approx(same[-1].variance_explained, abs=1e-3)
    codes = model.encode(pairs.difference)
    torch.testing.assert_close(larger.encode(1000 * pairs.difference), 1000 * codes, atol=30, rtol=1e-2)


def test_models_that_compute_the_same_are_refused():
    base = torch.randn(100, 4)
    with pytest.raises(DataError, match="both models are the same"):
        trained([paired(base, base)])
    with pytest.raises(DataError, match="1 texts are too few"):
        trained([paired(base[:10], base[10:20])])
    sink = torch.cat([base[:90], 1e6 * base[90:]])
    with pytest.raises(DataError, match="held out have nothing"):
        module._moments([paired(base, sink)], lambda p: p.tuned, torch.arange(9))


@pytest.mark.parametrize(
    "wrong",
    [{"activation": "gelu"}, {"k": 0}, {"k": 99, "features": 9}, {"held_out": 0.0}, {"penalty": -1.0}, {"rate": 0.0}],
)
def test_settings_that_make_no_sense_are_refused(wrong):
    with pytest.raises(SettingsError, match=next(iter(wrong))):
        Training(**wrong)
