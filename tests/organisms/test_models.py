import torch

from anomech.organisms.models import CIFAR10_MEAN, CIFAR10_STD, IBAUNet, ResNet


def test_the_residual_network_has_the_promised_size_and_shape():
    model = ResNet().eval()
    assert 300_000 <= sum(p.numel() for p in model.parameters()) <= 320_000
    assert model(torch.rand(2, 3, 32, 32)).shape == (2, 10)


def test_normalisation_is_inside():
    x = torch.rand(2, 3, 16, 16)
    torch.manual_seed(0)
    raw = ResNet(widths=(4, 8), mean=(0, 0, 0), std=(1, 1, 1)).eval()
    torch.manual_seed(0)
    normalising = ResNet(widths=(4, 8)).eval()
    mean, std = (torch.tensor(v)[:, None, None] for v in (CIFAR10_MEAN, CIFAR10_STD))
    torch.testing.assert_close(normalising(x), raw((x - mean) / std))


def test_the_published_architecture_has_the_published_names():
    state = IBAUNet().state_dict()
    assert state["features.19.weight"].shape == (128, 128, 3, 3)
    assert state["features.20.running_mean"].shape == (128,)
    assert state["classifier.weight"].shape == (43, 2048)
    assert len(state) == 44
    assert IBAUNet().eval()(torch.rand(2, 3, 32, 32)).shape == (2, 43)
