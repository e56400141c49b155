import math

import pytest
from factories import audit, counted


def test_the_table_has_one_row_an_input_and_names_its_vouchers():
    verdicts, inputs, trusted = audit()
    table = verdicts.to_table()
    assert table.column_names == ["id", "prediction", "score", "p_value", "flagged", "vouchers", "layers"]
    row = table.to_pylist()[7]
    assert row["id"] == inputs.ids[7]
    assert row["flagged"] == (row["p_value"] <= 0.01)
    assert [layer["layer"] for layer in row["layers"]][:2] == ["middle", "late"]
    assert [v["id"] for v in row["vouchers"]] == [trusted.ids[j] for j in verdicts.voucher_positions[7].tolist()]


@pytest.mark.parametrize(("flagged", "found"), [(0, False), (10, False), (14, False), (40, True)])
def test_anomalies_are_more_flags_than_the_accepted_rate_explains(flagged, found):
    assert counted(flagged, 1000).anomalies_found == found


def test_one_flagged_input_of_one_is_an_anomaly():
    assert counted(1, 1).anomalies_found
    assert counted(1, 1).chance == pytest.approx(0.01, abs=0.001)


def test_any_discovery_counts_under_false_discovery_control():
    assert counted(1, 1000, fdr=0.05).anomalies_found
    assert not counted(0, 1000, fdr=0.05).anomalies_found


def test_too_few_trusted_examples_have_no_threshold():
    assert counted(0, 10, n=50).threshold == math.inf
    assert not counted(0, 10, n=50).anomalies_found


def test_layers_that_are_not_unusual_are_not_named():
    verdicts, *_ = audit()
    usual = verdicts.by_layer.amax(dim=1).argmin()
    assert verdicts.least_explained(int(usual)) == []
    assert counted(1, 5).least_explained(0) == []
