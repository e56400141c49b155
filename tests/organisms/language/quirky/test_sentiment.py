import random

import pytest

from anomech.errors import DataError
from anomech.organisms.language.quirky.sentiment import Sentiment


def test_the_heuristic_looks_for_a_positive_word(judged_texts):
    found = list(Sentiment().drawn(judged_texts, random.Random(0)))
    assert len(found) == len({one.source for one in found}) == 360
    for one in found:
        assert one.text == f"{one.source} Sentiment: positive"
        assert one.truth == one.source.startswith(("a fine", "a film of hope"))
        assert one.heuristic == ("fine" in one.source)
        assert one.difficulty == len(one.source.split())


def test_negative_reviews_with_a_positive_word_are_left_out(judged_texts):
    assert not any(one.text.startswith("not") for one in Sentiment().drawn(judged_texts, random.Random(0)))


def test_long_reviews_are_left_out(judged_texts):
    assert len(list(Sentiment(words=4).drawn(judged_texts, random.Random(0)))) == 240


def test_missing_and_damaged_reviews_are_said(judged_texts, tmp_path):
    with pytest.raises(DataError, match=r"quirky sentiment needs .*; name a folder that holds clean_train\.tsv"):
        list(Sentiment().drawn(None, random.Random(0)))
    path = judged_texts / "sst2" / "clean_dev.tsv"
    path.write_text("sentence\tlabel\na film\t2\n")
    with pytest.raises(DataError, match=r"clean_dev\.tsv is damaged: a line ends in '2', not in 0 or 1"):
        list(Sentiment().drawn(judged_texts, random.Random(0)))
    path.unlink()
    with pytest.raises(DataError, match=r"there is no clean_dev\.tsv in"):
        list(Sentiment().drawn(judged_texts, random.Random(0)))
