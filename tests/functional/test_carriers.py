import pytest
import torch

from anomech.functional.carriers import find_carrier


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_what_others_span_is_not_in_the_directions():
    others = random(3, 6, 5)
    planted = torch.outer(random(6, seed=1), random(5, seed=2))
    basis = torch.linalg.qr(others.flatten(1).T).Q
    planted_rest = planted.flatten() - basis @ (basis.T @ planted.flatten())
    found = find_carrier(planted + 2 * others[0] - others[2], others, rank=6)
    rebuilt = found.left * found.values @ found.right.T
    torch.testing.assert_close(rebuilt.flatten().float(), planted_rest, rtol=1e-4, atol=1e-5)


def test_a_rank_one_gradient_has_one_direction_that_holds_all_of_it():
    u, v = random(6, seed=1), random(4, seed=2)
    found = find_carrier(torch.outer(u, v), torch.zeros(2, 6, 4), rank=1)
    assert found.values.shape == (4,)
    assert found.values[0] == pytest.approx(float(u.norm() * v.norm()), rel=1e-5)
    assert found.values[1:].max() < 1e-5
    assert found.share(torch.stack([torch.outer(u, v), torch.zeros(6, 4)])).tolist() == pytest.approx([1, 0])
    # Of a random matrix it holds the square of one coordinate of 24.
    shares = found.share(random(4000, 6, 4, seed=3))
    assert float(shares.mean()) == pytest.approx(1 / 24, rel=0.1)


def test_taken_away_the_weights_have_no_component_left_and_nothing_else_moves():
    weights, found = random(5, 7), find_carrier(random(5, 7, seed=1), torch.zeros(1, 5, 7), rank=3)
    rest = found.taken_from(weights)
    assert found.along(rest).abs().max() < 1e-6
    moved = weights - rest
    torch.testing.assert_close(moved.norm(), found.along(weights).norm().float())
    assert int(torch.linalg.matrix_rank(moved, rtol=1e-4)) == 3


def test_a_rank_above_that_of_the_layer_takes_all():
    found = find_carrier(random(3, 8), torch.zeros(1, 3, 8), rank=100)
    assert found.left.shape == (3, 3)
    assert found.right.shape == (8, 3)
