"""Commands run in this process; `refused` also checks that a failure is one sentence and changes nothing."""

import hashlib
import json
import logging
import os
import re
import sys
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from threadpoolctl import ThreadpoolController

from anomech.cli import demo, runs
from anomech.cli.main import main
from anomech.detectors import Mahalanobis, MaxSoftmax
from anomech.features import Activations
from anomech.organisms.fashion import demo_split

SHIPPED = "anomech.organisms.fashion:shipped_model"
THREADS = ThreadpoolController()


@dataclass(frozen=True)
class Result:
    status: int
    out: str
    err: str

    @property
    def messages(self):
        """Standard error without the line breaks of an 80-column terminal."""
        return " ".join(self.err.split())


@pytest.fixture(autouse=True)
def _alone(tmp_path, monkeypatch):
    """An empty current directory, the log as it was, and little work: one thread."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    logger = logging.getLogger("anomech")
    handlers, level = logger.handlers, logger.level
    with THREADS.limit(limits=1):
        yield
    logger.handlers = handlers
    logger.setLevel(level)


@pytest.fixture
def anomech(capsys, monkeypatch):
    """Run a command line in this process."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["anomech", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            main()
        return Result(stop.value.code or 0, *capsys.readouterr())

    return run


@pytest.fixture
def refused(anomech, tmp_path):
    """Run a command line that must fail, and find these words (regular expressions) in its one sentence."""

    def run(*arguments, words=()):
        before = contents(tmp_path)
        result = anomech(*arguments)
        assert result.status == 2, result
        assert contents(tmp_path) == before
        assert result.err.count("Error: ") == 1, result.err
        assert "Traceback" not in result.err
        sentence = result.err.rstrip().splitlines()[-1]
        assert sentence.startswith("Error: "), result.err
        assert sentence.endswith((".", "?")), sentence
        assert result.out == ""
        for word in [words] if isinstance(words, str) else words:
            assert re.search(word, sentence), f"{word!r} is not in {sentence!r}"

    return run


def contents(folder):
    """Every path below `folder`, and a hash of every file."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None
        for path in folder.rglob("*")
    }


@pytest.fixture(scope="session")
def examples():
    """120 trusted examples of the shipped classifier, 20 clean inputs and 20 with the trigger."""
    trusted, inputs = demo_split(trusted=120)
    clean, triggered = (chosen.nonzero().flatten()[:20] for chosen in (~inputs.anomalous, inputs.anomalous))
    return trusted, inputs[torch.cat([clean, triggered])]


@pytest.fixture
def small_demo(examples, monkeypatch):
    """The demo on these few examples, its baselines on the ten logits."""
    monkeypatch.setattr(runs, "demo_split", lambda seed: examples)
    baselines = (Mahalanobis(features=Activations("output")), MaxSoftmax())
    monkeypatch.setattr(demo, "VISION", replace(demo.VISION, baselines=baselines))


@pytest.fixture
def arrays(examples):
    """What an `.npz` file of the trusted examples and of the inputs holds; change it and `save` it."""
    return tuple(_arrays(e) for e in examples)


def _arrays(examples):
    columns = {name: getattr(examples, name) for name in ("y", "anomalous", "target")}
    pixels = (examples.x[:, 0] * 255).round().to(torch.uint8)
    return {
        "x": pixels.numpy(),
        "ids": np.array(examples.ids),
        **{name: column.numpy() for name, column in columns.items() if column is not None},
    }


@pytest.fixture(scope="session")
def files(examples, tmp_path_factory):
    """`trusted.npz`, `inputs.npz` and `clean.npz`, the inputs without a trigger."""
    folder = tmp_path_factory.mktemp("data")
    trusted, inputs = examples
    for name, e in {"trusted": trusted, "inputs": inputs, "clean": inputs[~inputs.anomalous]}.items():
        np.savez(folder / f"{name}.npz", **_arrays(e))
    return folder


@pytest.fixture
def save(tmp_path):
    """Write arrays into an `.npz` file."""

    def write(name, arrays):
        np.savez(tmp_path / f"{name}.npz", **arrays)
        return tmp_path / f"{name}.npz"

    return write


@pytest.fixture
def write(tmp_path):
    """Write rows into a JSONL file, and give its name."""

    def write(name, rows):
        (tmp_path / name).write_text("\n".join(map(json.dumps, rows)))
        return name

    return write


@pytest.fixture
def audit(files):
    """The arguments of a cheap audit of the shipped classifier, with some of them changed."""
    data = {"trusted": files / "trusted.npz", "inputs": files / "inputs.npz"}
    return partial(command_line, "audit", model=SHIPPED, **data, detector="max-softmax", out="out")


@pytest.fixture
def fit(files):
    """The arguments of a fit of the shipped classifier, with some of them changed."""
    return partial(command_line, "fit", model=SHIPPED, trusted=files / "trusted.npz", detector="noise", out="auditor")


def command_line(command, **options):
    return command, *(f"--{name}={value}" for name, value in options.items())


@pytest.fixture
def model(tmp_path):
    """Write a file whose function `load` has this body, and give its SPEC; `shipped()` is the shipped classifier."""

    def write(body, name="model"):
        lines = "\n".join(f"    {line}" for line in body.splitlines())
        prelude = "import torch\nfrom torch import nn\nfrom anomech.organisms.fashion import shipped_model as shipped\n"
        (tmp_path / f"{name}.py").write_text(f"{prelude}\n\ndef load():\n{lines}\n")
        return f"{tmp_path / name}.py:load"

    return write


@pytest.fixture
def verdicts():
    """The table that a command wrote."""
    return lambda folder: pq.read_table(Path(folder) / "verdicts.parquet")


@pytest.fixture
def fitted(anomech, fit, tmp_path):
    """An auditor of three draws in `auditor`."""
    assert anomech(*fit(fpr=0.05), "--set=draws=3", "--set=chains=1").status == 0
    return tmp_path / "auditor"


@pytest.fixture
def environment(tmp_path):
    """Of a process of its own: one thread, and its temporary files in `tmp`."""
    (tmp_path / "tmp").mkdir()
    return os.environ | {"TMPDIR": str(tmp_path / "tmp"), "OMP_NUM_THREADS": "1"}
