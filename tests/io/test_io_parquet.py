from io import BytesIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from anomech.errors import DataError
from anomech.io.parquet import read_parquet

PIXELS = np.random.default_rng(0).integers(0, 256, (2, 4, 5), dtype=np.uint8)


def png(pixels):
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


PNGS = [png(p) for p in PIXELS]
STRUCTS = [{"bytes": data, "path": None} for data in PNGS]


@pytest.fixture
def read(tmp_path):
    def save_and_read(columns):
        pq.write_table(pa.table(columns), tmp_path / "x.parquet")
        return read_parquet(tmp_path / "x.parquet")

    return save_and_read


@pytest.mark.parametrize(
    "columns",
    [
        {"image": PNGS},
        {"image": STRUCTS},
        {"img": STRUCTS},
        {"image": pa.array(PNGS, pa.large_binary())},
        {"picture": STRUCTS, "caption": ["a", "b"], "meta": [{"a": 1}, {"a": 2}]},
        {"mask": PNGS[::-1], "image": STRUCTS},
    ],
)
def test_the_image_column_is_found(read, columns):
    assert torch.equal(read(columns).x, torch.from_numpy(PIXELS)[:, None] / 255)


@pytest.mark.parametrize("label", ["label", "y"])
def test_all_fields_are_read(read, label):
    examples = read({"image": STRUCTS, label: [3, 1], "id": ["a", "b"], "anomalous": [True, False], "target": [7, -1]})
    assert examples.ids == ("a", "b")
    assert examples.y is not None
    assert examples.y.tolist() == [3, 1]
    assert examples.anomalous is not None
    assert examples.anomalous.tolist() == [True, False]
    assert examples.target is not None
    assert examples.target.tolist() == [7, -1]


def test_integer_ids_become_strings(read):
    assert read({"image": STRUCTS, "id": [10, 20]}).ids == ("10", "20")


def test_absent_fields_are_none(read):
    examples = read({"image": STRUCTS})
    assert (examples.y, examples.anomalous, examples.target) == (None, None, None)
    assert examples.ids == ("0", "1")


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"image": ["a.png", "b.png"], "label": [0, 1]}, r"0 columns.*\['image', 'label'\]"),
        ({"left": PNGS, "right": PNGS}, r"2 columns.*\['left', 'right'\]"),
        ({"image": PNGS, "img": PNGS}, r"2 columns.*\['image', 'img'\]"),
    ],
)
def test_no_or_several_image_columns_are_listed(read, columns, said):
    with pytest.raises(DataError, match=said):
        read(columns)


@pytest.mark.parametrize("cell", [None, {"bytes": None, "path": "b.png"}])
def test_images_that_are_not_embedded_are_named(read, cell):
    with pytest.raises(DataError, match=r"row 1 has no image bytes; embed"):
        read({"image": [STRUCTS[0], cell]})


def test_a_truncated_image_is_named(read):
    with pytest.raises(DataError, match=r"'row 1' is truncated or not an image"):
        read({"image": [PNGS[0], PNGS[1][:40]]})


def test_a_missing_label_is_named(read):
    with pytest.raises(DataError, match=r"'y' must hold integers, but 1 values are missing.*'b' with nan"):
        read({"image": PNGS, "id": ["a", "b"], "label": [1, None]})


def test_labels_that_are_text_are_refused(read):
    with pytest.raises(DataError, match=r"'y' holds values of type object; it must hold integers"):
        read({"image": PNGS, "label": ["cat", "dog"]})


def test_two_columns_of_labels_are_refused(read):
    with pytest.raises(DataError, match="both columns `label` and `y`"):
        read({"image": PNGS, "label": [0, 1], "y": [0, 1]})


def test_no_rows_are_refused(read):
    with pytest.raises(DataError, match="no images"):
        read({"image": pa.array([], pa.binary())})


@pytest.mark.parametrize("kept", [0.0, 0.5, 0.99])
def test_a_truncated_file_is_refused(tmp_path, kept):
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"image": PNGS}), path)
    path.write_bytes(path.read_bytes()[: int(kept * path.stat().st_size)])
    with pytest.raises(DataError, match=r"truncated or not parquet.*write or download it again"):
        read_parquet(path)


def test_damaged_pages_are_refused(tmp_path):
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"image": PNGS * 50}), path, use_dictionary=False)
    data = bytearray(path.read_bytes())
    data[4:40] = b"\xff" * 36
    path.write_bytes(data)
    with pytest.raises(DataError, match="truncated or not parquet"):
        read_parquet(path)
