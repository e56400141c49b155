import json

import pytest
import torch

from anomech.organisms.fashion import shipped_model

SHIPPED = "anomech.organisms.fashion:shipped_model"
ARCH = "anomech.organisms.models:SmallCNN"
LAYER = """class Last(nn.Module):
    def forward(self, x):
        return {}
return nn.Sequential(shipped(), Last())"""


@pytest.fixture
def geometry(files):
    """The arguments of a small run on the shipped classifier."""

    def arguments(*more, model=SHIPPED, trusted=files / "trusted.npz", inputs=files / "inputs.npz", directions=2):
        options = {"model": model, "trusted": trusted, "inputs": inputs, "directions": directions}
        return "geometry", *(f"--{name}={value}" for name, value in options.items()), *more

    return arguments


@pytest.fixture
def moved(tmp_path):
    """SPEC of a classifier whose first weight differs from the shipped one's."""
    weights = shipped_model().state_dict()
    weights["classifier.weight"][0, 0] += 1
    torch.save(weights, tmp_path / "moved.pt")
    return f"{ARCH}@moved.pt"


def read(tmp_path):
    return json.loads((tmp_path / "anomech-geometry" / "geometry.json").read_text())


def test_sharp_and_flat_and_the_weights_that_carry_the_trigger(anomech, geometry, moved, tmp_path):
    result = anomech(*geometry(f"--base={moved}", "--layers=features.*,classifier"))
    assert result.status == 0, result.err
    found = read(tmp_path)
    assert [group["name"] for group in found["groups"]][:3] == ["trusted", "clean", "anomalous"]
    assert found["random"] == pytest.approx([1 / 33658, 2 / 33658])
    energy = {group["name"]: group["sharp"]["mean"][-1] for group in found["groups"]}
    assert energy["anomalous"] < energy["clean"]
    assert 0 <= found["difference"]["shares"][-1] <= 1
    told = {effect["what"]: effect for effect in found["weights"]["effects"]}
    assert told["attack success"]["before"] == 1
    assert told["attack success"]["after"] < 0.5
    assert told["attack success"]["control"] == 1
    assert [layer["name"] for layer in found["weights"]["layers"]][-1] == "classifier.weight"
    assert found["headline"] in " ".join(result.out.split())
    page = (tmp_path / "anomech-geometry" / "report.html").read_text()
    assert all(f'id="{name}-plot"' in page for name in ("energy", "spectrum", "alignment", "carrier", "direction"))
    assert anomech("run", "anomech-geometry/config.json").status == 0
    assert read(tmp_path) == found


def test_without_the_truth_an_audit_flags_what_is_in_question(anomech, geometry, arrays, save, tmp_path):
    inputs = save("unknown", {name: arrays[1][name] for name in ("x", "ids")})
    result = anomech(*geometry("--fpr=0.05", "--json", inputs=inputs))
    assert result.status == 0, result.err
    found = json.loads(result.out)
    assert [group["name"] for group in found["groups"]][:3] == ["trusted", "unflagged", "flagged"]
    assert found.items() >= read(tmp_path).items()
    assert found["difference"] is None


def test_clean_inputs_alone_have_a_geometry_and_no_carriers(anomech, geometry, files, tmp_path):
    result = anomech(*geometry(inputs=files / "clean.npz"))
    assert result.status == 0, result.err
    assert "Directions of weights are sought where 20 inputs are anomalous." in result.messages
    found = read(tmp_path)
    assert found["anomalous"] is None
    assert found["weights"] is None
    assert found["headline"].startswith("Gradients of clean inputs have ")


def test_bad_input_is_one_sentence(refused, geometry, model, arrays, save):
    refused(
        *geometry("--layers=feature.0"), words=r"no module of the model is called 'feature.0'; did you mean features.0"
    )
    refused(*geometry("--base=" + model("return nn.Linear(3, 3)")), words="the models are of different architectures")
    refused(*geometry(f"--base={SHIPPED}"), words="has the same weights as the model")
    refused(*geometry(directions=10**6), words="1000000 directions of 33,658 weights; take at least 1")
    few = save("few", {name: values[:9] for name, values in arrays[1].items()})
    refused(
        *geometry(inputs=few), words="120 trusted examples and 9 clean inputs have a gradient; 10 of each are needed"
    )
    dead = model(LAYER.format("0 * x"), name="dead")
    refused(*geometry(model=dead), words="no sharp directions: all curvature is zero, as where .* gradients vanish")
    detached = model(LAYER.format("x.detach()"), name="detached")
    refused(*geometry(model=detached), words="the model's output has no gradient; it detaches it")
