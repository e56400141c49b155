from anomech.diffing.activating import ActivatingText, ActiveFeature
from anomech.report.added import shown_features


def test_tokens_are_coloured_by_the_feature_as_a_share_of_its_largest_value():
    feature = ActiveFeature(7, 0.25, 0.5, (ActivatingText(1, {1: 2.0, 2: 0.5, 3: -1.0}),))
    (shown,) = shown_features([feature], [["x"], ["why", " is", " the", " sky"]])
    assert shown.told == "Feature 7: 25\u00a0% of what the dictionary says, active on 50\u00a0% of the texts"
    ((first, *rest),) = shown.texts
    assert (first.text, first.value, first.share) == ("why", "", 0)
    assert [(token.text, token.value, token.share) for token in rest] == [
        (" is", "2.00", 100),
        (" the", "0.50", 25),
        (" sky", "\N{MINUS SIGN}1.00", 0),
    ]
