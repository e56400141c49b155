import torch

from anomech.organisms.triggers import AdditiveTrigger, BlendTrigger, SquareTrigger


def test_the_square_is_white_and_covers_the_published_rows_and_columns():
    x = torch.zeros(2, 3, 32, 32)
    stamped = SquareTrigger()(x)
    assert (stamped[:, :, 27:31, 27:31] == 1).all()
    assert stamped.sum() == 2 * 3 * 16
    assert (x == 0).all()


def test_the_blend_is_the_same_weighted_mean_for_every_image():
    x = torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    pattern = (BlendTrigger(alpha=0.2)(x) - 0.8 * x) / 0.2
    torch.testing.assert_close(pattern, pattern[:1].expand_as(pattern), atol=1e-5, rtol=0)
    assert pattern.min() + 1e-5 >= 0
    assert pattern.max() - 1e-5 <= 1
    assert pattern.std() > 0.2
    assert torch.equal(BlendTrigger()(x), BlendTrigger()(x))
    assert not torch.equal(BlendTrigger()(x), BlendTrigger(seed=1)(x))


def test_a_blended_image_stays_in_the_unit_interval():
    for value in (0.0, 1.0):
        blended = BlendTrigger(alpha=0.5)(torch.full((1, 3, 32, 32), value))
        assert blended.min() >= 0
        assert blended.max() <= 1


def test_the_added_picture_is_clipped():
    pattern = torch.tensor([0.0, 0.5, 1.0]).reshape(1, 1, 3)
    x = torch.full((2, 1, 1, 3), 0.75)
    assert AdditiveTrigger(pattern)(x)[1].flatten().tolist() == [0.75, 1, 1]
    assert (x == 0.75).all()
