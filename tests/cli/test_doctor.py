from types import SimpleNamespace

import pytest
import torch

from anomech.cli import doctor
from anomech.detectors import TraceCoupling
from anomech.features import LossTraces
from anomech.sampling import RMSpropSGLD


def test_a_fit_machine(anomech, examples, monkeypatch):
    monkeypatch.setattr(doctor, "demo_split", lambda *, trusted: examples)
    quick = TraceCoupling(features=LossTraces(RMSpropSGLD(chains=1, draws=8, burn_in=1, thin=1)))
    monkeypatch.setitem(doctor.DETECTORS, "sampling", quick)
    result = anomech("doctor")
    assert result.status == 0
    assert result.out.count(", ok") == 2
    assert {line.split()[0] for line in result.out.splitlines()} >= {"python", "anomech", "torch", "device", "threads"}
    assert result.out.split()[-1] == "ok"


@pytest.mark.parametrize(("change", "status"), [(0.9e-3, 0), (1.1e-3, 2)])
def test_scores_that_depend_on_the_batch_size(anomech, monkeypatch, change, status):
    def verdicts(detector, *, batch_size):
        moved = change if batch_size == 7 and isinstance(detector, TraceCoupling) else 0
        return SimpleNamespace(scores=torch.tensor([0.0, 0.5 + moved, 1.0]))

    monkeypatch.setattr(doctor, "_verdicts", verdicts)
    result = anomech("doctor")
    assert result.status == status
    assert ("do not compare runs with different batch sizes" in " ".join(result.out.split())) == bool(status)
