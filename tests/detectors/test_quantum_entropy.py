import pytest

from anomech.detectors import QuantumEntropy
from anomech.errors import SettingsError


@pytest.mark.parametrize("alpha", [-1.0, float("nan"), float("inf")])
def test_a_negative_alpha_is_refused(alpha):
    with pytest.raises(SettingsError, match="alpha must be a number of at least 0"):
        QuantumEntropy(alpha=alpha)
