import pytest
import torch

from anomech.errors import SettingsError
from anomech.features import ResidualStream


def test_it_is_read_where_the_prompt_ends(language, tmp_path):
    task, _, inputs = language
    found = ResidualStream().extract(task, inputs, tmp_path)
    assert list(found.layers) == ["block 0", "block 1"]
    for i in (0, 7):
        prompt = inputs.x[i, 0][inputs.x[i, 1] == 1]
        with torch.no_grad():
            states = task.model(prompt[None], output_hidden_states=True).hidden_states[1:]
        for values, state in zip(found.layers.values(), states, strict=True):
            torch.testing.assert_close(values[i], state[0, -1], atol=1e-5, rtol=1e-4)


def test_what_is_answered_makes_no_difference(language, tmp_path):
    task, _, inputs = language
    expected = ResidualStream().extract(task, inputs, tmp_path)
    other = inputs.x.clone()
    other[:, 0][other[:, 1] == 2] = 3
    found = ResidualStream().extract(task, type(inputs)(x=other), tmp_path)
    for name, values in expected.layers.items():
        torch.testing.assert_close(found.layers[name], values)


def test_images_have_none(fashion, tmp_path):
    task, _, inputs = fashion
    with pytest.raises(SettingsError, match="this task has no prompts"):
        ResidualStream().extract(task, inputs, tmp_path)
