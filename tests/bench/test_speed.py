import logging
import os
from contextlib import contextmanager
from multiprocessing import Pipe

import pytest
import torch

from anomech.bench import peers, speed
from anomech.bench.setup import Scene, Setup
from anomech.detectors import TraceCoupling
from anomech.errors import AnomechError
from anomech.measure import Usage
from anomech.sampling import IsotropicNoise, RMSpropSGLD

IN_OWN_PROCESS = speed.in_own_process
SHORT = RMSpropSGLD(chains=1, draws=8, burn_in=4, thin=2, batch_size=20, step_size=1e-6)


@pytest.fixture
def quick(monkeypatch):
    """As little of everything as there can be, in this process."""
    for name, value in {"ROUNDS": 1, "SECONDS": 0.0, "TURN": 20, "TURN_DRAWS": 2, "TIMED_DRAWS": 4}.items():
        monkeypatch.setattr(speed, name, value)
    sizes = speed.Sizes(trusted=40, clean=30, attacked=20, draws=4, paper_draws=2)
    monkeypatch.setattr(speed, "SIZES", {"fashion-badnets": sizes})
    monkeypatch.setattr(speed, "in_own_process", lambda function, *arguments: function(*arguments))


@pytest.fixture
def scene(fashion, quick):
    task, trusted, inputs = fashion
    return Scene("fashion-badnets", task, trusted[torch.arange(80)], inputs[torch.arange(80, 120)])


def test_every_estimator_has_every_figure_that_makes_sense_for_it(quick, monkeypatch, caplog):
    monkeypatch.setattr(peers, "find_spec", lambda name: None)
    with caplog.at_level(logging.WARNING):
        rows = {row["detector"]: row for row in speed.rows(Setup())}
    assert "pip install 'anomech[bench]'" in caplog.text
    assert all(set(speed.COLUMNS) <= row.keys() and row["times_floor"] > 0 for row in rows.values())
    assert rows["gradient"]["forward_equivalents"] == rows["gradient, streamed 4x"]["forward_equivalents"] == 3
    assert rows["gradient"]["auroc"] == pytest.approx(rows["gradient, streamed 4x"]["auroc"])
    assert rows["gradient, bfloat16"]["flags_changed"] <= 2
    assert {name for name, row in rows.items() if row["extrapolated"]} == {
        "sampling, 300 draws",
        "sampling, paper",
        "noise, 150 draws",
    }
    assert all((row["auroc"] is None) == row["extrapolated"] for row in rows.values() if "draw" in row["detector"])
    assert rows["sampling, 300 draws"]["forward_equivalents"] == pytest.approx(301)
    assert rows["sampling, paper"]["forward_equivalents"] == pytest.approx(1751)


def test_an_organism_without_its_files_is_left_out(quick, monkeypatch, caplog, tmp_path):
    monkeypatch.setattr(speed, "SIZES", {"cifar10-blended": speed.Sizes()})
    with caplog.at_level(logging.WARNING):
        assert list(speed.rows(Setup(data=tmp_path, cache=tmp_path))) == []
    assert "cifar10-blended is left out" in caplog.text


def test_what_is_extrapolated_from_few_draws_is_what_all_draws_take(scene, monkeypatch):
    @contextmanager
    def counted(task):
        usage, before = Usage(), task.cost.forward_passes
        yield usage
        usage.seconds = usage.forward_passes = task.cost.forward_passes - before

    monkeypatch.setattr(speed, "measured", counted)
    whole = speed.sampling(scene, detector=TraceCoupling(), sampler=SHORT)
    part = speed.sampling(scene, detector=TraceCoupling(), sampler=SHORT, draws=4)
    assert (whole["extrapolated"], part["extrapolated"]) == (False, True)
    assert (whole["measured_draws"], part["measured_draws"]) == (8, 4)
    for name in ("seconds", "fit_seconds", "seconds_per_1000", "forward_equivalents"):
        assert part[name] == pytest.approx(whole[name], rel=1e-3)


def test_an_estimator_that_is_measured_in_full_is_judged(scene):
    row = speed.sampling(scene, detector=TraceCoupling(), sampler=IsotropicNoise(chains=1, draws=10))
    assert row["auroc"] > 0.5
    assert row["forward_equivalents"] == pytest.approx(11)


def test_the_peak_of_memory_of_a_row_is_not_that_of_its_parent(scene, tmp_path):
    torch.ones(100, 2**20)
    torch.save(scene, tmp_path / "scene.pt")
    here = speed.run(tmp_path / "scene.pt", speed.forward)
    alone = IN_OWN_PROCESS(speed.run, tmp_path / "scene.pt", speed.forward)
    assert alone["peak_memory_mb"] < here["base_memory_mb"] - 300


def test_a_process_that_dies_is_not_waited_for():
    with pytest.raises(AnomechError, match="died with exit code 3"):
        IN_OWN_PROCESS(os._exit, 3)


def test_an_error_in_another_process_keeps_its_traceback(tmp_path):
    receiver, sender = Pipe(duplex=False)
    speed._send(sender, speed.run, (tmp_path / "missing", speed.forward))
    error = receiver.recv()
    assert isinstance(error, FileNotFoundError)
    assert "in run" in error.__notes__[0]


def test_naive_gradients_are_those_of_autograd(scene):
    task = scene.task
    found = peers.NaiveGradients().extract(task, scene.inputs[torch.arange(3)], folder=None)
    for row, x, target in zip(found.only_layer, scene.inputs.x, found.predictions, strict=False):
        outputs = task.model(x[None])
        gradients = torch.autograd.grad(task.evidence(outputs, target[None]), list(task.model.parameters()))
        expected = torch.cat([g.flatten() for g in gradients])
        torch.testing.assert_close(row, expected / expected.norm(), rtol=1e-4, atol=1e-6)


def test_devinterp_collects_the_losses_of_the_models_own_predictions(scene):
    pytest.importorskip("devinterp")
    task = scene.task
    before = task.model_sha256()
    timings, losses = peers.devinterp(task, scene.trusted, scene.inputs, SHORT, draws=3)
    assert losses.shape == (len(scene.inputs), 3)
    start = task.losses(task.model, scene.inputs, task.predict(scene.inputs))
    torch.testing.assert_close(losses[:, 0], start, rtol=0.3, atol=0.1)
    assert (len(timings.steps), len(timings.traces)) == (2, 3)
    assert task.model_sha256() == before


def test_devinterp_is_compared_draw_for_draw(scene):
    pytest.importorskip("devinterp")
    row = speed.devinterp(scene, sampler=RMSpropSGLD.paper(), draws=2)
    assert row["extrapolated"]
    assert row["draw_over_ours"] > 0
    assert row["forward_equivalents"] == 1751
