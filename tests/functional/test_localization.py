import numpy as np
import pytest
import torch
from sklearn.neighbors import KernelDensity

from anomech.functional.localization import (
    area_under,
    centre_of_mass,
    centres,
    concentration,
    density,
    energy_in_mask,
    is_centred_on,
    overlap,
    points_at_centre,
    precision,
    removal_curve,
    top_places,
)


def masked(*cells, shape=(4, 5)):
    mask = torch.zeros(1, *shape, dtype=torch.bool)
    for cell in cells:
        mask[(0, *cell)] = True
    return mask


def test_the_highest_share_of_places_is_taken():
    values = torch.tensor([[[3.0, 1.0], [2.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]]])
    assert top_places(values, 0.5)[0].tolist() == [[True, False], [True, False]]
    assert top_places(values, 0.5)[1].tolist() == [[True, True], [False, False]]
    assert top_places(values, 0.01).flatten(1).sum(dim=1).tolist() == [1, 1]


def test_places_that_do_not_count_are_not_among_the_highest():
    values = torch.tensor([[9.0, 1.0, 2.0, 3.0], [1.0, 9.0, 9.0, 9.0]])
    among = torch.tensor([[False, True, True, True], [True, False, False, False]])
    assert top_places(values, 0.5, among=among, fewest=2).int().tolist() == [[0, 0, 1, 1], [1, 0, 0, 0]]


def test_places_of_a_text_are_ranked_as_pixels_are():
    assert top_places(torch.tensor([[0.1, 0.9, 0.5]]), 1 / 3).tolist() == [[False, True, False]]


def test_energy_counts_what_is_positive():
    values = torch.tensor([[[3.0, 1.0], [-5.0, 0.0]]])
    mask = torch.tensor([[[True, False], [True, False]]])
    assert energy_in_mask(values, mask).tolist() == [0.75]
    assert energy_in_mask(-values.abs(), mask).tolist() == [0]


def test_one_value_everywhere_is_as_concentrated_as_chance():
    assert concentration(torch.ones(1, 10, 10), 0.05).item() == pytest.approx(0.05)
    assert concentration(torch.zeros(1, 10, 10), 0.05).tolist() == [0]
    point = torch.zeros(1, 10, 10)
    point[0, 3, 3] = 2
    assert concentration(point, 0.05).tolist() == [1]


def test_overlap_is_that_of_as_many_places_as_the_mask_has():
    mask = masked((0, 0), (0, 1))
    values = torch.zeros(1, 4, 5)
    values[0, 0, 1] = 2
    values[0, 3, 3] = 1
    assert overlap(values, mask).item() == pytest.approx(1 / 3)
    assert overlap(mask.float(), mask).tolist() == [1]
    assert overlap(values, masked()).tolist() == [0]


def test_the_centre_of_an_even_patch_lies_between_four_pixels_and_of_an_odd_one_in_one():
    assert centres(masked((1, 1), (1, 2), (2, 1), (2, 2)))[0].nonzero().tolist() == [[1, 1], [1, 2], [2, 1], [2, 2]]
    assert centres(masked((0, 0), (0, 1), (0, 2)))[0].nonzero().tolist() == [[0, 1]]
    assert not centres(masked()).any()


def test_pointing_at_the_centre_takes_more_than_pointing_at_the_patch():
    patch = masked(*((r, c) for r in range(3) for c in range(3)), shape=(10, 10))
    values = torch.zeros(2, 10, 10)
    values[0, 1, 1] = values[1, 0, 0] = 1
    assert points_at_centre(values, patch.expand(2, -1, -1), 0.01).tolist() == [True, False]


def test_the_centre_of_mass_is_that_of_what_is_positive():
    values = torch.zeros(2, 4, 5)
    values[0, 1, 1], values[0, 1, 4], values[0, 3, 3] = 2, 1, -7
    assert centre_of_mass(values)[0].tolist() == [1, 2]
    assert centre_of_mass(values)[1].isnan().all()
    assert centre_of_mass(torch.tensor([[0.0, 1.0, 0.0, 3.0]])).tolist() == [[2.5]]


def test_a_ring_has_its_centre_where_it_is_not():
    ring = masked((1, 1), (1, 3), (3, 1), (3, 3), shape=(10, 10))
    values = torch.zeros(4, 10, 10)
    values[0] = ring[0]
    values[1, 1, 1] = values[1, 3, 3] = 1
    values[2, 1, 1] = 1
    assert is_centred_on(values, ring.expand(4, -1, -1), 0.01).tolist() == [True, True, False, False]
    assert points_at_centre(values, ring.expand(4, -1, -1), 0.01).tolist() == [False] * 4
    assert is_centred_on(values, ring.expand(4, -1, -1), 0.1).tolist() == [True, True, True, False]


def test_a_map_of_nothing_is_centred_nowhere():
    corner = masked((0, 0))
    assert not is_centred_on(torch.zeros(1, 4, 5), corner, 1.0).any()
    assert is_centred_on(corner.float(), corner, 0.05).all()


def test_what_counts_is_gone_early_when_removed_and_there_early_when_inserted():
    weights = torch.tensor([[[4.0, 3.0], [2.0, 1.0]]])
    shares = (0.0, 0.25, 0.5, 1.0)

    def left(hidden):
        return (weights * ~hidden).sum(dim=(1, 2))

    assert removal_curve(weights, shares, left).tolist() == [[10, 6, 3, 0]]
    assert removal_curve(weights, shares, left, inserted=True).tolist() == [[0, 4, 7, 10]]
    worst = removal_curve(-weights, shares, left)
    assert (area_under(removal_curve(weights, shares, left), shares) < area_under(worst, shares)).all()


def test_the_area_under_a_line_is_its_mean():
    assert area_under(torch.tensor([[0.0, 0.5, 1.0]]), (0.0, 0.5, 1.0)).item() == pytest.approx(0.5)


def test_precision_is_the_share_of_the_highest_places_in_the_mask():
    values = torch.arange(10.0).expand(2, 10)
    mask = torch.zeros(2, 10, dtype=torch.bool)
    mask[0, 9] = mask[1, 8:] = True
    assert precision(values, mask, 0.2).tolist() == [0.5, 1.0]


def test_the_density_of_places_is_that_of_an_oracle():
    places = torch.rand(2, 6, 9, generator=torch.Generator().manual_seed(0)) > 0.7
    grid = np.argwhere(np.ones((6, 9)))
    for one, found in zip(places, density(places, 0.25), strict=True):
        oracle = KernelDensity(bandwidth=0.25 * 6).fit(one.nonzero().numpy())
        expected = np.exp(oracle.score_samples(grid)).reshape(6, 9)
        np.testing.assert_allclose(found / found.sum(), expected / expected.sum(), rtol=1e-9)


def test_the_densest_place_of_a_ring_is_its_middle_though_no_part_of_it():
    ring = masked(*[(i, j) for i in range(5) for j in range(5) if {i, j} & {0, 4}], shape=(5, 5))
    assert not ring[0, 2, 2]
    assert density(ring, 0.5)[0].flatten().argmax() == 12
    assert density(ring, 0.05)[0].flatten().argmax() != 12
