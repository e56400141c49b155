import json

import pytest

SAMPLING = ("--detector=sampling", "--set=draws=3", "--set=burn_in=1", "--set=thin=1", "--set=chains=1", "--fpr=0.05")


def test_an_audit_is_repeated(anomech, audit, tmp_path, verdicts, monkeypatch):
    first = anomech(*audit(), *SAMPLING)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    again = anomech("run", "../out/config.json", "--out", "again")
    assert again.status == first.status
    assert verdicts("again").equals(verdicts("../out"))
    assert json.loads((tmp_path / "elsewhere" / "again" / "config.json").read_text()) == json.loads(
        (tmp_path / "out" / "config.json").read_text()
    )


def test_the_results_go_over_the_old_ones(anomech, audit, tmp_path, verdicts):
    anomech(*audit())
    before = verdicts("out")
    (tmp_path / "out" / "verdicts.parquet").unlink()
    anomech("run", "out/config.json")
    assert verdicts("out").equals(before)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_repeated_audit_has_the_status_of_the_first(anomech, audit):
    found = audit(detector="mahalanobis", set="layer=output", fpr=0.05)
    assert anomech(*found).status == anomech("run", "out/config.json").status == 1


@pytest.mark.usefixtures("small_demo")
def test_the_demo_is_repeated(anomech, verdicts):
    anomech("demo", "--detector=max-softmax", "--fpr=0.05", "--out=first")
    assert anomech("run", "first/config.json", "--out", "again").status == 0
    assert verdicts("again").equals(verdicts("first"))


def test_fit_and_score_are_repeated(anomech, files, fitted, tmp_path, verdicts):
    anomech("score", "--auditor", fitted, "--inputs", files / "inputs.npz", "--out", "first")
    assert anomech("run", fitted / "config.json", "--out", "refitted").status == 0
    for name in ("trusted.safetensors", "features/draws-00000.safetensors", "config.json"):
        assert (tmp_path / "refitted" / name).read_bytes() == (fitted / name).read_bytes()
    anomech("score", "--auditor", "refitted", "--inputs", files / "inputs.npz", "--out", "second")
    assert verdicts("second").equals(verdicts("first"))
    anomech("run", "second/config.json")
    assert verdicts("second").equals(verdicts("first"))


NO_RUN = {
    "missing": None,
    "no JSON": "{",
    "a list": "[]",
    "no run": "{}",
    "null run": '{"run": null}',
    "fields missing": '{"run": {"command": "audit"}}',
}


@pytest.mark.parametrize("content", NO_RUN.values(), ids=NO_RUN)
def test_a_file_that_records_no_run(refused, tmp_path, content):
    if content is not None:
        (tmp_path / "config.json").write_text(content)
    refused("run", "config.json", "--out", "out", words="config.json does not record a run .*; give the config.json of")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"command": "dance"}, "the command 'dance', which this version does not know"),
        ({"detector": {"kind": "Oracle"}}, "settings of kind 'Oracle' are not known to this version"),
        ({"detector": {"kind": "MaxSoftmax", "depth": 3}}, "settings of kind 'MaxSoftmax' are not known"),
        ({"calibrator": {"kind": "Calibrator", "fpr": 0}}, "fpr must lie between 0 and 1"),
        ({"trusted": "/no/such.npz"}, "/no/such.npz: no such file"),
    ],
)
def test_a_run_of_another_version(anomech, refused, audit, tmp_path, change, words):
    anomech(*audit())
    path = tmp_path / "out" / "config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps({**config, "run": {**config["run"], **change}}))
    refused("run", path, words=words)
