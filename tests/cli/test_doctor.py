from types import SimpleNamespace

import pytest
import torch

from anomech.cli import doctor
from anomech.sampling import RMSpropSGLD


def test_a_fit_machine(anomech, examples, monkeypatch):
    monkeypatch.setattr(doctor, "demo_split", lambda *, trusted: examples)
    monkeypatch.setattr(doctor, "RMSpropSGLD", lambda **_: RMSpropSGLD(chains=1, draws=8, burn_in=1, thin=1))
    result = anomech("doctor")
    assert result.status == 0
    assert {line.split()[0] for line in result.out.splitlines()} >= {"python", "anomech", "torch", "device", "threads"}
    assert result.out.split()[-1] == "ok"


@pytest.mark.parametrize(("change", "status"), [(0.9e-3, 0), (1.1e-3, 2)])
def test_scores_that_depend_on_the_batch_size(anomech, monkeypatch, change, status):
    def verdicts(*, batch_size):
        return SimpleNamespace(scores=torch.tensor([0.25, 0.5 + (change if batch_size == 7 else 0)]))

    monkeypatch.setattr(doctor, "_verdicts", verdicts)
    result = anomech("doctor")
    assert result.status == status
    assert ("do not compare runs with different batch sizes" in " ".join(result.out.split())) == bool(status)
