from io import BytesIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from anomech.errors import DataError
from anomech.io import load_examples

X = np.arange(3 * 4 * 5, dtype=np.uint8).reshape(3, 4, 5)


def save_npz(path, **columns):
    np.savez(path, x=X, **columns)
    return path


def test_a_missing_path_is_named_with_what_is_accepted(tmp_path):
    with pytest.raises(DataError, match=r"absent\.npz: no such file or folder.*folder of images.*\.npz.*\.parquet"):
        load_examples(tmp_path / "absent.npz", labelled=False)


def test_an_unknown_type_is_named_with_what_is_accepted(tmp_path):
    (tmp_path / "x.csv").write_text("1,2")
    with pytest.raises(DataError, match=r"x\.csv: files of type '\.csv' are not accepted; give a folder"):
        load_examples(tmp_path / "x.csv", labelled=False)


def test_an_unreadable_file_is_named(tmp_path, monkeypatch):
    path = save_npz(tmp_path / "x.npz")

    def refuse(_):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("anomech.io.data.read_npz", refuse)
    with pytest.raises(DataError, match=r"x\.npz cannot be read.*Permission denied"):
        load_examples(path, labelled=False)


def test_the_suffix_may_be_upper_case(tmp_path):
    assert len(load_examples(save_npz(tmp_path / "x.npz").rename(tmp_path / "X.NPZ"), labelled=False)) == 3


@pytest.mark.parametrize("kind", ["npz", "folder"])
def test_trusted_examples_need_labels(tmp_path, kind):
    path = tmp_path / "x.npz"
    if kind == "npz":
        save_npz(path)
    else:
        path = tmp_path / "flat"
        path.mkdir()
        Image.fromarray(X[0]).save(path / "a.png")
    with pytest.raises(DataError, match=r"trusted examples need labels: give class subfolders, an array `y`"):
        load_examples(path, labelled=True)
    assert load_examples(path, labelled=False).y is None


def test_labels_are_kept_for_inputs_too(tmp_path):
    examples = load_examples(save_npz(tmp_path / "x.npz", y=np.array([0, 1, 2])), labelled=False)
    assert examples.y is not None
    assert examples.y.tolist() == [0, 1, 2]


@pytest.mark.parametrize("wrong", [-1, 3])
def test_the_first_label_out_of_range_is_named(tmp_path, wrong):
    path = save_npz(tmp_path / "x.npz", y=np.array([0, wrong, wrong]), ids=np.array(["a", "b", "c"]))
    with pytest.raises(DataError, match=rf"x\.npz: 2 labels are outside 0\.\.2.*first 'b' with {wrong}"):
        load_examples(path, labelled=True, classes=lambda x: 3)


def test_the_largest_label_may_be_the_last_class(tmp_path):
    path = save_npz(tmp_path / "x.npz", y=np.array([0, 1, 2]))
    assert len(load_examples(path, labelled=True, classes=lambda x: 3)) == 3


def test_nan_pixels_are_refused_with_the_file_and_the_id(tmp_path):
    x = np.zeros((2, 1, 3, 3), np.float32)
    x[1, 0, 0, 0] = np.nan
    np.savez(tmp_path / "x.npz", x=x, ids=np.array(["a", "b"]))
    with pytest.raises(DataError, match=r"x\.npz: 1 of 2 inputs hold NaN.*first 'b'"):
        load_examples(tmp_path / "x.npz", labelled=False)


def test_the_same_pixels_are_equal_whatever_the_kind(tmp_path):
    rgb = np.random.default_rng(0).integers(0, 256, (2, 4, 5, 3), dtype=np.uint8)
    np.savez(tmp_path / "x.npz", x=rgb)
    encoded = []
    (tmp_path / "folder").mkdir()
    for i, pixels in enumerate(rgb):
        Image.fromarray(pixels).save(tmp_path / "folder" / f"{i}.png")
        buffer = BytesIO()
        Image.fromarray(pixels).save(buffer, "PNG")
        encoded.append(buffer.getvalue())
    pq.write_table(pa.table({"image": encoded}), tmp_path / "x.parquet")
    expected = torch.from_numpy(rgb.transpose(0, 3, 1, 2).astype(np.float32) / np.float32(255))
    for name in ("x.npz", "folder", "x.parquet"):
        x = load_examples(tmp_path / name, labelled=False).x
        assert x.dtype == torch.float32
        assert torch.equal(x, expected), name
