import numpy as np
import pytest
import torch

from anomech.errors import DataError
from anomech.io.npz import read_npz

FLOATS = np.linspace(0, 1, 2 * 3 * 4 * 5).reshape(2, 3, 4, 5)


@pytest.fixture
def read(tmp_path):
    def save_and_read(**arrays):
        np.savez(tmp_path / "x.npz", **arrays)
        return read_npz(tmp_path / "x.npz")

    return save_and_read


def test_bytes_are_channels_last(read):
    pixels = np.random.default_rng(0).integers(0, 256, (2, 4, 5, 3), dtype=np.uint8)
    x = read(x=pixels).x
    assert x.dtype == torch.float32
    assert x.shape == (2, 3, 4, 5)
    assert x[1, 2, 3, 4] == np.float32(pixels[1, 3, 4, 2]) / np.float32(255)


def test_bytes_without_channels_are_greyscale(read):
    x = read(x=np.full((2, 4, 5), 255, np.uint8)).x
    assert torch.equal(x, torch.ones(2, 1, 4, 5))


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_floats_are_channels_first(read, kind):
    x = read(x=FLOATS.astype(kind)).x
    assert x.dtype == torch.float32
    assert torch.equal(x, torch.from_numpy(FLOATS.astype(kind).astype(np.float32)))


def test_all_fields_are_read(read):
    examples = read(
        x=FLOATS, y=np.array([2, 0], np.uint8), ids=np.array(["a", "bb"]), anomalous=np.array([True, False]),
        target=np.array([1, -1]), other=np.array([1]),
    )  # fmt: skip
    assert examples.ids == ("a", "bb")
    assert examples.y is not None
    assert examples.y.dtype == torch.int64
    assert examples.y.tolist() == [2, 0]
    assert examples.anomalous is not None
    assert examples.anomalous.dtype == torch.bool
    assert examples.anomalous.tolist() == [True, False]
    assert examples.target is not None
    assert examples.target.tolist() == [1, -1]


def test_absent_fields_are_none(read):
    examples = read(x=FLOATS)
    assert (examples.y, examples.anomalous, examples.target) == (None, None, None)
    assert examples.ids == ("0", "1")


def test_inputs_must_be_called_x(read):
    with pytest.raises(DataError, match=r"no array `x`; save the inputs under that name"):
        read(images=FLOATS)


@pytest.mark.parametrize(("low", "high", "said"), [(0, 255, "0 to 255"), (-0.5, 1, "-0.5 to 1")])
def test_floats_out_of_range_are_refused(read, low, high, said):
    x = np.full((2, 1, 2, 2), low, np.float32)
    x[0, 0, 0, 0], x[1, 0, 0, 0] = high, np.nan
    with pytest.raises(DataError, match=rf"ranges from {said}, expected \[0, 1\]; divide 8-bit pixels by 255"):
        read(x=x)


@pytest.mark.parametrize("shape", [(2, 5), (2, 3, 4, 5), (2, 3, 4, 5, 3)])
def test_bytes_of_a_wrong_shape_are_refused(read, shape):
    with pytest.raises(DataError, match=r"uint8 `x` has shape \[2.*expected \[n, height, width\]"):
        read(x=np.zeros(shape, np.uint8))


@pytest.mark.parametrize("shape", [(2, 5), (2, 4, 5), (2, 1, 3, 4, 5)])
def test_floats_of_a_wrong_shape_are_refused(read, shape):
    with pytest.raises(DataError, match=r"float `x` has shape \[2.*expected \[n, channels, height, width\]"):
        read(x=np.zeros(shape))


@pytest.mark.parametrize("kind", [np.int64, np.uint16, np.bool_, np.complex64])
def test_other_types_of_pixels_are_refused(read, kind):
    with pytest.raises(DataError, match=rf"`x` holds values of type {np.dtype(kind)}; expected uint8, or floats"):
        read(x=np.zeros((2, 3, 4, 5), kind))


@pytest.mark.parametrize("name", ["x", "y"])
def test_python_objects_are_refused(read, name):
    with pytest.raises(DataError, match=r"holds Python objects, which need pickle.*save arrays of numbers and strings"):
        read(**{"x": FLOATS, name: np.array([{}, None], object)})


@pytest.mark.parametrize("kept", [0.0, 0.5, 0.99])
def test_a_truncated_archive_is_refused(tmp_path, kept):
    path = tmp_path / "x.npz"
    np.savez(path, x=FLOATS)
    path.write_bytes(path.read_bytes()[: int(kept * path.stat().st_size)])
    with pytest.raises(DataError, match=r"truncated or not an \.npz archive; save it again"):
        read_npz(path)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_damaged_bytes_are_refused(tmp_path, save):
    path = tmp_path / "x.npz"
    save(path, x=np.random.default_rng(0).random((2, 3, 4, 5)))
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 8] = b"damaged!"
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"the file is damaged \(.*save it again"):
        read_npz(path)


def test_a_single_array_is_not_an_archive(tmp_path):
    np.save(tmp_path / "x.npy", FLOATS)
    with pytest.raises(DataError, match=r"not an \.npz archive"):
        read_npz((tmp_path / "x.npy").rename(tmp_path / "x.npz"))


@pytest.mark.parametrize("name", ["y", "target"])
@pytest.mark.parametrize(("wrong", "said"), [(np.nan, "nan"), (np.inf, "inf"), (1.5, "1.5")])
def test_labels_that_are_no_integers_are_named(read, name, wrong, said):
    with pytest.raises(DataError, match=rf"'{name}' must hold integers, but 1 values.*first 'b' with {said}"):
        read(x=FLOATS, ids=np.array(["a", "b"]), **{name: np.array([1.0, wrong])})


@pytest.mark.parametrize(
    ("name", "values", "said"),
    [
        ("y", np.array(["cat", "dog"]), "'y' holds values of type <U3; it must hold integers"),
        ("y", np.array([True, False]), "'y' holds values of type bool; it must hold integers"),
        ("y", np.array([1, 2, 3]), r"'y' has shape \[3\], expected \[2\]"),
        ("y", np.eye(2, dtype=int), r"'y' has shape \[2, 2\], expected \[2\]"),
        ("ids", np.array(["a"]), r"'ids' has shape \[1\], expected \[2\]"),
        ("anomalous", np.array([0, 2]), "'anomalous' holds values of type int64; it must hold True or False"),
        ("target", np.array(["a", "b"]), "'target' holds values of type <U1; it must hold integers"),
    ],
)
def test_fields_of_a_wrong_kind_or_shape_are_refused(read, name, values, said):
    with pytest.raises(DataError, match=said):
        read(x=FLOATS, **{name: values})


def test_no_inputs_are_refused(read):
    with pytest.raises(DataError, match="no examples"):
        read(x=np.zeros((0, 4, 5), np.uint8))
