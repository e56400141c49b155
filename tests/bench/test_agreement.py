import pytest

from anomech.bench import agreement
from anomech.bench.setup import Setup
from anomech.sampling import IsotropicNoise


def test_couplings_of_traces_come_closer_to_those_of_gradients_with_draws(monkeypatch):
    monkeypatch.setattr(agreement, "DRAWS", (10, 100))
    monkeypatch.setattr(agreement, "TRUSTED", 60)
    monkeypatch.setattr(agreement, "INPUTS", 60)
    noise = IsotropicNoise(chains=1, draws=100, sigma=0.001)
    monkeypatch.setattr(agreement, "samplers", lambda seed: {"noise": noise})
    few, many = (row["rank_correlation"] for row in agreement.rows(Setup()))
    assert few < many
    assert many == pytest.approx(0.8, abs=0.2)
