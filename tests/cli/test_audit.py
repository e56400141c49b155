import io
import json
import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from anomech.cli import runs
from anomech.explain import carried, weight_directions
from anomech.explain.mechanisms import Mechanisms
from anomech.organisms.fashion import shipped_model


def as_folder(path, arrays):
    for pixels, name, label in zip(arrays["x"], arrays["ids"], arrays["y"], strict=True):
        (path / str(label)).mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path / str(label) / f"{name}.png")
    return path


def as_parquet(path, arrays):
    def png(pixels):
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "PNG")
        return buffer.getvalue()

    columns = {"image": [png(x) for x in arrays["x"]], "label": arrays["y"], "id": arrays["ids"].tolist()}
    pq.write_table(pa.table(columns), path.with_suffix(".parquet"))
    return path.with_suffix(".parquet")


def by_class(arrays):
    order = np.lexsort((arrays["ids"], arrays["y"]))
    return {name: values[order] for name, values in arrays.items()}


@pytest.mark.parametrize("write", [as_folder, as_parquet])
def test_the_same_pixels_get_the_same_verdicts_from_any_kind_of_file(
    anomech, arrays, audit, save, tmp_path, verdicts, write
):
    trusted, inputs = map(by_class, arrays)
    anomech(*audit(trusted=save("t", trusted), inputs=save("i", inputs), out="npz"))
    anomech(*audit(trusted=write(tmp_path / "ft", trusted), inputs=write(tmp_path / "fi", inputs), out="other"))
    for column in ("p_value", "prediction", "flagged"):
        assert verdicts("npz")[column].equals(verdicts("other")[column])
    assert len(set(verdicts("npz")["p_value"].to_pylist())) > 10


def test_a_checkpoint_is_audited_as_the_model_that_it_came_from(anomech, audit, tmp_path, verdicts):
    torch.save({"model": shipped_model().state_dict()}, tmp_path / "attack_result.pt")
    anomech(*audit(model="anomech.organisms.models:SmallCNN@attack_result.pt", out="checkpoint"))
    anomech(*audit(out="function"))
    assert verdicts("checkpoint").equals(verdicts("function"))
    repeated = anomech("run", "checkpoint/config.json", "--out", tmp_path / "again")
    assert repeated.status in (0, 1)
    assert verdicts("again").equals(verdicts("function"))


@pytest.mark.parametrize(("inputs", "status"), [("inputs", 1), ("clean", 0)])
def test_the_exit_status_tells_whether_anomalies_were_found(anomech, audit, files, inputs, status):
    result = anomech(*audit(inputs=files / f"{inputs}.npz", detector="mahalanobis", fpr=0.05))
    assert result.status == status
    assert ("by a mechanism that the trusted examples do not explain" in " ".join(result.out.split())) == bool(status)


def test_json_is_all_that_stands_on_standard_output(anomech, audit):
    result = anomech(*audit(), "--json")
    answer = json.loads(result.out)
    assert (answer["n_trusted"], answer["n_inputs"], answer["out"]) == (120, 40, "out")
    assert result.status == int(answer["anomalies_found"])


def test_figures_are_measured_only_where_the_truth_is_known(anomech, arrays, audit, save, tmp_path):
    inputs = arrays[1]
    del inputs["anomalous"]
    assert "thresholds set on trusted data alone" in anomech(*audit(out="known")).out
    assert "thresholds set on trusted data alone" not in anomech(*audit(inputs=save("i", inputs), out="not")).out
    known, unknown = (json.loads((tmp_path / out / "metrics.json").read_text()) for out in ("known", "not"))
    assert "auroc" in known
    assert "auroc" not in unknown


def test_a_false_discovery_rate_decides_in_place_of_the_false_positive_rate(anomech, audit, verdicts):
    anomech(*audit(detector="mahalanobis", set="layer=output", fdr=0.5, out="loose"))
    anomech(*audit(detector="mahalanobis", set="layer=output", fdr=1e-6, out="strict"))
    assert sum(verdicts("loose")["flagged"].to_pylist()) > 0
    assert sum(verdicts("strict")["flagged"].to_pylist()) == 0


