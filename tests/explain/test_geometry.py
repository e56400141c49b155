import pytest
import torch

from anomech.errors import DataError
from anomech.explain.geometry import compare
from anomech.explain.placement import Placement
from anomech.functional.directions import directions
from anomech.gradients.sharp import SharpDirections

SHARP = SharpDirections(torch.tensor([2.0, 1.0]), torch.eye(40)[:, :2], (40,))


def made(n, share, *, answer=0, seed=0):
    """Placements of inputs whose gradients have about this share of their energy in the two directions."""
    generator = torch.Generator().manual_seed(seed)
    whole = share + 0.02 * torch.randn(n, 1, generator=generator, dtype=torch.float64)
    sketches = directions(torch.randn(n, 8, generator=generator))[0]
    matched = torch.full((n, 2), 0.05, dtype=torch.float64)
    return Placement(torch.cat([whole / 2, whole], 1), matched, sketches, torch.full((n,), answer))


def joined(*parts):
    return Placement(*(torch.cat(values) for values in zip(*(vars(p).values() for p in parts), strict=True)))


@pytest.mark.parametrize(
    ("share", "words"),
    [
        (0.2, "Gradients of anomalous inputs lie in directions flatter for trusted examples than those of clean ones"),
        (0.9, "lie in directions sharper for trusted examples than"),
        (0.7, "lie in directions about as sharp for trusted examples as"),
    ],
)
def test_the_headline_says_which_are_sharper(share, words):
    others = joined(made(30, 0.7), made(20, share, seed=1))
    found = compare(SHARP, made(25, 0.75, seed=2), others, torch.arange(50) >= 30, names=("clean", "anomalous"))
    assert words in found.headline
    assert found.random == (1 / 40, 2 / 40)
    group = found.group("anomalous")
    assert group.inputs == 20
    assert group.sharp.mean[-1] == pytest.approx(share, abs=0.02)
    assert group.sharp.low[-1] < group.sharp.mean[-1] < group.sharp.high[-1]
    assert sum(group.cosines) == pytest.approx(1)


def test_clean_inputs_with_the_answer_of_anomalous_ones_are_a_group_of_their_own():
    others = joined(made(30, 0.7), made(12, 0.8, answer=1), made(20, 0.2, answer=1))
    anomalous = torch.arange(62) >= 42
    found = compare(SHARP, made(25, 0.75), others, anomalous, names=("unflagged", "flagged"))
    names = [group.name for group in found.groups]
    assert names == ["trusted", "unflagged", "flagged", "unflagged, answered like flagged ones"]
    assert found.groups[-1].inputs == 12


def test_without_enough_anomalies_it_tells_of_the_others():
    others = joined(made(30, 0.7), made(9, 0.2))
    found = compare(SHARP, made(25, 0.75), others, torch.arange(39) >= 30, names=("unflagged", "flagged"))
    assert found.anomalous is None
    assert found.headline.startswith("Gradients of unflagged inputs have 69.6 % (")


def test_inputs_without_a_gradient_are_left_out_and_too_few_refused():
    still = made(30, 0.7)
    still.sketches[:21] = 0
    with pytest.raises(
        DataError, match="25 trusted examples and 9 clean inputs have a gradient; 10 of each are needed"
    ):
        compare(SHARP, made(25, 0.75), still, torch.zeros(30, dtype=torch.bool), names=("clean", "anomalous"))
