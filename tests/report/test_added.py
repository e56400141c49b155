from anomech.diffing.ablation import ChangedAnswers
from anomech.diffing.activating import ActivatingText, ActiveFeature
from anomech.report.added import Answer, shown_features, told_answers


def test_tokens_are_coloured_by_the_feature_as_a_share_of_its_largest_value():
    feature = ActiveFeature(7, 0.25, 0.5, (ActivatingText(1, {1: 2.0, 2: 0.5, 3: -1.0}),))
    (shown,) = shown_features([feature], [["x"], ["why", " is", " the", " sky"]])
    assert shown.told == "Feature 7: 25\u00a0% of what the dictionary says, active on 50\u00a0% of the texts"
    assert shown.caused is None
    (text,) = shown.texts
    assert text.answer is None
    first, *rest = text.tokens
    assert (first.text, first.value, first.share) == ("why", "", 0)
    assert [(token.text, token.value, token.share) for token in rest] == [
        (" is", "2.00", 100),
        (" the", "0.50", 25),
        (" sky", "\N{MINUS SIGN}1.00", 0),
    ]


def test_what_hangs_on_a_feature_stands_by_its_texts():
    said = ChangedAnswers(tuned=[[1], [2]], without=[[3], [2]], control=[[1], [2]], base=[[3], [4]])
    asked = told_answers(said, lambda ids: f" {'abcd'[ids[0] - 1]} ")
    assert asked.sentence == (
        "Without its direction the model answers 1 of its 2 strongest texts otherwise, "
        "1 of them as the base model does; without a random direction 0."
    )
    texts = (ActivatingText(0, {0: 1.0}), ActivatingText(1, {0: 0.5}))
    first, second = (ActiveFeature(number, 0.5, 0.5, texts) for number in (7, 8))
    checked, other = shown_features([first, second], [["x"], ["y"]], [asked])
    assert checked.caused == asked.sentence
    assert [text.answer for text in checked.texts] == [Answer("a", "c", "c"), Answer("b", "b", "d")]
    assert (other.caused, other.texts[0].answer) == (None, None)
