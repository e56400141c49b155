import json

import pytest

pytestmark = pytest.mark.usefixtures("small_demo")

FIGURES = {
    "auroc",
    "auroc_low",
    "auroc_high",
    "tpr_at_fpr_1",
    "tpr_at_fpr_5",
    "der",
    "realised_fpr_1",
    "asr",
    "accuracy",
    "seconds",
    "forward_equivalents",
    "peak_memory_mb",
}


def test_the_demo_writes_verdicts_figures_report_and_settings(anomech, tmp_path, verdicts):
    result = anomech("demo", "--detector", "max-softmax")
    out = tmp_path / "anomech-demo"
    assert result.status == 0
    assert {path.name for path in out.iterdir()} == {"verdicts.parquet", "metrics.json", "report.html", "config.json"}
    table = verdicts(out)
    assert table.column_names == ["id", "prediction", "score", "p_value", "flagged", "vouchers", "layers"]
    assert table.num_rows == 40
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics.keys() >= FIGURES
    assert all(isinstance(metrics[name], float) for name in FIGURES)
    assert metrics["asr"] == 1.0
    assert [baseline["detector"] for baseline in metrics["baselines"]] == ["mahalanobis", "max-softmax"]
    assert "40 inputs, 20 with the trigger" in result.out
    assert "anomech-demo/report.html" in result.out
    assert not list(tmp_path.glob(".*"))


def test_the_demo_samples(anomech, verdicts):
    fast = ("--set=draws=3", "--set=burn_in=1", "--set=thin=1", "--set=chains=1")
    assert anomech("demo", "--detector", "sampling", *fast, "--fpr", "0.1", "--out", "here").status == 0
    assert verdicts("here").num_rows == 40


def test_the_demo_couples_gradients(anomech):
    answer = json.loads(anomech("demo", "--fpr", "0.1", "--json").out)
    assert answer["detector"] == "gradient"
    assert answer["forward_equivalents"] == 3
    assert answer["auroc"] > 0.9


def test_json_is_all_that_stands_on_standard_output(anomech):
    result = anomech("demo", "--detector", "max-softmax", "--json")
    answer = json.loads(result.out)
    assert answer.keys() >= FIGURES | {"headline", "out", "flagged", "anomalies_found"}
    assert result.status == 0


def test_the_demo_exits_0_though_it_finds_anomalies(anomech):
    result = anomech("demo", "--detector", "mahalanobis", "--set=layer=output", "--fpr", "0.05", "--json")
    assert json.loads(result.out)["anomalies_found"]
    assert result.status == 0


def test_a_false_discovery_rate_decides_in_place_of_the_false_positive_rate(anomech, tmp_path):
    result = anomech("demo", "--detector", "mahalanobis", "--set=layer=output", "--fdr", "0.1")
    assert "false-discovery rate of 10 %" in result.messages + result.out
    assert json.loads((tmp_path / "anomech-demo" / "config.json").read_text())["run"]["calibrator"]["fdr"] == 0.1
    assert result.status == 0
