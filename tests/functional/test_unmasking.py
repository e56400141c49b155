import numpy as np
import pytest
import torch
from scipy import stats

from anomech.errors import DataError, SettingsError
from anomech.functional.unmasking import diff_roar, rank_pixels, two_way_interval, unmask

X = torch.arange(1.0, 9).view(2, 1, 2, 2)
ATTRIBUTION = torch.tensor([[[0.1, -0.9], [0.5, 0.3]], [[4.0, 3.0], [2.0, 1.0]]])
RANKS = rank_pixels(ATTRIBUTION, seed=0)


def test_ranks_by_hand():
    assert RANKS.tolist() == [[[0, 3], [2, 1]], [[3, 2], [1, 0]]]


def test_ranks_are_those_of_scipy():
    attribution = torch.randn(20, 4, 5, generator=torch.Generator().manual_seed(0))
    expected = stats.rankdata(attribution.abs().flatten(1), axis=1) - 1
    assert torch.equal(rank_pixels(attribution, seed=0).flatten(1), torch.from_numpy(expected).int())


@pytest.mark.parametrize(
    ("share", "keep", "expected"),
    [
        (0.25, "top", [[0, 2, 0, 0], [5, 0, 0, 0]]),
        (0.5, "top", [[0, 2, 3, 0], [5, 6, 0, 0]]),
        (0.5, "bottom", [[1, 0, 0, 4], [0, 0, 7, 8]]),
        (0.001, "bottom", [[1, 0, 0, 0], [0, 0, 0, 8]]),
        (1, "top", [[1, 2, 3, 4], [5, 6, 7, 8]]),
        (1, "bottom", [[1, 2, 3, 4], [5, 6, 7, 8]]),
    ],
)
def test_pixels_of_largest_or_smallest_magnitude_are_kept(share, keep, expected):
    kept = unmask(X, RANKS, share=share, keep=keep)
    assert kept.flatten(1).tolist() == expected


def test_a_pixel_is_kept_in_all_channels():
    kept = unmask(X.expand(2, 3, 2, 2), RANKS, share=0.25, keep="top")
    assert torch.equal(kept, unmask(X, RANKS, share=0.25, keep="top").expand(2, 3, 2, 2))


def test_pixels_that_count_the_same_are_ranked_at_random():
    x, nothing = torch.ones(2000, 1, 2, 5), torch.zeros(2000, 2, 5)
    ranks = rank_pixels(nothing, seed=0)
    top, bottom = (unmask(x, ranks, share=0.3, keep=keep) for keep in ("top", "bottom"))
    assert (top.sum((1, 2, 3)) == 3).all()
    assert not (top * bottom).any()
    torch.testing.assert_close(top.mean(0), torch.full((1, 2, 5), 0.3), atol=0.04, rtol=0)
    assert torch.equal(ranks, rank_pixels(nothing, seed=0))
    assert not torch.equal(ranks, rank_pixels(nothing, seed=1))


@pytest.mark.parametrize("share", [0, -0.1, 1.01, float("nan")])
def test_a_share_outside_its_range_is_refused(share):
    with pytest.raises(SettingsError, match="above 0 and at most 1; got"):
        unmask(X, RANKS, share=share, keep="top")


def test_what_is_no_attribution_is_refused():
    with pytest.raises(DataError, match=r"one value a pixel, \[n, h, w\]; got shape \[2, 1, 2, 2\]"):
        rank_pixels(ATTRIBUTION[:, None], seed=0)
    for bad in (torch.nan, torch.inf):
        with pytest.raises(DataError, match="1 of 2 images hold NaN or infinity"):
            rank_pixels(ATTRIBUTION.index_fill(0, torch.tensor([1]), bad), seed=0)


@pytest.mark.parametrize("ranks", [RANKS[:1], RANKS[:, :1], RANKS[:, None]])
def test_ranks_of_other_images_are_refused(ranks):
    with pytest.raises(DataError, match=r"images \[2, 1, 2, 2\] and attributions .* do not belong together"):
        unmask(X, ranks, share=0.5, keep="top")


def test_the_difference_of_accuracies_and_its_interval():
    top = torch.tensor([[True, True, True, False], [True, True, False, False]])
    bottom = torch.tensor([[True, False, False, False], [False, False, False, False]])
    found = diff_roar(top, bottom)
    assert found.value == 4 / 8
    assert 0 <= found.low < found.value < found.high <= 1
    assert diff_roar(top, top) == (0, 0, 0)


def test_of_one_seed_the_interval_is_that_of_scipy():
    values = torch.randn(1, 300, generator=torch.Generator().manual_seed(0))
    ours = two_way_interval(values, resamples=4000)
    theirs = stats.bootstrap((values[0].numpy(),), np.mean, n_resamples=4000, method="percentile", rng=0)
    assert ours == pytest.approx(tuple(theirs.confidence_interval), abs=0.01)


def test_seeds_that_disagree_widen_the_interval():
    agreeing = torch.eye(2).repeat(2, 50)
    low, high = two_way_interval(agreeing)
    assert high - low < 0.3
    low, high = two_way_interval(torch.tensor([[0.0], [1.0]]).expand(2, 100))
    assert (low, high) == (0, 1)


def test_accuracies_of_other_images_are_refused():
    right = torch.ones(2, 4, dtype=torch.bool)
    for other in (right[:, :3], right[0], right[:1]):
        with pytest.raises(DataError, match=r"same shape that are not empty; got \[2, 4\]"):
            diff_roar(right, other)
    with pytest.raises(DataError, match="not empty"):
        diff_roar(right[:, :0], right[:, :0])
