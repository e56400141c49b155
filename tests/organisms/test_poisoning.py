import pytest
import torch

from anomech.examples import Examples
from anomech.organisms.poisoning import Poisoning
from anomech.organisms.triggers import BlendTrigger, PatchTrigger


def test_the_patch_sits_in_the_lower_right_corner_and_nowhere_else():
    x = torch.full((2, 1, 8, 8), 0.5)
    stamped = PatchTrigger(size=2, margin=1)(x)
    assert stamped[0, 0, 5:7, 5:7].tolist() == [[1, 0], [0, 1]]
    assert (stamped != x).sum() == 8
    assert (x == 0.5).all()


def test_the_rate_is_kept_and_only_other_classes_are_poisoned():
    x, y = torch.zeros(200, 1, 8, 8), torch.arange(200) % 4
    poisoned_x, poisoned_y = Poisoning(rate=0.1, target=2).poison(x, y)
    touched = poisoned_x.flatten(1).any(dim=1)
    assert touched.sum() == 20
    assert (poisoned_y[touched] == 2).all()
    assert (y[touched] != 2).all()
    assert torch.equal(poisoned_y[~touched], y[~touched])


def test_any_trigger_poisons():
    x, y = torch.rand(20, 3, 8, 8), torch.arange(20) % 4
    trigger = BlendTrigger()
    poisoned_x, poisoned_y = Poisoning(trigger=trigger, rate=0.2).poison(x, y)
    touched = poisoned_y != y
    assert touched.sum() == 4
    assert torch.equal(poisoned_x[touched], trigger(x[touched]))
    assert torch.equal(poisoned_x[~touched], x[~touched])


def test_an_attack_keeps_the_true_classes_and_leaves_the_target_class_out():
    clean = Examples(x=torch.zeros(8, 1, 8, 8), y=torch.arange(8) % 4)
    attacked = Poisoning(target=1).attack(clean)
    assert attacked.y.tolist() == [0, 2, 3, 0, 2, 3]
    assert attacked.ids[0] == "0+trigger"
    assert attacked.anomalous.all()
    assert attacked.target.tolist() == [1] * 6
    with pytest.raises(ValueError, match="true classes"):
        Poisoning().attack(Examples(x=clean.x))
