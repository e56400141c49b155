import torch

from anomech.detectors.offsets import PRIOR_EXAMPLES, ClassOffsets, NeighbourOffsets, nearest, nearest_others

VALUES = torch.tensor([[1.0], [3.0], [8.0], [0.0]])
CLASSES = torch.tensor([2, 2, 7, 2])


def test_a_class_has_the_distance_of_its_shrunk_mean_from_the_mean_of_all():
    found = ClassOffsets.of(VALUES, CLASSES).of_inputs(torch.tensor([7, 2]))
    torch.testing.assert_close(found, torch.tensor([[5 / (1 + PRIOR_EXAMPLES)], [-5 / (3 + PRIOR_EXAMPLES)]]))


def test_classes_of_which_no_example_is_known_have_none():
    found = ClassOffsets.of(VALUES, CLASSES).of_inputs(torch.tensor([0, 3, 9]))
    torch.testing.assert_close(found, torch.zeros(3, 1))


def test_an_example_does_not_move_the_offset_that_it_is_measured_by():
    left_out = ClassOffsets.of(VALUES, CLASSES).left_out
    of_its_class = torch.tensor([[(0 + -3) / (2 + PRIOR_EXAMPLES)], [(-2 + -3) / (2 + PRIOR_EXAMPLES)], [0.0]])
    torch.testing.assert_close(left_out[:3], of_its_class)


def test_one_class_has_no_offset():
    offsets = ClassOffsets.of(torch.randn(50, 3), torch.zeros(50, dtype=torch.int64))
    assert offsets.of_inputs(torch.tensor([0])).abs().max() < 1e-6


def test_an_input_has_the_shrunk_distance_of_its_neighbours_from_the_mean_of_all():
    offsets = NeighbourOffsets.of(VALUES, torch.tensor([[1], [0], [0], [1]]))
    torch.testing.assert_close(offsets.of_inputs(torch.tensor([[1, 2]])), torch.tensor([[5 / (2 + PRIOR_EXAMPLES)]]))
    torch.testing.assert_close(offsets.left_out, torch.tensor([[0.0], [-2], [-2], [0]]) / (1 + PRIOR_EXAMPLES))


def test_the_nearest_are_the_most_strongly_coupled_and_never_the_example_itself():
    coupling = torch.eye(8) - 0.01 * (torch.arange(8) - torch.arange(8)[:, None]).abs()
    assert nearest(coupling)[4].sort().values.tolist() == [2, 3, 4, 5, 6]
    assert nearest_others(coupling)[0].tolist() == [1, 2, 3, 4, 5]
    assert nearest_others(coupling[:3, :3]).shape == (3, 2)
