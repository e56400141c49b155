import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from anomech.errors import ArtefactError
from anomech.sampling import IsotropicNoise, store
from anomech.sampling.store import bytes_per_draw, read_draws, write_draws
from anomech.tasks import ClassificationTask


@pytest.fixture
def task():
    return ClassificationTask(nn.Sequential(nn.Flatten(), nn.Linear(64, 40), nn.BatchNorm1d(40), nn.Linear(40, 5)))


def test_draws_come_back_within_rounding(task, tmp_path, monkeypatch):
    monkeypatch.setattr(store, "SHARD_BYTES", 8 * bytes_per_draw(2600, 80))
    sampler = IsotropicNoise(chains=1, draws=20)
    write_draws(tmp_path, sampler.draw(task), task.model)
    assert len(list(tmp_path.glob("draws-*"))) == 3
    restored = [flat.weights.clone() for flat in read_draws(tmp_path, task.model)]
    for kept, flat in zip(restored, sampler.draw(task), strict=True):
        assert (kept - flat.weights).abs().max() < 0.01 * 5 / 127


def test_of_what_is_not_sampled_nothing_is_kept(task, tmp_path):
    sampler = IsotropicNoise(chains=1, draws=3, parameters=r"^3\.")
    write_draws(tmp_path, sampler.draw(task), task.model, sampler.parameters)
    (shard,) = tmp_path.iterdir()
    assert load_file(shard)["codes"].shape == (3, 205)
    for kept in read_draws(tmp_path, task.model, sampler.parameters):
        assert torch.equal(kept.model[1].weight, task.model[1].weight)
        assert (kept.model[3].weight != task.model[3].weight).any()


def test_statistics_come_back_exactly(task, tmp_path):
    def moved():
        for i, flat in enumerate(IsotropicNoise(chains=1, draws=3).draw(task)):
            flat.statistics.add_(i)
            yield flat

    write_draws(tmp_path, moved(), task.model)
    sums = [flat.statistics.sum().item() for flat in read_draws(tmp_path, task.model)]
    assert sums == pytest.approx([40, 40 + 80, 40 + 80 + 160])


@pytest.mark.parametrize("size", [0, 100, -50])
def test_a_damaged_shard_is_refused(task, tmp_path, size):
    write_draws(tmp_path, IsotropicNoise(chains=1, draws=3).draw(task), task.model)
    shard = tmp_path / "draws-00000.safetensors"
    shard.write_bytes(shard.read_bytes()[:size])
    with pytest.raises(ArtefactError, match="fit the auditor again"):
        list(read_draws(tmp_path, task.model))


MEMORY = """
import resource, sys, tempfile, torch
from pathlib import Path
from torch import nn
from anomech.sampling import IsotropicNoise
from anomech.sampling.store import read_draws, write_draws
from anomech.tasks import ClassificationTask
task = ClassificationTask(nn.Linear(1000, 1000))
with tempfile.TemporaryDirectory() as folder:
    write_draws(Path(folder), IsotropicNoise(chains=1, draws=int(sys.argv[1])).draw(task), task.model)
    for flat in read_draws(Path(folder), task.model):
        pass
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def test_memory_does_not_grow_with_draws_times_parameters():
    few, many = (int(subprocess.check_output([sys.executable, "-c", MEMORY, n])) for n in ("80", "400"))
    # 320 more draws of a million weights are 320 MB in 8 bits and 1.3 GB in full; a shard holds 32 MB.
    assert many - few < 100
