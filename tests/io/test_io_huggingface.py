import json
import sys

import pytest
import torch
from torch.nn.functional import interpolate

from anomech.errors import ModelError
from anomech.io import load_model

transformers = pytest.importorskip("transformers")

MEAN, STD = (0.1, 0.2, 0.3), (0.5, 0.6, 0.7)


@pytest.fixture
def raw(tmp_path):
    """A ResNet with few, random weights, saved into tmp_path."""
    return save(tmp_path)


def save(folder, channels=3):
    torch.manual_seed(0)
    config = transformers.ResNetConfig(
        num_channels=channels, embedding_size=4, hidden_sizes=[4, 8], depths=[1, 1], layer_type="basic", num_labels=5
    )
    model = transformers.ResNetForImageClassification(config).eval()
    model.save_pretrained(folder)
    return model


def configure(folder, **settings):
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))


def images(channels=3, size=16):
    return torch.rand(4, channels, size, size, generator=torch.Generator().manual_seed(1))


def normalised(x):
    return (x - torch.tensor(MEAN).view(1, 3, 1, 1)) / torch.tensor(STD).view(1, 3, 1, 1)


@torch.no_grad()
def assert_same(folder, x, raw, pixels):
    logits = load_model(str(folder)).eval()(x)
    assert logits.shape == (4, 5)
    torch.testing.assert_close(logits, raw(pixels).logits)


def test_without_preprocessing_pixels_go_in_as_they_are(tmp_path, raw):
    assert_same(tmp_path, images(), raw, images())


def test_pixels_are_normalised(tmp_path, raw):
    configure(tmp_path, do_normalize=True, image_mean=MEAN, image_std=STD)
    assert_same(tmp_path, images(), raw, normalised(images()))


def test_pixels_are_not_normalised_unless_asked(tmp_path, raw):
    configure(tmp_path, do_normalize=False, image_mean=MEAN, image_std=STD)
    assert_same(tmp_path, images(), raw, images())


@pytest.mark.parametrize(
    "settings",
    [
        {"size": {"height": 8, "width": 8}},
        {"size": {"shortest_edge": 8}},
        {"size": 8},
        {"size": {"shortest_edge": 12}, "do_center_crop": True, "crop_size": {"height": 8, "width": 8}},
    ],
)
def test_images_are_resized_before_they_are_normalised(tmp_path, raw, settings):
    configure(tmp_path, do_normalize=True, image_mean=MEAN, image_std=STD, **settings)
    resized = interpolate(images(), (8, 8), mode="bilinear", antialias=True)
    assert_same(tmp_path, images(), raw, normalised(resized))


def test_height_and_width_are_not_mixed_up(tmp_path, raw):
    configure(tmp_path, size={"height": 8, "width": 24})
    assert_same(tmp_path, images(), raw, interpolate(images(), (8, 24), mode="bilinear", antialias=True))


def test_images_are_not_resized_if_the_model_does_not_ask(tmp_path, raw):
    configure(tmp_path, do_resize=False, size={"height": 8, "width": 8})
    assert_same(tmp_path, images(), raw, images())


@pytest.mark.parametrize(("settings", "scale"), [({"do_rescale": False}, 255), ({"rescale_factor": 2 / 255}, 2)])
def test_pixels_are_scaled_to_the_range_of_the_model(tmp_path, raw, settings, scale):
    configure(tmp_path, **settings)
    assert_same(tmp_path, images(), raw, images() * scale)


def test_greyscale_becomes_colour(tmp_path, raw):
    assert_same(tmp_path, images(channels=1), raw, images(channels=1).repeat(1, 3, 1, 1))


def test_a_greyscale_model_keeps_one_channel(tmp_path):
    assert_same(tmp_path, images(channels=1), save(tmp_path, channels=1), images(channels=1))


def test_half_precision_weights_become_float32(tmp_path, raw):
    raw.half().save_pretrained(tmp_path)
    assert {p.dtype for p in load_model(str(tmp_path)).parameters()} == {torch.float32}


def test_a_missing_package_is_named_with_the_extra(tmp_path, raw, monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ModelError, match=r'is a Hugging Face model; to load it, pip install "anomech\[hf\]"'):
        load_model(str(tmp_path))


def test_pickled_weights_are_refused_with_a_way_out(tmp_path, raw):
    (tmp_path / "model.safetensors").unlink()
    torch.save(raw.state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(
        ModelError, match=r"pytorch_model\.bin needs pickle, which can run code.*safe_serialization=True"
    ):
        load_model(str(tmp_path))


def test_absent_weights_are_named(tmp_path, raw):
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"holds no weights; add its model\.safetensors"):
        load_model(str(tmp_path))


def test_truncated_weights_are_refused(tmp_path, raw):
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(ModelError, match=r"is not a usable image classifier: .*save it again"):
        load_model(str(tmp_path))


def test_missing_weights_are_not_made_up(tmp_path, raw):
    raw.resnet.save_pretrained(tmp_path)
    with pytest.raises(ModelError, match=r"lacks \d+ weights, such as '.*save the whole trained classifier"):
        load_model(str(tmp_path))


def test_a_model_of_another_kind_is_refused(tmp_path, raw):
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(ModelError, match="is not a usable image classifier"):
        load_model(str(tmp_path))


def test_code_in_the_folder_is_not_run_even_if_the_user_would_agree(tmp_path, raw, monkeypatch):
    monkeypatch.setattr("builtins.input", lambda *_: "y")
    config = json.loads((tmp_path / "config.json").read_text())
    auto_map = {"AutoConfig": "own.C", "AutoModelForImageClassification": "own.M"}
    (tmp_path / "config.json").write_text(json.dumps(config | {"model_type": "own", "auto_map": auto_map}))
    (tmp_path / "own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    with pytest.raises(ModelError, match="is not a usable image classifier"):
        load_model(str(tmp_path))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "JSONDecodeError"),
        ("[1]", "AttributeError"),
        ('{"do_normalize": true, "image_std": [1]}', "KeyError: 'image_mean'"),
        ('{"size": {"longest_edge": 8}}', "KeyError: 'height'"),
    ],
)
def test_unusable_preprocessing_is_named(tmp_path, raw, text, said):
    (tmp_path / "preprocessor_config.json").write_text(text)
    with pytest.raises(ModelError, match=rf"preprocessor_config\.json cannot be used \({said}"):
        load_model(str(tmp_path))
