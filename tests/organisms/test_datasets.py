from io import BytesIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from anomech.errors import DataError
from anomech.organisms.datasets import DATASETS, load_cifar10, load_gtsrb


def test_jpeg_files_become_images(cifar10):
    train, test = (load_cifar10(cifar10, split) for split in ("train", "test"))
    assert (len(train), test.x.shape) == (40, (80, 3, 32, 32))
    assert train.ids[1] == "train-00001"
    assert test.y[:6].tolist() == [0, 0, 1, 1, 2, 2]
    torch.testing.assert_close(test.x.mean(dim=(1, 2, 3)), torch.arange(80) * 3 / 255, atol=0.01, rtol=0)


def test_signs_become_images(gtsrb):
    train = load_gtsrb(gtsrb, "train")
    assert train.x.shape == (172, 3, 32, 32)
    assert train.y.unique().tolist() == list(range(43))
    assert train.ids[0] == "train-00000"


def test_images_that_cannot_be_read_are_named(cifar10, truncate):
    file = cifar10 / "cifar10_jpeg.npz"
    truncate(file)
    with pytest.raises(DataError, match=r"cifar10_jpeg\.npz is damaged"):
        load_cifar10(cifar10, "test")
    file.unlink()
    with pytest.raises(DataError, match=r"there is no cifar10_jpeg\.npz in .*CIFAR-10"):
        load_cifar10(cifar10, "test")


def test_offsets_must_fit_the_labels(cifar10):
    file = cifar10 / "cifar10_jpeg.npz"
    with np.load(file) as archive:
        arrays = dict(archive)
    np.savez(file, **{**arrays, "test_offsets": arrays["test_offsets"][:-1]})
    with pytest.raises(DataError, match="80 test_offsets for 80 labels"):
        load_cifar10(cifar10, "test")


@pytest.mark.parametrize("name", DATASETS)
def test_every_network_takes_the_images_of_its_dataset(name):
    dataset = DATASETS[name]
    channels, side = (1, 28) if name == "fashion" else (3, 32)
    assert dataset.name == name
    assert dataset.model().eval()(torch.rand(2, channels, side, side)).shape == (2, dataset.classes)
    assert dataset.target < dataset.classes


def picture(shade, side=40, mode="RGB"):
    file = BytesIO()
    Image.fromarray(np.full((side, side, 3), shade, np.uint8)).convert(mode).save(file, "PNG")
    return file.getvalue()


def test_class_folders_of_its_name_take_the_place_of_the_published_file(cifar10):
    for label in range(10):
        folder = cifar10 / "images" / "cifar10" / "test" / f"{label}-name"
        folder.mkdir(parents=True)
        (folder / "a.png").write_bytes(picture(20 * label, side=30 + label))
    found = DATASETS["cifar10"].load(cifar10, "test")
    assert found.y.tolist() == list(range(10))
    torch.testing.assert_close(found.x, (torch.arange(10) * 20 / 255)[:, None, None, None].expand(10, 3, 32, 32))
    assert len(DATASETS["cifar10"].load(cifar10, "train")) == 40


def test_a_hugging_face_dataset_is_read_shard_by_shard(tmp_path):
    folder = tmp_path / "gtsrb" / "data"
    folder.mkdir(parents=True)
    for shard in range(2):
        cells = [{"bytes": picture(5 * label), "path": None} for label in (shard, 42)]
        table = pa.table({"image": cells, "label": [shard, 42]})
        pq.write_table(table, folder / f"train-0000{shard}-of-00002.parquet")
    found = DATASETS["gtsrb"].load(tmp_path, "train")
    assert found.y.tolist() == [0, 42, 1, 42]
    assert found.ids == ("train-00000", "train-00001", "train-00002", "train-00003")
    assert found.x.shape == (4, 3, 32, 32)


def test_shards_that_are_missing_or_damaged_are_named(tmp_path):
    (tmp_path / "gtsrb").mkdir()
    pq.write_table(pa.table({"image": [picture(1)], "label": [1]}), tmp_path / "gtsrb" / "train-00000-of-00002.parquet")
    with pytest.raises(DataError, match="1 of 2 files"):
        DATASETS["gtsrb"].load(tmp_path, "train")
    table = pa.table({"image": [b"no image"], "label": [1]})
    pq.write_table(table, tmp_path / "gtsrb" / "train-00001-of-00002.parquet")
    with pytest.raises(DataError, match=r"train-00001-of-00002\.parquet: 'row 0'"):
        DATASETS["gtsrb"].load(tmp_path, "train")


@pytest.mark.parametrize(
    ("mode", "labels", "words"),
    [("L", [0, 1], r"shape \[1, 32, 32\], not \[3, 32, 32\]"), ("RGB", [0, 43], "need labels from 0 to 42")],
)
def test_images_of_another_dataset_are_refused(tmp_path, mode, labels, words):
    (tmp_path / "gtsrb").mkdir()
    table = pa.table({"image": [picture(label, mode=mode) for label in labels], "label": labels})
    pq.write_table(table, tmp_path / "gtsrb" / "train-00000-of-00001.parquet")
    with pytest.raises(DataError, match=words):
        DATASETS["gtsrb"].load(tmp_path, "train")
