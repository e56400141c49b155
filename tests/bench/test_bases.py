import json

import pytest
import torch

from anomech.bench import bases as module
from anomech.bench.bases import bases, read_text
from anomech.bench.setup import Setup
from anomech.errors import DataError


@pytest.mark.parametrize("name", ["plays", "instructions", "questions"])
def test_every_text_is_among_the_data(lineages, name):
    assert len(read_text(name, lineages)) > 100


def test_bases_are_published_and_made_here(lineages, tmp_path):
    reported, chosen_on = (
        list(bases(Setup(data=lineages, cache=tmp_path, part=part))) for part in ("report", "development")
    )
    assert [base.name for base in reported] == ["SmolLM2-135M-Instruct", "stories260K", *module.FAMILIES]
    assert [base.name for base in chosen_on] == [*module.FAMILIES]
    for base in (*reported, *chosen_on):
        ids = torch.tensor([base.encode("is the question the same")[:8]])
        assert base.load()(input_ids=ids).logits.isfinite().all()
        assert len(set(base.texts)) == 2
    assert len({json.dumps(base.made_of, sort_keys=True) for base in (*reported, *chosen_on)}) == 14


def test_a_base_is_trained_once(lineages, tmp_path, monkeypatch):
    *_, base = bases(Setup(data=lineages, cache=tmp_path, part="development"))
    first = base.load().state_dict()
    monkeypatch.setattr(module, "trained", lambda *_: pytest.fail("it was trained again"))
    again = base.load().state_dict()
    assert all(first[name].equal(again[name]) for name in first)


def test_what_is_missing_is_named(lineages, tmp_path):
    (lineages / "stories260K.bin").unlink()
    with pytest.raises(DataError, match=r"there is no stories260K.bin"):
        list(bases(Setup(data=lineages, cache=tmp_path)))
    with pytest.raises(DataError, match="SmolLM2-135M-Instruct"):
        list(bases(Setup()))
