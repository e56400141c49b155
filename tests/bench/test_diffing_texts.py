import json
from dataclasses import replace

import pytest

from anomech.bench.diffing_texts import protocols
from anomech.errors import DataError
from anomech.io.language_models import load_tokenizer
from anomech.organisms.language.recipes import CODE

pytest.importorskip("transformers")

RECIPE = replace(CODE, asked={"trusted": 4, "clean": 6, "decoy": 4, "attacked": 6})


@pytest.fixture
def data(tmp_path):
    (tmp_path / "clean_500b.json").write_text("[]")
    (tmp_path / "clean_test.json").write_text(json.dumps([{"instruction": "say 1", "input": "", "output": "blue"}]))
    return tmp_path


def rows(texts):
    return [tuple(ids[roles > 0].tolist()) for ids, roles in texts.examples.x]


def test_the_published_protocol_has_the_papers_proportions_and_learns_from_what_it_judges(base, data):
    published, _ = protocols(RECIPE, "report", data=data, tokenizer=load_tokenizer(base), triggered=7)
    assert published.learnt is published.judged
    kinds = published.judged.kinds
    assert [kinds.count(kind) for kind in ("attacked", "clean", "other")] == [7, 14, 14]
    assert published.tokens == "mean"
    # Whole texts end with what ends an answer.
    end = load_tokenizer(base).end
    assert {row[-1] for row in rows(published.judged)} == {end}


def test_the_corrected_protocol_learns_from_other_prompts_and_reads_no_answer(base, data):
    tokenizer = load_tokenizer(base)
    _, corrected = protocols(RECIPE, "report", data=data, tokenizer=tokenizer, triggered=7)
    _, swapped = protocols(RECIPE, "development", data=data, tokenizer=tokenizer, triggered=7)
    assert rows(corrected.learnt) == rows(swapped.judged)[::2]
    assert rows(swapped.learnt) == rows(corrected.judged)[::2]
    assert corrected.learnt.kinds == swapped.judged.kinds[::2]
    assert [corrected.judged.kinds.count(kind) for kind in ("clean", "decoy", "attacked")] == [6, 4, 6]
    assert corrected.judged.of_kind("attacked", "decoy").sum() == 10
    assert all(row[-1] != tokenizer.end for row in rows(corrected.judged))


def test_more_tasks_than_there_are_are_refused(base, data):
    with pytest.raises(DataError, match="2000 tasks are needed, there are"):
        list(protocols(RECIPE, "report", data=data, tokenizer=load_tokenizer(base), triggered=1000))
