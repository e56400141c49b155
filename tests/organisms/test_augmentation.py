import torch
from torch.nn import functional as F

from anomech.organisms.augmentation import flip_and_crop


def test_every_image_is_a_shifted_and_perhaps_mirrored_copy():
    x = torch.rand(40, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    changed = flip_and_crop(x, padding=1, generator=torch.Generator().manual_seed(0))
    padded = F.pad(x, (1, 1, 1, 1))
    crops = torch.stack([padded[..., i : i + 6, j : j + 6] for i in range(3) for j in range(3)])
    candidates = torch.cat([crops, crops.flip(-1)])
    same = (candidates == changed).flatten(2).all(dim=2)
    assert (same.sum(dim=0) == 1).all()
    assert same.any(dim=1).sum() > 10
    assert same[9:].any(dim=0).float().mean() == torch.clamp(same[9:].any(dim=0).float().mean(), 0.25, 0.75)


def test_the_seed_decides_and_the_input_is_kept():
    x = torch.rand(5, 3, 8, 8)
    before = x.clone()
    first, again = (flip_and_crop(x, generator=torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(first, again)
    assert torch.equal(x, before)
    assert first.is_contiguous(memory_format=torch.channels_last)
