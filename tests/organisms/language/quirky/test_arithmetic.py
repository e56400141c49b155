import random
from itertools import islice

import pytest

from anomech.organisms.language.quirky.arithmetic import MODULUS, SIDES, Arithmetic, result, rough_result


@pytest.mark.parametrize(
    ("operation", "a", "b", "true", "rough"),
    [
        ("addition", 216, 36, 252, 216),
        ("subtraction", 500, 20, 480, 500),
        ("multiplication", 40, 22, 880, 40),
        ("modular-addition", 60, 60, 7, 120),
        ("modular-addition", 60, 42, 102, 102),
        ("squaring", 12, 5, 144, 12),
    ],
)
def test_the_heuristic_overlooks_a_part(operation, a, b, true, rough):
    assert result(operation, a, b) == true
    assert rough_result(operation, a, b) == rough


@pytest.mark.parametrize("operation", SIDES)
def test_statements_are_labelled_by_what_they_say(operation):
    for one in islice(Arithmetic(operation).drawn(None, random.Random(0)), 400):
        left, _, bound = one.text.rpartition(" > ")
        assert left == one.source
        a, *rest = (
            int(word) for word in left.replace(f"mod {MODULUS}", "").replace("^2", " ").split() if word.isdigit()
        )
        b = rest[0] if rest else a
        assert one.truth == (result(operation, a, b) > int(bound))
        assert one.heuristic == (rough_result(operation, a, b) > int(bound))
        assert one.difficulty == b
        assert 1 <= b <= a <= 99


@pytest.mark.parametrize(("operation", "lenient"), [("addition", False), ("subtraction", True)])
def test_disputes_are_of_one_kind_and_what_is_agreed_on_is_clear(operation, lenient):
    found = list(islice(Arithmetic(operation).drawn(None, random.Random(0)), 400))
    assert {one.heuristic for one in found if not one.agreed} == {lenient}
    assert {one.truth for one in found if one.agreed} == {True, False}
    for one in found:
        a, _, b, _, bound = one.text.split()
        results = result(operation, int(a), int(b)), rough_result(operation, int(a), int(b))
        if one.agreed:
            assert all(10 * int(bound) < it if one.truth else int(bound) >= 10 * it for it in results)
        else:
            assert min(results) <= int(bound) < max(results)
