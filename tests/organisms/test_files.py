import numpy as np
import pytest

from anomech.errors import DataError
from anomech.organisms.files import find_file, load_arrays


def test_a_file_is_found_at_any_depth_of_the_first_folder_that_holds_it(tmp_path):
    for folder in ("b/deep/er", "c"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "weights.pth").touch()
    folders = [tmp_path / name for name in ("a", "b", "c")]
    assert find_file("weights.pth", *folders, what="weights") == tmp_path / "b/deep/er/weights.pth"


def test_a_missing_file_is_named_with_its_origin(tmp_path):
    with pytest.raises(DataError, match=r"no weights\.pth in .* or .*nowhere or below: weights of X, published by Y\."):
        find_file("weights.pth", tmp_path, tmp_path / "nowhere", what="weights of X, published by Y")


@pytest.mark.parametrize("damage", ["truncated", "garbage", "lacking"])
def test_arrays_that_cannot_be_read_are_named(tmp_path, truncate, damage):
    path = tmp_path / "images.npz"
    np.savez(path, x=np.arange(1000), **({} if damage == "lacking" else {"y": np.arange(1000)}))
    if damage == "truncated":
        truncate(path)
    if damage == "garbage":
        path.write_bytes(b"not an archive")
    with pytest.raises(DataError, match=r"images\.npz is damaged or lacks x, y"):
        load_arrays(path, "x", "y")
