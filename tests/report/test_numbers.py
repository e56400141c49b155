import pytest

from anomech.report.numbers import fixed


@pytest.mark.parametrize(("value", "text"), [(1234.5, "1,234.50"), (-0.25, "−0.25"), (-0.001, "0.00"), (0.004, "0.00")])
def test_numbers_read_as_numbers(value, text):
    assert fixed(value, 2) == text
