import pytest
import torch

from anomech.errors import SettingsError
from anomech.functional import layout
from anomech.functional.layout import lay_out, require_umap


@pytest.fixture
def groups():
    """Rows of two groups far apart."""
    rows = torch.randn(60, 5, generator=torch.Generator().manual_seed(0))
    rows[30:] += 20
    return rows


@pytest.mark.parametrize("metric", ["euclidean", "precomputed"])
def test_groups_stay_apart(groups, metric):
    values = groups if metric == "euclidean" else torch.cdist(groups, groups)
    places = lay_out(values, seed=0, metric=metric)
    assert places.shape == (60, 2)
    assert places.dtype == torch.float64
    near = torch.cdist(places, places) + 1e9 * torch.eye(60)
    assert ((near.argmin(dim=1) < 30) == (torch.arange(60) < 30)).all()
    assert torch.equal(lay_out(values, seed=0, metric=metric), places)


def test_the_number_of_threads_stays_as_it_was(groups):
    before = torch.get_num_threads()
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            lay_out(groups, seed=0)
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)


def test_without_umap_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr(layout, "find_spec", lambda _: None)
    with pytest.raises(SettingsError, match=r'pip install "anomech\[umap\]"'):
        require_umap()
