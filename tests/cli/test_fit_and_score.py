import json
import shutil

import pytest
from safetensors.torch import load_file, save_file

from anomech.auditor import Auditor
from anomech.detectors import MaxSoftmax
from anomech.organisms.fashion import shipped_model
from anomech.tasks import ClassificationTask

FAST = ("--set=draws=3", "--set=burn_in=1", "--set=thin=1", "--set=chains=1", "--fpr=0.05")


@pytest.mark.parametrize(
    "settings",
    [(*FAST, "--detector=sampling"), (*FAST, "--detector=sampling", "--set=keep=seed"), ("--detector=max-softmax",)],
)
def test_fit_and_score_equal_audit(anomech, audit, files, fit, verdicts, settings):
    whole = anomech(*audit(out="whole"), *settings)
    anomech(*fit(), *settings)
    halves = anomech("score", "--auditor", "auditor", "--inputs", files / "inputs.npz", "--out", "halves")
    assert verdicts("halves").equals(verdicts("whole"))
    assert halves.status == whole.status


def test_fit_writes_a_whole_artefact(fitted):
    config = json.loads((fitted / "config.json").read_text())
    assert (config["format"], config["run"]["command"]) == (1, "fit")
    assert {path.name for path in fitted.iterdir()} == {"config.json", "trusted.safetensors", "features"}
    assert not list(fitted.parent.glob(".*"))


def test_the_exit_status_of_score_tells_whether_anomalies_were_found(anomech, files, fit):
    anomech(*fit(detector="mahalanobis", set="layer=output", fpr=0.05))
    score = ("score", "--auditor", "auditor", "--inputs")
    assert anomech(*score, files / "inputs.npz").status == 1
    assert anomech(*score, files / "clean.npz").status == 0


def test_score_prints_json(anomech, files, fitted):
    result = anomech("score", "--auditor", fitted, "--inputs", files / "clean.npz", "--json")
    assert json.loads(result.out)["n_inputs"] == 20


def test_an_auditor_that_the_library_saved_is_scored_with_the_model_given(anomech, examples, files, model):
    Auditor(ClassificationTask(shipped_model()), MaxSoftmax()).fit(examples[0]).save("saved")
    score = ("score", "--auditor", "saved", "--inputs", files / "clean.npz")
    assert anomech(*score, "--model", model("return shipped()")).status == 0


def test_score_leaves_the_auditor_as_it_was(anomech, files, fitted):
    before = {path: path.read_bytes() for path in fitted.rglob("*") if path.is_file()}
    anomech("score", "--auditor", fitted, "--inputs", files / "inputs.npz")
    assert {path: path.read_bytes() for path in fitted.rglob("*") if path.is_file()} == before


def truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def change_format(auditor):
    config = json.loads((auditor / "config.json").read_text())
    (auditor / "config.json").write_text(json.dumps({**config, "format": 2}))


def change_trusted(auditor):
    tensors = load_file(auditor / "trusted.safetensors")
    save_file({**tensors, "x": 1 - tensors["x"]}, auditor / "trusted.safetensors")


def without(name):
    def change(auditor):
        config = json.loads((auditor / "config.json").read_text())
        del config[name]
        (auditor / "config.json").write_text(json.dumps(config))

    return change


ENTRIES = ("files", "detector", "model_sha256", "trusted_ids", "health")
SHARD = "features/draws-00000.safetensors"
NO_RUN = "config.json does not record a run .*; give the config.json of a run"
DAMAGED = "auditor is damaged: {} is missing or has changed; fit the auditor again"

DAMAGE = {
    "no trusted examples": (lambda a: (a / "trusted.safetensors").unlink(), DAMAGED.format("trusted.safetensors")),
    "truncated trusted examples": (
        lambda a: truncate(a / "trusted.safetensors"),
        DAMAGED.format("trusted.safetensors"),
    ),
    "other trusted examples": (change_trusted, DAMAGED.format("trusted.safetensors")),
    "no draws": (lambda a: (a / SHARD).unlink(), DAMAGED.format(SHARD)),
    "truncated draws": (lambda a: truncate(a / SHARD), DAMAGED.format(SHARD)),
    "no config": (lambda a: (a / "config.json").unlink(), NO_RUN),
    "truncated config": (lambda a: truncate(a / "config.json"), NO_RUN),
    "another format": (change_format, "has format 2, this version reads 1; fit again"),
    "nothing": (shutil.rmtree, NO_RUN),
    **{f"no {name}": (without(name), f"lacks '{name}'; fit the auditor again") for name in ENTRIES},
}


@pytest.mark.parametrize(("damage", "words"), DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_auditor_is_refused(refused, files, fitted, damage, words):
    damage(fitted)
    refused("score", "--auditor", fitted, "--inputs", files / "inputs.npz", words=words)


def test_a_result_is_no_auditor(anomech, refused, audit, files):
    anomech(*audit())
    refused("score", "--auditor", "out", "--inputs", files / "inputs.npz", words="fit (the auditor )?again")


@pytest.mark.parametrize("body", ["torch.nn.init.zeros_(model.classifier.bias)", "model.classifier.bias.data += 1e-6"])
def test_an_auditor_of_another_model_is_refused(refused, files, fitted, model, body):
    other = model(f"model = shipped()\n{body}\nreturn model")
    score = ("score", "--auditor", fitted, "--inputs", files / "inputs.npz")
    refused(*score, "--model", other, words="was fitted on another model; give that model, or fit on this one")


def test_a_model_that_changed_since_is_refused(anomech, refused, files, fit, model):
    anomech(*fit(model=model("return shipped()"), detector="max-softmax"))
    model("model = shipped()\nmodel.classifier.bias.data += 1\nreturn model")
    refused("score", "--auditor", "auditor", "--inputs", files / "inputs.npz", words="was fitted on another model")


def test_the_auditor_is_no_place_for_the_results(refused, files, fitted):
    score = ("score", "--auditor", fitted, "--inputs", files / "inputs.npz")
    refused(*score, "--out", "./auditor", words="--out is the auditor itself; choose another folder")


def test_inputs_of_another_shape_than_the_trusted_examples_are_refused(refused, arrays, fitted, save):
    smaller = save("smaller", {"x": arrays[1]["x"][:, 2:, 2:]})
    words = r"inputs have shape \[1, 26, 26\], trusted examples \[1, 28, 28\]; they must match"
    refused("score", "--auditor", fitted, "--inputs", smaller, words=words)
