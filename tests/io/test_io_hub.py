import sys

import pytest
from factories import save_language_model

from anomech.errors import ModelError
from anomech.io import load_model
from anomech.io.hub import is_hub_id, local_folder

hub = pytest.importorskip("huggingface_hub")


@pytest.mark.parametrize(
    ("spec", "expected"),
    [("org/model-1.5B", True), ("model", False), ("a.b:c", False), ("a/b/c", False), ("models/net.py", False)],
)
def test_what_a_hub_id_looks_like(spec, expected, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert is_hub_id(spec) == expected
    (tmp_path / "org" / "model-1.5B").mkdir(parents=True)
    assert not is_hub_id("org/model-1.5B")
    assert str(local_folder("org/model-1.5B")) == "org/model-1.5B"


def test_a_model_of_the_hub_is_loaded_without_its_code_and_pickles(tmp_path, monkeypatch):
    asked = {}

    def download(name, *, allow_patterns):
        asked[name] = allow_patterns
        return str(save_language_model(tmp_path / "snapshot"))

    monkeypatch.setattr(hub, "snapshot_download", download)
    assert type(load_model("org/tiny")).__name__ == "LlamaForCausalLM"
    assert not {"*.py", "*.bin", "*.pt", "*"} & set(asked["org/tiny"])


def test_what_the_hub_does_not_give_is_said(monkeypatch):
    def fail(*_, **__):
        raise OSError("no network")

    monkeypatch.setattr(hub, "snapshot_download", fail)
    with pytest.raises(
        ModelError, match=r"no folder org/tiny, and the Hugging Face hub does not give it \(no network\)"
    ):
        load_model("org/tiny")
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ModelError, match=r'no folder org/tiny; .* pip install "anomech\[hf\]"'):
        load_model("org/tiny")
