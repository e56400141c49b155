import pytest
import torch

from anomech.errors import SettingsError
from anomech.gradients import sharp
from anomech.gradients.sharp import sharp_directions


def test_they_are_the_top_of_a_full_decomposition(curved):
    task, trusted, exact = curved
    found = sharp_directions(task, trusted, count=4)
    values, vectors = torch.linalg.eigh(exact.double())
    torch.testing.assert_close(found.eigenvalues.double(), values.flip(0)[:4], rtol=1e-3, atol=1e-5)
    rows = torch.randn(6, 51, generator=torch.Generator().manual_seed(0))
    exactly = (rows.double() @ vectors.flip(1)[:, :4]).square()
    torch.testing.assert_close(found.along(rows).square(), exactly, rtol=1e-2, atol=1e-3)


def test_energies_are_those_of_each_parameter(curved):
    found = sharp_directions(*curved[:2], count=2)
    assert found.sizes == (24, 6, 18, 3)
    rows = torch.zeros(2, 51)
    rows[0, :24], rows[1, 50] = 0.5, 3.0
    assert found.energies(rows).tolist() == [[6, 0, 0, 0], [0, 0, 0, 9]]


def test_the_matched_share_is_the_mean_over_random_vectors_with_these_norms(curved):
    found = sharp_directions(*curved[:2], count=4)
    norms = torch.tensor([2.0, 0.0, 1.0, 3.0])
    generator = torch.Generator().manual_seed(0)
    pieces = [torch.randn(3000, n, generator=generator) for n in found.sizes]
    drawn = torch.cat([norm * p / p.norm(dim=1, keepdim=True) for norm, p in zip(norms, pieces, strict=True)], dim=1)
    mean = found.along(drawn).square().mean(0)
    torch.testing.assert_close(found.matched(norms.square()[None].double())[0], mean, rtol=0.1, atol=0.01)


def test_the_model_is_left_alone(curved):
    task, trusted, _ = curved
    before = task.model_sha256()
    sharp_directions(task, trusted, count=2)
    assert task.model_sha256() == before


def test_short_memory_is_said_before_the_search(curved, monkeypatch):
    monkeypatch.setattr(sharp.psutil, "virtual_memory", lambda: type("", (), {"available": 100}))
    with pytest.raises(SettingsError, match=r"2 directions of 51 weights take .*take fewer with --directions"):
        sharp_directions(*curved[:2], count=2)


def test_more_directions_than_weights_are_refused_whatever_memory_is_free(curved):
    with pytest.raises(SettingsError, match=r"1000000000000 directions of 51 weights; take at least 1, and fewer"):
        sharp_directions(*curved[:2], count=10**12)
