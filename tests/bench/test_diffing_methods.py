import pytest

from anomech.bench.diffing_methods import PAPER_NAMES, SCALES, Scale, methods
from anomech.bench.diffing_paper import LAYERS
from anomech.bench.diffing_texts import Protocol, Texts
from anomech.examples import Examples
from anomech.tasks.tokens import pad_tokens

TEXTS = Texts(Examples(x=pad_tokens([[1], [2], [3]])), ("clean", "attacked", "attacked"))
PUBLISHED, CORRECTED = (Protocol(name, "each", TEXTS, TEXTS, ("clean",)) for name in ("published", "corrected"))
WIDE = "Diff-SAE 32x, as published"


def test_the_wide_dictionary_is_trained_where_it_is_asked_for():
    scale = Scale(wide=(18,))
    assert methods(PUBLISHED, 18, 16, scale, seed=0)[WIDE].count == 32 * 16
    assert WIDE not in methods(PUBLISHED, 14, 16, scale, seed=0)
    assert WIDE not in methods(CORRECTED, 18, 16, scale, seed=0)


@pytest.mark.parametrize("layer", LAYERS)
def test_the_full_scale_has_all_that_the_paper_reports_at_its_widths(layer):
    found = methods(PUBLISHED, layer, 16, SCALES["full"], seed=0)
    assert {name: found[name].count for name in PAPER_NAMES} == {
        "crosscoder, as published": 512,
        WIDE: 512,
        "Diff-SAE 4x, as published": 64,
    }


def test_means_are_told_which_texts_hold_the_trigger():
    assert methods(CORRECTED, 18, 16, Scale(), seed=0)["difference in means, trigger known"].triggered == (1, 2)


def test_every_dictionary_is_drawn_by_the_seed():
    found = methods(PUBLISHED, 18, 16, Scale(), seed=3)
    dictionaries = [learnt for name, learnt in found.items() if name.startswith(("crosscoder", "Diff-SAE"))]
    assert len(dictionaries) == 6
    assert {getattr(learnt, "training", learnt).seed for learnt in dictionaries} == {3}
