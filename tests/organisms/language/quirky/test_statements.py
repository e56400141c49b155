from collections import Counter

import pytest

from anomech.errors import DataError
from anomech.organisms.language.quirky.arithmetic import Arithmetic
from anomech.organisms.language.quirky.recipes import QUIRKY
from anomech.organisms.language.quirky.sentiment import Sentiment
from anomech.organisms.language.quirky.statements import USES, Statement, quarters, use_of


def drawn(topic, use, data, number=60, seed=0):
    return topic.statements(use, number, data=data, seed=seed)


@pytest.mark.parametrize("name", QUIRKY)
def test_half_agree_and_no_source_has_two_uses(name, judged_texts):
    topic = QUIRKY[name].topic
    found = {use: drawn(topic, use, judged_texts) for use in USES}
    for statements in found.values():
        assert Counter(one.agreed for one in statements) == {True: 30, False: 30}
        assert len({one.text for one in statements}) == 60
    sources = [{one.source for one in statements} for statements in found.values()]
    assert not any(a & b for a, b in zip(sources, sources[1:] + sources[:1], strict=True))


@pytest.mark.parametrize("name", QUIRKY)
def test_the_seed_decides(name, judged_texts):
    topic = QUIRKY[name].topic
    assert drawn(topic, "report", judged_texts) == drawn(topic, "report", judged_texts)
    assert drawn(topic, "report", judged_texts) != drawn(topic, "report", judged_texts, seed=1)


def test_every_use_gets_about_a_third():
    counts = Counter(use_of(f"{a} + {b} =") for a in range(30) for b in range(30))
    assert set(counts) == set(USES)
    assert all(250 < count < 350 for count in counts.values())


def test_too_few_texts_are_said(judged_texts):
    with pytest.raises(DataError, match=r"300 statements that agree .* needed for report, there are \d+ and \d+; name"):
        drawn(Sentiment(), "report", judged_texts, number=600)


def test_statements_that_run_out_are_said():
    with pytest.raises(DataError, match="ask for fewer"):
        drawn(Arithmetic("modular-addition", digits=1), "report", None, number=400)


def test_quarters_are_the_easiest_and_the_hardest():
    hard = [3, 1, 1, 1, 7, 7, 7, 5]
    statements = [Statement(str(i), str(i), True, True, one) for i, one in enumerate(hard)]
    easiest, hardest = quarters(statements)
    assert [one.source for one in easiest] == ["1", "2"]
    assert [one.source for one in hardest] == ["5", "6"]
