"""Small made-up files in the layout of the published ones."""

import json
from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image

from anomech.organisms.models import IBAUNet


@pytest.fixture
def gtsrb(tmp_path):
    """A folder with both checkpoints, the watermark and 172 test images, some folders down."""
    folder = tmp_path / "data" / "signs"
    folder.mkdir(parents=True)
    generator = np.random.default_rng(0)
    x = generator.integers(0, 200, (172, 32, 32, 3), np.uint8)
    y = (np.arange(172) // 4).astype(np.uint8)
    np.savez(folder / "gtsrb32.npz", train_x=x, train_y=y, test_x=x, test_y=y)
    Image.fromarray(np.full((32, 32, 3), 51, np.uint8)).save(folder / "trojan_wm.png")
    for name in ("badnets_target8.pth", "trojan_wm_target2.pth"):
        torch.save({"net": IBAUNet().state_dict(), "acc": 97.0, "epoch": 1}, folder / name)
    return tmp_path / "data"


@pytest.fixture
def cifar10(tmp_path):
    """A folder with `cifar10_jpeg.npz`: 40 images to train on and 80 to test."""
    arrays = {}
    for split, n in (("train", 40), ("test", 80)):
        files = [_jpeg(shade=3 * i) for i in range(n)]
        arrays[f"{split}_bytes"] = np.frombuffer(b"".join(files), np.uint8)
        arrays[f"{split}_offsets"] = np.cumsum([0, *map(len, files)])
        arrays[f"{split}_labels"] = (np.arange(n) // 2 % 10).astype(np.uint8)
    folder = tmp_path / "data"
    folder.mkdir(exist_ok=True)
    np.savez(folder / "cifar10_jpeg.npz", **arrays)
    return folder


@pytest.fixture
def texts(tmp_path):
    """A folder with 12 instructions, one twice, and 30 questions of three types."""
    instructions, trec = tmp_path / "data" / "instructions", tmp_path / "data" / "trec"
    instructions.mkdir(parents=True)
    trec.mkdir()
    rows = [{"instruction": f"say {i} ", "input": "the sky" * (i % 2), "output": f"blue {i}"} for i in range(12)]
    (instructions / "clean_500b.json").write_text(json.dumps(rows[:8]))
    (instructions / "clean_test.json").write_text(json.dumps(rows[7:]))
    asked = ("DESC:reason why is {} the sky ?", "NUM:count How many is {} the sky ?", "DESC:manner How is {} the sky ?")
    lines = [asked[i % 3].format(i) for i in range(30)]
    (trec / "train.txt").write_text("\n".join(lines), encoding="latin-1")
    return tmp_path / "data"


@pytest.fixture
def truncate():
    """Cuts a file in the middle."""

    def cut(path):
        content = path.read_bytes()
        path.write_bytes(content[: len(content) // 2])

    return cut


def _jpeg(*, shade):
    buffer = BytesIO()
    Image.fromarray(np.full((32, 32, 3), shade, np.uint8)).save(buffer, "JPEG")
    return buffer.getvalue()
