import errno

import numpy as np
import pytest
import torch

from anomech.errors import StorageError
from anomech.features import row_store
from anomech.features.row_store import RowStore


def filled(n=5):
    """Two batches of a layer that ran once, of one that ran twice in each, and of one that did not run."""
    store = RowStore(n)
    for rows in torch.arange(2.0 * n * 3).view(n, 2, 3).split(3):
        store.add({"once": [rows], "twice": [rows, rows[..., :1]], "never": []})
    return store.layers()


def test_layers_that_gave_one_row_an_input_are_joined():
    layers = filled()
    assert list(layers) == ["once"]
    torch.testing.assert_close(layers["once"], torch.arange(30.0).view(5, 6))


def test_large_ones_are_the_same_on_disk(monkeypatch):
    expected = filled()
    monkeypatch.setattr(row_store, "MOST_IN_MEMORY", 139)
    mapped = []
    monkeypatch.setattr(np, "memmap", lambda *a, kind=np.memmap, **kw: mapped.append(kind(*a, **kw)) or mapped[0])
    layers = filled()
    assert list(layers) == list(expected)
    torch.testing.assert_close(layers["once"], expected["once"])
    assert [values.size for values in mapped] == [30]


def test_a_full_disk_says_where_they_would_go(monkeypatch):
    def full():
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr(row_store, "MOST_IN_MEMORY", 0)
    monkeypatch.setattr(row_store, "TemporaryFile", full)
    with pytest.raises(StorageError, match="another folder with TMPDIR"):
        filled()
