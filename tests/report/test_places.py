import pytest
from factories import content, explained

from anomech.report.places import place


@pytest.fixture
def made():
    plain = content()
    return content(explanations=explained(plain))


def test_an_input_that_is_not_explained_has_no_place(made):
    assert place(content(), 0) is None
    (other,) = (i for i in made.verdicts.most_anomalous(4) if made.explanations.of(i) is None)
    assert place(made, other) is None


def test_what_became_of_the_answer_is_told(made):
    first, second, third = (place(made, position) for position in made.explanations.positions.tolist())
    assert (
        first.told
        == "Without these pixels the model says Sandal, and trusted examples vouch for it (p\u00a0=\u00a00.430)."
    )
    assert "the model still says" in second.told
    assert third.told == (
        "Spread out: no few pixels carry it; without the 4 % that add most, 81 % of the anomaly stays."
    )
    assert (len(first.vouchers), third.vouchers) == (3, [])
    assert first.heat.startswith("data:image/png")


def test_an_answer_that_nothing_explains_either_is_told_so(made):
    made.explanations.verdicts.p_values[0] = 0.001
    assert "no trusted example vouches for it" in place(made, int(made.explanations.positions[0])).told


def test_what_more_had_to_go_is_told_after_that(made):
    made.explanations.erased[2] = True
    third = place(made, int(made.explanations.positions[2]))
    assert third.told.startswith("Spread out: no few pixels carry it;")
    assert " stays. Without 3 % of the pixels the model says " in third.told
    assert third.told.endswith("and no trusted example vouches for it (p\u00a0=\u00a00.005).")
    assert len(third.vouchers) == 3
