import numpy as np
import pytest
import torch
from PIL import Image

from anomech.errors import DataError
from anomech.io.folders import read_folder


def save(path, mode="RGB", size=(5, 4), value=128):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, value if mode != "RGB" else (value, 0, 255)).save(path)


def test_a_flat_folder_has_no_labels_and_sorted_ids(tmp_path):
    save(tmp_path / "b.png", value=0)
    save(tmp_path / "a.PNG", value=51)
    examples = read_folder(tmp_path)
    assert examples.y is None
    assert examples.ids == ("a.PNG", "b.png")
    assert examples.x.shape == (2, 3, 4, 5)
    assert examples.x[:, 0, 0, 0].tolist() == pytest.approx([0.2, 0.0])
    assert torch.all(examples.x[:, 2] == 1)


def test_subfolders_are_classes_in_sorted_order(tmp_path):
    for name in ("dog/1.png", "cat/1.png", "cat/0.png"):
        save(tmp_path / name)
    examples = read_folder(tmp_path, classes=lambda x: 2)
    assert examples.ids == ("cat/0.png", "cat/1.png", "dog/1.png")
    assert examples.y is not None
    assert examples.y.tolist() == [0, 0, 1]
    assert examples.y.dtype == torch.int64


def test_an_empty_subfolder_is_a_class_too(tmp_path):
    save(tmp_path / "dog" / "1.png")
    (tmp_path / "cat").mkdir()
    examples = read_folder(tmp_path)
    assert examples.y is not None
    assert examples.y.tolist() == [1]


def test_integer_names_are_the_classes_whatever_their_number(tmp_path):
    for name in ("7/a.png", "10/a.png", "02/a.png"):
        save(tmp_path / name)
    examples = read_folder(tmp_path, classes=lambda x: 1000)
    assert examples.y is not None
    assert dict(zip(examples.ids, examples.y.tolist(), strict=True)) == {"02/a.png": 2, "10/a.png": 10, "7/a.png": 7}


def test_too_few_named_subfolders_do_not_tell_the_class(tmp_path):
    save(tmp_path / "cat" / "a.png")
    save(tmp_path / "dog" / "a.png")
    with pytest.raises(
        DataError, match=r"2 class subfolders.*'cat'.*10 classes.*name each subfolder by its class index"
    ):
        read_folder(tmp_path, classes=lambda x: 10)


def test_a_symbolic_link_is_a_class_subfolder(tmp_path):
    save(tmp_path / "elsewhere" / "a.png")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "3").symlink_to(tmp_path / "elsewhere")
    examples = read_folder(tmp_path / "data")
    assert examples.ids == ("3/a.png",)


def test_other_and_hidden_files_are_ignored(tmp_path):
    save(tmp_path / "cat" / "a.png")
    for name in ("notes.txt", ".DS_Store", "._a.png", "cat/._a.png", "cat/readme.md", ".cache/b.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"no image")
    examples = read_folder(tmp_path, classes=lambda x: 1)
    assert examples.ids == ("cat/a.png",)


def test_an_empty_folder_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / "cat").mkdir()
    with pytest.raises(DataError, match=r"no images; put some \(\.png.*subfolder per class"):
        read_folder(tmp_path)


def test_images_beside_subfolders_are_refused(tmp_path):
    save(tmp_path / "stray.png")
    save(tmp_path / "cat" / "a.png")
    with pytest.raises(DataError, match=r"'stray\.png' lies beside class subfolders such as 'cat'"):
        read_folder(tmp_path)


def test_a_truncated_image_is_named_by_its_path(tmp_path):
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(tmp_path / "a.png")
    whole = (tmp_path / "a.png").read_bytes()
    (tmp_path / "cat").mkdir()
    (tmp_path / "a.png").rename(tmp_path / "cat" / "a.png")
    (tmp_path / "cat" / "b.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"'cat/b\.png' is truncated or not an image; remove or replace it"):
        read_folder(tmp_path)
