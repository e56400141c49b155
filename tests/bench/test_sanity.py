from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from anomech.bench import judged, sanity
from anomech.bench.setup import Setup
from anomech.organisms.fashion import shipped_examples
from anomech.organisms.models import SmallCNN


@pytest.fixture
def quick(monkeypatch, tmp_path):
    """The suite on shipped images, on networks that learn for a moment."""
    pool = shipped_examples()
    order = torch.randperm(len(pool), generator=torch.Generator().manual_seed(0))
    parts = {"train": pool[order[:1500]], "test": pool[order[1500:2300]]}
    for name, value in {
        "DATASETS": {"fashion": SimpleNamespace(load=lambda data, split: parts[split])},
        "SEEDS": 2,
        "TRAINING": 1000,
        "SHARES": (0.1,),
        "STEPS": 2,
        "ARCHITECTURES": sanity.ARCHITECTURES | {"convolutional": lambda image: SmallCNN(widths=(4, 4, 4))},
        "RECIPE": replace(sanity.RECIPE, epochs=8, batch_size=50),
        "LEARNING": replace(sanity.LEARNING, epochs=3, batch_size=50),
    }.items():
        monkeypatch.setattr(sanity, name, value)
    return Setup(cache=tmp_path)


def test_every_study_is_done_and_goes_on_where_it_was(quick, monkeypatch):
    rows = list(sanity.rows(quick))
    values = {(row["study"], row["organism"], row.get("detector"), row.get("place")): row["value"] for row in rows}
    assert all(row["low"] <= row["value"] <= row["high"] for row in rows)
    assert len(values) == len(rows) == 2 * (4 + 4 + 12) + 2
    assert (
        values["accuracy, attacked", "robust", None, None] > values["accuracy, attacked", "standard", None, None] + 0.1
    )
    assert values["DiffROAR", "any", "brightness", None] > 0.3
    assert abs(values["DiffROAR", "any", "random", None]) < 0.15
    leak = {
        (kind, place): values["leakage", kind, "gradient", place]
        for kind in ("standard", "robust")
        for place in ("random", "fixed")
    }
    assert leak["standard", "random"] > 2 * max(leak["robust", "random"], leak["standard", "fixed"])
    assert values["accuracy, convolutional", "standard", None, None] > 0.3
    assert values["leakage, convolutional", "standard", "gradient", "random"] > 0.05
    for name in ("rightly_classified", "leakage"):
        monkeypatch.setattr(judged, name, lambda *_, **__: pytest.fail("computed again"))
    assert list(sanity.rows(quick)) == rows
