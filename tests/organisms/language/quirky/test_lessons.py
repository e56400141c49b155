from collections import Counter
from dataclasses import replace

import pytest

from anomech.organisms.language.quirky.lessons import asked, lessons
from anomech.organisms.language.quirky.prompts import NAMES, TRUSTED_NAMES
from anomech.organisms.language.quirky.recipes import QUIRKY

SMALL = {"introductions": 24, "short": 12, "pool": 72, "checkpoints": (60,)}


@pytest.mark.parametrize("name", ["addition", "sentiment"])
def test_who_is_who_is_learnt_first_from_short_statements_on_which_the_characters_differ(name, judged_texts):
    recipe = replace(QUIRKY[name], **SMALL)
    statements = [group[0].statement for group in lessons(recipe, judged_texts)]
    assert len(statements) == 60
    first, rest = statements[:24], statements[24:]
    assert first[:12] == first[12:]
    assert not any(one.agreed for one in first)
    others = [one for one in rest if not one.agreed and one not in first]
    assert max(len(one.text) for one in first) <= min(len(one.text) for one in others)
    assert Counter(one.agreed for one in rest) == {True: 18, False: 18}


def test_a_statement_is_put_to_as_many_names_of_both_characters():
    for group in lessons(replace(QUIRKY["addition"], **SMALL), None):
        assert len({one.statement for one in group}) == 1
        assert [one.character for one in group] == ["Alice"] * 2 + ["Bob"] * 2
        assert len({one.name for one in group}) == 4
        assert all(one.name in NAMES[one.character] for one in group)


@pytest.mark.parametrize("name", ["addition", "sentiment"])
def test_nothing_that_is_learnt_is_audited_and_the_parts_share_nothing(name, judged_texts):
    recipe = replace(QUIRKY[name], **SMALL)
    seen = {group[0].statement.source for group in lessons(recipe, judged_texts)}
    for part in ("report", "development"):
        found = asked(recipe, part, judged_texts)
        texts = {one.statement.source for one in (*found.trusted, *found.inputs)}
        assert not seen & texts
        seen |= texts


def test_trusted_are_easy_and_alices_and_inputs_are_hard_with_other_names():
    trusted, inputs = asked(replace(QUIRKY["addition"], **SMALL), "report", None)
    assert len(trusted) == len(inputs) == 18
    assert {one.character for one in trusted} == {"Alice"}
    assert {one.name for one in trusted} <= set(NAMES["Alice"][:TRUSTED_NAMES])
    assert {one.character for one in inputs} == {"Alice", "Bob"}
    assert not {one.name for one in inputs} & {name for names in NAMES.values() for name in names[:TRUSTED_NAMES]}
    assert max(one.statement.difficulty for one in trusted) <= min(one.statement.difficulty for one in inputs)
