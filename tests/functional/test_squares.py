import torch

from anomech.functional.squares import heaviest_square, rectangles


def test_the_square_lies_over_the_heaviest_weights_of_each():
    weights = torch.zeros(3, 5, 7)
    weights[0, 3:, 5:] = 1
    weights[1, :2, :2] = 1
    weights[2] = -1
    weights[2, 1:3, 3:5] = 0
    found = heaviest_square(weights, 2)
    assert found.flatten(1).sum(dim=1).tolist() == [4, 4, 4]
    assert found[0, 3:, 5:].all()
    assert found[1, :2, :2].all()
    assert found[2, 1:3, 3:5].all()


def test_a_square_may_be_as_large_as_the_shorter_side():
    weights = torch.zeros(1, 3, 5)
    weights[0, 0, 4] = 1
    assert heaviest_square(weights, 3)[0].any(dim=0).tolist() == [False, False, True, True, True]


def test_rectangles_lie_at_their_corners():
    found = rectangles(torch.tensor([[0, 1], [2, 0]]), (1, 2), torch.Size([4, 3]))
    assert found[0].nonzero().tolist() == [[0, 1], [0, 2]]
    assert found[1].nonzero().tolist() == [[2, 0], [2, 1]]
