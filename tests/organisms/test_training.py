import pytest
import torch

from anomech.organisms.models import MLP, ResNet
from anomech.organisms.training import Recipe, share_predicted, train


def test_augmented_training_learns_and_repeats():
    y = torch.arange(64) % 2
    x = y[:, None, None, None].float().expand(-1, 3, 16, 16) * 0.8 + 0.1
    recipe = Recipe(epochs=4, batch_size=16, augment=True, channels_last=True)
    runs = []
    for _ in range(2):
        torch.manual_seed(0)
        model = ResNet(classes=2, widths=(4, 8))
        runs.append(list(train(model, x, y, recipe)))
        assert not model.training
    assert runs[0] == runs[1]
    assert runs[0][-1] < runs[0][0]


def test_the_layout_changes_the_speed_and_not_the_result():
    x, y = torch.rand(32, 3, 16, 16, generator=torch.Generator().manual_seed(0)), torch.arange(32) % 10
    losses = []
    for channels_last in (False, True):
        torch.manual_seed(0)
        recipe = Recipe(epochs=2, batch_size=16, channels_last=channels_last)
        losses.append(list(train(ResNet(widths=(4, 8)), x, y, recipe)))
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)


def test_the_share_counts_agreement():
    model = torch.nn.Identity()
    x = torch.eye(4)
    assert share_predicted(model, x, torch.tensor([0, 1, 0, 0])) == 0.5


def test_every_batch_is_replaced_by_what_perturbs_it_and_nothing_else_changes():
    x, y = torch.rand(32, 1, 4, 4, generator=torch.Generator().manual_seed(0)), torch.arange(32) % 2
    recipe = Recipe(epochs=2, batch_size=16)
    training, modes = [], []

    def darker(model, images, classes):
        modes.append(model.training)
        assert torch.equal(torch.stack([y[(x == image).all((1, 2, 3))][0] for image in images]), classes)
        return images / 2

    for images, perturb in ((x, darker), (x / 2, None)):
        torch.manual_seed(0)
        model = torch.nn.Sequential(MLP(pixels=16, classes=4), torch.nn.Dropout(0))
        training.append(list(train(model, images, y, recipe, perturb=perturb)))
    assert training[0] == training[1]
    assert modes == [False] * 4
