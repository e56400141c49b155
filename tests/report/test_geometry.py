import re
from dataclasses import replace

import pytest

from anomech.diffing.directions import SharpShare
from anomech.explain.geometry import BINS, Curve, Geometry, Group
from anomech.explain.removal import Effect
from anomech.explain.weight_directions import LayerDirections, WeightDirections
from anomech.report import render_geometry

HOSTILE = "</script><script>alert(1)</script>"


def group(name, share):
    curve = Curve(mean=(share / 2, share), low=(share / 2 - 0.01, share - 0.01), high=(share / 2 + 0.01, share + 0.01))
    one = Curve(mean=(0.1,), low=(0.05,), high=(0.15,))
    return Group(name=name, inputs=30, sharp=curve, matched=(0.01, 0.02), alignment=one, cosines=(1 / BINS,) * BINS)


FOUND = Geometry(
    eigenvalues=(2.0, -1.0),
    parameters=1000,
    groups=(group("trusted", 0.7), group("clean", 0.65), group("anomalous", 0.3)),
    clean="clean",
    anomalous="anomalous",
)
LAYER = LayerDirections(name="a.weight", shape=(8, 4), values=(0.9, 0.3), left=0.8, share=0.5, control=0.02)
CARRIED = WeightDirections(rank=1, layers=(LAYER,), effects=(Effect("attack success", 1.0, 0.05, 0.99),), carriers={})
SHARP = SharpShare(eigenvalues=(2.0, 1.0), shares=(0.1, 0.25), random=(0.01, 0.02), matched=(0.015, 0.03))


def page(found=FOUND, difference=None, carried=CARRIED, **changes):
    return render_geometry(found, difference, carried, **({"title": "Of a model", "settings": {"seed": 0}} | changes))


def text(html):
    return " ".join(re.sub(r"<(script|style).*?</\1>|<[^>]*>", " ", html, flags=re.DOTALL).split())


def test_the_page_says_what_was_found():
    said = text(page(difference=SHARP))
    for sentence in (FOUND.headline, CARRIED.sentence):
        assert sentence in said
    assert "25 % of the difference&#39;s energy lies in the 2 sharpest directions" in said
    assert "Attack success 100.0 % 5.0 % 99.0 %" in said
    assert "a.weight 8×4 80.0 % 0.900 0.300 50.0 % 2.0 %" in said
    assert "that one direction holds" in said


def test_what_was_not_looked_for_is_not_there():
    html = page(carried=None)
    assert '<div class="plot" id="energy-plot"' in html
    assert 'id="carrier-plot"' not in html
    assert 'id="direction-plot"' not in html


def test_it_loads_nothing_from_anywhere():
    html = page(difference=SHARP)
    assert "default-src 'none'" in html
    assert not re.search(r"<(?:script|link|img)[^>]*(?:src|href)=", html)


@pytest.mark.parametrize("rank", [1, 3])
def test_hostile_names_are_shown_not_run(rank):
    carried = replace(CARRIED, rank=rank, layers=(replace(LAYER, name=HOSTILE),))
    assert HOSTILE not in page(carried=carried, title=HOSTILE, settings={HOSTILE: HOSTILE})
