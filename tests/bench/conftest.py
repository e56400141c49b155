import pytest

from anomech.bench.setup import Scene, Setup


@pytest.fixture
def one_scene(fashion, monkeypatch):
    """Suites run on the small split of the shipped organism."""
    task, trusted, inputs = fashion
    monkeypatch.setattr(Setup, "scenes", lambda *args, **sizes: iter([Scene("fashion-badnets", task, trusted, inputs)]))
    return Setup()
