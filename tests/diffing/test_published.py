import pytest
import torch
from planted import paired, planted_difference

from anomech.diffing.published import PublishedCrosscoder, PublishedDiffSAE
from anomech.functional.isolation import auroc_by_feature


def loss(learnt, pairs):
    rows = learnt.rows(pairs)
    rebuilt = learnt.features(pairs) @ learnt._weights + learnt._decoder_bias
    return float((rows - rebuilt).square().mean())


@pytest.mark.parametrize("kind", [PublishedCrosscoder, PublishedDiffSAE])
def test_it_learns_to_rebuild_rows_by_what_it_encodes_with(kind):
    _, pairs = planted_difference(rows=1000)
    untrained, trained = (kind(count=128, steps=steps, batch=64).fit([pairs]) for steps in (0, 400))
    assert loss(trained, pairs) < 0.9 * loss(untrained, pairs)
    assert trained.features(pairs).min() == 0


def test_a_crosscoder_has_so_many_codes_a_row_and_one_direction_a_model():
    _, pairs = planted_difference(rows=200)
    crosscoder = PublishedCrosscoder(count=128, steps=2, k=5).fit([pairs])
    assert (crosscoder.features(pairs) > 0).sum(dim=1).max() == 5
    assert crosscoder._weights.shape == (128, 64)
    assert torch.equal(crosscoder.tuned_directions, crosscoder._weights[:, 32:])


def test_a_dictionary_of_the_difference_stands_for_directions_of_it():
    _, pairs = planted_difference(rows=200)
    dictionary = PublishedDiffSAE(count=64, steps=2).fit([pairs])
    assert torch.equal(dictionary.tuned_directions, dictionary._weights)
    assert torch.equal(dictionary._weights, PublishedDiffSAE(count=64, steps=2).fit([pairs])._weights)


def test_untrained_features_of_a_large_difference_tell_texts_with_it():
    base = torch.randn(1000, 32, generator=torch.Generator().manual_seed(0))
    tuned = base + 0.1 * torch.randn(1000, 32, generator=torch.Generator().manual_seed(1))
    tuned[:200, 3] += 4
    pairs = paired(base, tuned)
    values = PublishedDiffSAE(count=64, steps=0).fit([pairs]).features(pairs)
    assert auroc_by_feature(values, torch.arange(1000) < 200).max() > 0.95


def test_standardised_rows_are_rebuilt_alike_whatever_their_offset_and_scale():
    _, pairs = planted_difference(rows=500)
    moved = paired(1000 * pairs.base + 500, 1000 * pairs.tuned + 500)
    first, second = (
        PublishedCrosscoder(count=64, steps=20, standardised=True).fit([made]).features(made) for made in (pairs, moved)
    )
    torch.testing.assert_close(first, second, atol=1e-3, rtol=1e-3)
