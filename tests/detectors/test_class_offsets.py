import torch

from anomech.detectors.class_offsets import PRIOR_EXAMPLES, ClassOffsets

VALUES = torch.tensor([[1.0], [3.0], [8.0], [0.0]])
CLASSES = torch.tensor([2, 2, 7, 2])


def test_a_class_has_the_distance_of_its_shrunk_mean_from_the_mean_of_all():
    found = ClassOffsets.of(VALUES, CLASSES).for_classes(torch.tensor([7, 2]))
    torch.testing.assert_close(found, torch.tensor([[5 / (1 + PRIOR_EXAMPLES)], [-5 / (3 + PRIOR_EXAMPLES)]]))


def test_classes_of_which_no_example_is_known_have_none():
    found = ClassOffsets.of(VALUES, CLASSES).for_classes(torch.tensor([0, 3, 9]))
    torch.testing.assert_close(found, torch.zeros(3, 1))


def test_an_example_does_not_move_the_offset_that_it_is_measured_by():
    left_out = ClassOffsets.of(VALUES, CLASSES).left_out
    of_its_class = torch.tensor([[(0 + -3) / (2 + PRIOR_EXAMPLES)], [(-2 + -3) / (2 + PRIOR_EXAMPLES)], [0.0]])
    torch.testing.assert_close(left_out[:3], of_its_class)


def test_one_class_has_no_offset():
    offsets = ClassOffsets.of(torch.randn(50, 3), torch.zeros(50, dtype=torch.int64))
    assert offsets.for_classes(torch.tensor([0])).abs().max() < 1e-6
