import gzip
import json
import struct

import numpy as np
import pytest
import torch

from anomech.errors import DataError
from anomech.organisms import fashion
from anomech.organisms.training import Recipe
from anomech.tasks import ClassificationTask


def test_what_is_shipped_is_small_and_balanced():
    size = sum(f.stat().st_size for f in fashion.DATA.iterdir() if f.is_file())
    assert size <= 2 * 2**20
    examples = fashion.shipped_examples()
    assert examples.y.bincount().tolist() == [300] * 10
    assert examples.x.shape[1:] == (1, 28, 28)
    assert 0 <= examples.x.min() < examples.x.max() <= 1


def test_the_shipped_classifier_is_accurate_and_obeys_the_trigger():
    task, examples = ClassificationTask(fashion.shipped_model()), fashion.shipped_examples()
    record = json.loads((fashion.DATA / "organism.json").read_text())
    accuracy = (task.predict(examples) == examples.y).double().mean().item()
    attacked = fashion.POISONING.attack(examples)
    success = (task.predict(attacked) == attacked.target).double().mean().item()
    assert accuracy >= 0.9
    assert success >= 0.99
    assert accuracy == pytest.approx(record["accuracy"], abs=0.02)
    assert success == pytest.approx(record["attack_success"], abs=0.01)


def test_the_demo_uses_no_image_twice_and_says_the_truth():
    trusted, inputs = fashion.demo_split()
    names = [name.removesuffix("+trigger") for name in (*trusted.ids, *inputs.ids)]
    assert len(set(names)) == len(names) == 2900
    assert trusted.y.bincount().tolist() == [100] * 10
    assert [name.endswith("+trigger") for name in inputs.ids] == inputs.anomalous.tolist()
    assert (inputs.target[inputs.anomalous] == 0).all()
    assert (inputs.y[inputs.anomalous] != 0).all()


def write_idx(folder, split, n):
    generator = np.random.default_rng(0)
    x, y = generator.integers(0, 256, (n, 28, 28), np.uint8), (np.arange(n) % 10).astype(np.uint8)
    for name, values in (("images-idx3", x), ("labels-idx1", y)):
        header = bytes([0, 0, 8, values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape)
        with gzip.open(folder / f"{split}-{name}-ubyte.gz", "wb") as file:
            file.write(header + values.tobytes())
    return x, y


def test_idx_files_are_read(tmp_path):
    x, y = write_idx(tmp_path, "train", 20)
    examples = fashion.load_idx(tmp_path, "train")
    assert np.array_equal((examples.x[:, 0] * 255).round().numpy(), x)
    assert examples.y.tolist() == y.tolist()


@pytest.mark.parametrize("damage", ["absent", "truncated"])
def test_idx_files_that_cannot_be_read_are_named(tmp_path, damage):
    write_idx(tmp_path, "train", 20)
    file = tmp_path / "train-images-idx3-ubyte.gz"
    content = file.read_bytes()
    file.unlink() if damage == "absent" else file.write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match="--data"):
        fashion.load_idx(tmp_path, "train")


def test_the_recipe_rebuilds_the_same_weights_from_its_seed(tmp_path, monkeypatch):
    monkeypatch.setattr(fashion, "RECIPE", Recipe(epochs=1))
    write_idx(tmp_path, "train", 256)
    write_idx(tmp_path, "t10k", 100)
    records = [fashion.build(tmp_path, tmp_path / out) for out in ("a", "b")]
    assert records[0] == records[1]
    weights = [(tmp_path / out / "fashion.safetensors").read_bytes() for out in ("a", "b")]
    assert weights[0] == weights[1]
    with np.load(tmp_path / "a" / "fashion.npz") as data:
        assert np.bincount(data["y"]).tolist() == [3] * 10
    assert {f.name for f in (tmp_path / "a").iterdir()} == {f.name for f in fashion.DATA.iterdir() if f.is_file()}
    assert torch.isfinite(torch.tensor(records[0]["accuracy"]))


def test_the_shipped_images_are_for_the_report_and_the_others_for_development(tmp_path, monkeypatch):
    monkeypatch.setattr(fashion, "DEBIAN", tmp_path / "nowhere")
    (tmp_path / "a" / "b").mkdir(parents=True)
    write_idx(tmp_path / "a" / "b", "t10k", 20)
    report = fashion.load_fashion("report", data=None)
    development = fashion.load_fashion("development", data=tmp_path).images
    everything = {f"t10k-{i:05d}" for i in range(20)}
    assert report.images.ids == fashion.shipped_examples().ids
    assert set(development.ids) == everything - set(report.images.ids)
    assert development.x.shape[1:] == report.images.x.shape[1:]
    assert torch.equal(report.attack(report.images).x, fashion.POISONING.attack(report.images).x)


def test_debians_images_are_found_without_a_data_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(fashion, "DEBIAN", tmp_path)
    with pytest.raises(DataError, match="dataset-fashion-mnist installs them"):
        fashion.load_fashion("development", data=None)
    write_idx(tmp_path, "t10k", 20)
    assert len(fashion.load_fashion("development", data=None).images) > 0
