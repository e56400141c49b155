import json

import pytest
from factories import save_language_model, save_llama2c

from anomech.bench import bases
from anomech.bench.derived import Tuning
from anomech.bench.setup import LANGUAGE_MODEL, Scene, Setup


@pytest.fixture
def one_scene(fashion, monkeypatch):
    """Suites run on the small split of the shipped organism."""
    task, trusted, inputs = fashion
    monkeypatch.setattr(Setup, "scenes", lambda *args, **sizes: iter([Scene("fashion-badnets", task, trusted, inputs)]))
    return Setup()


@pytest.fixture
def lineages(tmp_path, monkeypatch):
    """A folder of all that the suite of fingerprints reads, in small; what it makes is small too."""
    pytest.importorskip("transformers")
    pytest.importorskip("peft")
    small = Tuning(steps=2, learning_rate=1e-3, batch=2, length=8)
    for name in ("TRAINING", "TUNING", "LARGE"):
        monkeypatch.setattr(bases, name, small)
    monkeypatch.setattr(bases, "SHAPES", {"report": (16, 1, 0), "development": (8, 1, 100)})
    folder = tmp_path / "data"
    save_language_model(folder / LANGUAGE_MODEL)
    save_llama2c(folder)
    (folder / "tinyshakespeare.txt").write_text("to be or not to be the question " * 10)
    for stem in ("clean_500b", "clean_test"):
        rows = [{"instruction": f"Say {i}.", "input": "", "output": f"It is {i}."} for i in range(10)]
        (folder / f"{stem}.json").write_text(json.dumps(rows))
    (folder / "trec").mkdir()
    (folder / "trec" / "train.txt").write_text("\n".join(f"NUM:count How many are the {i} ?" for i in range(20)))
    return folder
