import pytest
import torch

from anomech.functional.low_rank import cut_rank


def thin(m, n, rank, seed=0):
    generator = torch.Generator().manual_seed(seed)
    draw = {"generator": generator, "dtype": torch.float64}
    return torch.randn(m, rank, **draw), torch.randn(rank, n, **draw)


@pytest.mark.parametrize("shape", [(30, 20), (20, 30), (6, 40)])
def test_it_is_the_best_approximation_of_that_rank(shape):
    up, down = thin(*shape, rank=5)
    u, s, vh = torch.linalg.svd(up @ down, full_matrices=False)
    left, right = cut_rank(up, down, 2)
    assert (left.shape, right.shape) == ((shape[0], 2), (2, shape[1]))
    assert torch.allclose(left @ right, u[:, :2] * s[:2] @ vh[:2])


def test_nothing_is_lost_of_a_product_of_lower_rank():
    up, down = thin(30, 20, rank=3)
    again = up @ torch.cat([torch.eye(3), torch.ones(3, 2)], dim=1).double()
    left, right = cut_rank(again, torch.cat([down, torch.zeros(2, 20)]), 3)
    assert torch.allclose(left @ right, up @ down)


def test_a_rank_that_is_not_reached_is_not_made_up():
    up, down = thin(30, 20, rank=3)
    left, right = cut_rank(up, down, 8)
    assert (left.shape, right.shape) == ((30, 3), (3, 20))
    assert torch.allclose(left @ right, up @ down)


def test_both_factors_are_of_one_size():
    left, right = cut_rank(*thin(30, 20, rank=5), 4)
    assert torch.allclose(left.norm(dim=0), right.norm(dim=1))
