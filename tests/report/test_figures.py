from dataclasses import replace

import numpy as np
import pytest
import torch
from factories import audit, chains

from anomech.report.figures import LARGEST_CURVE, chain_plot, p_value_plot, score_histogram


def names(figure):
    return [trace["name"] for trace in figure["data"]]


def test_histogram_shows_each_group_as_shares():
    verdicts, inputs, _ = audit()
    figure = score_histogram(verdicts, inputs.anomalous)
    assert names(figure) == ["Trusted examples", "Clean inputs", "Anomalous inputs", "Threshold"]
    assert [sum(trace["y"]) for trace in figure["data"][:3]] == pytest.approx([1, 1, 1])
    assert figure["data"][3]["x"] == [verdicts.threshold] * 2


def test_without_truth_there_is_one_group_of_inputs():
    verdicts, _, _ = audit()
    assert names(score_histogram(verdicts, None)) == ["Trusted examples", "Inputs", "Threshold"]
    assert names(p_value_plot(verdicts, None)) == ["Clean inputs, on average", "Inputs"]


def test_a_group_without_members_is_left_out():
    verdicts, inputs, _ = audit(anomalies=0)
    assert "Anomalous inputs" not in names(score_histogram(verdicts, inputs.anomalous))


def test_no_threshold_where_none_is_finite():
    verdicts, _, _ = audit()
    assert "Threshold" not in names(score_histogram(replace(verdicts, fpr=0.0001), None))


def test_the_threshold_of_a_false_discovery_rate_is_the_smallest_flagged_score():
    verdicts = replace(audit()[0], fdr=0.05)
    assert score_histogram(verdicts, None)["data"][-1]["x"][0] == float(verdicts.scores[verdicts.flagged].min())
    none = replace(verdicts, flagged=torch.zeros(len(verdicts), dtype=torch.bool))
    assert "Threshold" not in names(score_histogram(none, None))


def test_p_value_curve_is_the_distribution_function():
    verdicts, _, _ = audit()
    curve = p_value_plot(verdicts, None)["data"][1]
    for x, y in zip(curve["x"][1:-1], curve["y"][1:-1], strict=True):
        # Among equal p-values the curve climbs step by step.
        assert float((verdicts.p_values < x).double().mean()) < y <= float((verdicts.p_values <= x).double().mean())


def test_long_curves_are_thinned():
    verdicts, _, _ = audit(m=3000)
    x = p_value_plot(verdicts, None)["data"][1]["x"]
    assert len(x) == LARGEST_CURVE + 2
    assert np.all(np.diff(x) >= 0)


def test_chain_plot_has_a_line_a_chain_and_the_trained_loss():
    figure = chain_plot(chains())
    assert [len(trace["y"]) for trace in figure["data"]] == [40, 40, 2]
    assert figure["data"][2]["y"] == [0.02, 0.02]
    assert names(figure) == ["Sampled models, one line a chain", "", "Trained weights"]
