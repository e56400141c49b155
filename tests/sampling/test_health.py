import math

import pytest
import torch

from anomech.errors import ChainError
from anomech.sampling.health import ChainHealth, chain_health

START = torch.full((5,), 0.1)


def traces(chains=2, draws=200, level=0.2, seed=0):
    noise = torch.randn(chains * draws, generator=torch.Generator().manual_seed(seed)) * 0.01
    return (level + noise).repeat(5, 1)


def test_good_chains_have_nothing_to_say():
    health = chain_health(traces(), START, chains=2, chance_loss=2.3)
    assert health.warnings == []
    assert health.start_loss == pytest.approx(0.1)
    assert health.mean_loss == pytest.approx(0.2, abs=0.01)
    assert (health.chains, health.draws) == (2, 200)
    assert health.effective_draws > 200


def test_each_trouble_is_told_with_its_remedy():
    drifting = chain_health(traces(level=1.5), START, chains=2, chance_loss=2.3)
    assert "more than half of chance" in drifting.warnings[0]
    assert "Raise gamma" in drifting.warnings[0]
    apart = traces()
    apart[:, 200:] += 0.5
    told = " ".join(chain_health(apart, START, chains=2, chance_loss=2.3).warnings)
    assert "have not mixed" in told
    assert "effective draws" in told


@pytest.mark.parametrize("level", [math.nan, math.inf, 2.4])
def test_failed_chains_raise(level):
    with pytest.raises(ChainError, match=r"raise gamma"):
        chain_health(traces(level=level), START, chains=2, chance_loss=2.3)


def test_chains_that_do_not_move_raise():
    with pytest.raises(ChainError, match="hardly differ from the trained one"):
        chain_health(torch.full((5, 400), 0.2), START, chains=2, chance_loss=2.3)


def test_survives_plain_data():
    health = chain_health(traces(draws=5), START, chains=2, chance_loss=math.inf)
    assert ChainHealth.from_plain(vars(health)) == health
