import pytest
from factories import counted

from anomech.report import headline


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        pytest.param(
            counted(212, 1900),
            "212 of 1,900 inputs were answered by a mechanism that the trusted examples do not explain. "
            "Flagged at a false-positive rate of 1 %, where chance alone would flag about 19.",
            id="anomalies",
        ),
        pytest.param(
            counted(1, 1),
            "1 of 1 inputs was answered by a mechanism that the trusted examples do not explain. "
            "Flagged at a false-positive rate of 1 %, where chance alone would flag less than one.",
            id="one of one",
        ),
        pytest.param(
            counted(14, 1900),
            "Nothing beyond chance: 14 of 1,900 inputs were flagged, about 19 are expected "
            "at a false-positive rate of 1 %.",
            id="chance",
        ),
        pytest.param(
            counted(1, 100),
            "Nothing beyond chance: 1 of 100 inputs was flagged, about 1 is expected at a false-positive rate of 1 %.",
            id="chance, one",
        ),
        pytest.param(
            counted(1, 60, fpr=0.005),
            "Nothing beyond chance: 1 of 60 inputs was flagged, less than one is expected "
            "at a false-positive rate of 0.5 %.",
            id="chance, less than one",
        ),
        pytest.param(
            counted(0, 1900),
            "No input was flagged at a false-positive rate of 1 %, where chance alone would flag about 19.",
            id="none",
        ),
        pytest.param(
            counted(212, 1900, fdr=0.05),
            "212 of 1,900 inputs were answered by a mechanism that the trusted examples do not explain. "
            "Flagged at a false-discovery rate of 5 %, where about 11 of these are expected to be false.",
            id="fdr",
        ),
        pytest.param(
            counted(3, 1900, fdr=0.05),
            "3 of 1,900 inputs were answered by a mechanism that the trusted examples do not explain. "
            "Flagged at a false-discovery rate of 5 %, where less than one of these is expected to be false.",
            id="fdr, few",
        ),
        pytest.param(
            counted(0, 1900, fdr=0.05), "No input was flagged at a false-discovery rate of 5 %.", id="fdr, none"
        ),
        pytest.param(
            counted(0, 1900, n=98),
            "No input can be flagged at a false-positive rate of 1 %. "
            "With 98 trusted examples no p-value can be below 1/99; at least 99 are needed.",
            id="infinite threshold",
        ),
        pytest.param(
            counted(0, 1900, fpr=0.07, n=10),
            "No input can be flagged at a false-positive rate of 7 %. "
            "With 10 trusted examples no p-value can be below 1/11; at least 14 are needed.",
            id="rate that floats cannot hold",
        ),
        pytest.param(
            counted(0, 1900, fdr=0.05, n=10),
            "No input can be flagged at a false-discovery rate of 5 %. "
            "With 10 trusted examples no p-value can be below 1/11; at least 19 are needed.",
            id="fdr, too few trusted",
        ),
    ],
)
def test_headline(verdicts, expected):
    assert headline(verdicts) == expected


def test_nothing_can_be_flagged_exactly_up_to_the_number_that_is_said_to_be_needed():
    assert "can be flagged" in headline(counted(0, 10, n=98))
    assert "was flagged" in headline(counted(0, 10, n=99))


def test_expected_flags_follow_the_steps_between_p_values():
    # With 150 trusted examples p is at most 1 % for one of 151 ranks: 12.6 of 1,900 clean inputs, not 19.
    assert headline(counted(0, 1900, n=150)).endswith("about 13.")
