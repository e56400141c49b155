import pytest
import torch

from anomech.errors import DataError
from anomech.examples import Examples, concatenate, stratified_split


def test_indexing_keeps_every_field_together():
    examples = Examples(
        x=torch.arange(6.0).view(3, 2),
        y=torch.tensor([5, 6, 7]),
        ids=("a", "b", "c"),
        anomalous=torch.tensor([False, True, False]),
        target=torch.tensor([-1, 0, -1]),
    )
    for chosen in (examples[torch.tensor([2, 1])], examples[torch.tensor([False, True, True])]):
        assert sorted(chosen.ids) == ["b", "c"]
        assert sorted(chosen.y.tolist()) == [6, 7]
        assert sorted(chosen.x[:, 0].tolist()) == [2, 4]
        assert sorted(chosen.target.tolist()) == [-1, 0]


def test_token_ids_stay_integers():
    tokens = torch.tensor([[49151, 2], [3, 4]])
    examples = Examples(x=tokens)
    assert examples.x.dtype == torch.int64
    assert torch.equal(examples[torch.tensor([1])].x, tokens[1:])
    assert examples.sha256() != Examples(x=tokens.flip(0)).sha256()


def test_names_default_to_positions_and_blocks_cover_all():
    examples = Examples(x=torch.zeros(7, 2))
    assert examples.ids == ("0", "1", "2", "3", "4", "5", "6")
    assert [len(b) for b in examples.blocks(3)] == [3, 3, 1]
    assert sum((b.ids for b in examples.blocks(3)), ()) == examples.ids


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"x": torch.zeros(0, 3)}, "no examples"),
        ({"x": torch.zeros(3)}, "no examples"),
        ({"x": torch.zeros(3, 2, dtype=torch.uint8)}, "divide 8-bit images by 255"),
        ({"x": torch.zeros(3, 2), "y": torch.zeros(2)}, "3 inputs but 2 values of 'y'"),
        ({"x": torch.tensor([[0.0], [float("nan")], [float("inf")]])}, "2 of 3 inputs hold NaN .* first '1'"),
    ],
)
def test_what_cannot_be_used_is_refused(fields, message):
    with pytest.raises(DataError, match=message):
        Examples(**fields)


def test_the_hash_depends_on_content_and_not_on_names():
    x = torch.rand(4, 3)
    assert Examples(x=x).sha256() == Examples(x=x.clone(), ids=("a", "b", "c", "d")).sha256()
    assert Examples(x=x).sha256() != Examples(x=x + 1e-6).sha256()
    assert Examples(x=x).sha256() != Examples(x=x.view(4, 1, 3)).sha256()
    assert Examples(x=x).sha256() != Examples(x=x, y=torch.zeros(4).long()).sha256()


def test_concatenation_drops_what_one_side_does_not_know():
    both = concatenate(Examples(x=torch.zeros(2, 1), y=torch.zeros(2)), Examples(x=torch.ones(1, 1)))
    assert both.x.flatten().tolist() == [0, 0, 1]
    assert both.y is None


def test_a_stratified_split_takes_its_share_of_every_class():
    labels = torch.arange(100) % 4
    first, second = stratified_split(labels, 0.2, seed=0)
    assert labels[first].bincount().tolist() == [5, 5, 5, 5]
    assert sorted(torch.cat([first, second]).tolist()) == list(range(100))
    assert torch.equal(first, stratified_split(labels, 0.2, seed=0)[0])
    assert not torch.equal(first, stratified_split(labels, 0.2, seed=1)[0])


def test_token_ids_may_be_of_any_length_and_pixels_may_not():
    tokens = [Examples(x=torch.ones(2, 2, length, dtype=torch.int64)) for length in (3, 5)]
    tokens[0].require_shape_of(tokens[1])
    pixels = [Examples(x=torch.ones(2, 2, length)) for length in (3, 5)]
    for one, other in (pixels, (tokens[0], pixels[0]), (tokens[0], Examples(x=torch.ones(2, 3, 3).long()))):
        with pytest.raises(DataError, match="they must match"):
            one.require_shape_of(other)