def test_the_batch_size_changes_no_verdict(anomech, audit, verdicts):
    anomech(*audit(**{"batch-size": 7}, out="seven"))
    anomech(*audit(out="all"))
    seven, everything = verdicts("seven"), verdicts("all")
    assert seven["prediction"].equals(everything["prediction"])
    np.testing.assert_allclose(seven["score"], everything["score"], rtol=1e-3)


def test_too_few_trusted_for_the_rate_is_a_warning_that_says_how_many_are_needed(anomech, audit, verdicts):
    result = anomech(*audit(fpr=0.001))
    assert result.messages.count("at least 999 trusted examples") == 1
    assert result.status == 0
    assert not any(verdicts("out")["flagged"].to_pylist())


def test_an_earlier_result_is_replaced(anomech, audit, tmp_path):
    anomech(*audit(fpr=0.05))
    anomech(*audit(fpr=0.5))
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert json.loads((tmp_path / "out" / "config.json").read_text())["run"]["calibrator"]["fpr"] == 0.5


def test_brackets_in_a_path_are_printed_as_they_are(anomech, audit, refused):
    assert "[b]out[/i]/report.html" in anomech(*audit(out="[b]out[/i]")).out
    refused(*audit(inputs="[b]missing[/i].npz"), words=re.escape("[b]missing[/i].npz: no such file"))


def test_no_false_warning_where_a_false_discovery_rate_decides(anomech, arrays, audit, save, verdicts):
    few = save("few", {name: values[:60] for name, values in arrays[0].items()})
    result = anomech(*audit(trusted=few, detector="mahalanobis", set="layer=output", fdr=0.1))
    assert any(verdicts("out")["flagged"].to_pylist())
    assert "nothing can be flagged" not in result.messages


def test_flagged_images_are_explained_in_report_figures_and_verdicts(anomech, audit, tmp_path, verdicts):
    result = anomech(*audit(explain=2, fpr=0.1, detector="gradient", out="explained"))
    assert "Explaining 2 flagged inputs: 163 forward passes each" in result.messages
    table = verdicts("explained")
    assert table["located"].null_count == len(table) - 2
    assert json.loads((tmp_path / "explained" / "metrics.json").read_text())["explained"] == 2
    page = (tmp_path / "explained" / "report.html").read_text()
    assert page.count('<figure class="place">') == 2


def test_nothing_is_explained_that_was_not_to_be(anomech, audit, tmp_path, verdicts):
    result = anomech(*audit(explain=0, fpr=0.1, detector="gradient", out="plain"))
    assert "Explaining" not in result.messages
    assert "located" not in verdicts("plain").column_names


def test_a_detector_of_a_batch_is_not_asked_for_places(anomech, audit):
    result = anomech(*audit(explain=2, detector="que", out="que"))
    assert result.status == 2
    assert "no place of an input explains its score" in " ".join(result.messages.split())


def test_the_weights_that_carry_a_cluster_are_in_figures_and_report(anomech, audit, monkeypatch, tmp_path):
    clean_then_triggered = torch.arange(40) // 20
    found = Mechanisms(torch.arange(40), torch.rand(40, 2).double(), clean_then_triggered, ((0,), (20,)))
    monkeypatch.setattr(runs, "map_mechanisms", lambda *_: found)
    for module in (carried, weight_directions):
        monkeypatch.setattr(module, "FEWEST", 5)
    anomech(*audit(detector="gradient", fpr=0.01, explain=0), "--map")
    (told,) = json.loads((tmp_path / "out" / "metrics.json").read_text())["weight_directions"]
    assert told["cluster"] == 2
    assert told["still_flagged"] < 0.5
    assert "Weights that carry cluster 2" in (tmp_path / "out" / "report.html").read_text()
