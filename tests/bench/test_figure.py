import logging
import sys

import pytest

from anomech.bench.figure import Figure, Panel, draw

FIGURE = Figure(
    panels=[
        Panel(x="draws", label="number of draws", study="draws"),
        Panel(x="share", label="share", study="share", scale="linear"),
    ],
    measures={"auroc": "area"},
)
ROWS = [
    {"study": "draws", "organism": "one", "detector": "gradient", "draws": 10, "auroc": 0.5},
    {"study": "draws", "organism": "one", "detector": "gradient", "draws": 20, "auroc": None},
    {"study": "share", "organism": "two", "detector": "knn", "share": 0.0, "auroc": 0.7},
    {"study": "share", "organism": "two", "detector": "left out", "auroc": 0.7},
]


def test_rows_become_panels_and_the_same_rows_the_same_file(tmp_path):
    pytest.importorskip("matplotlib")
    from matplotlib import rc_context

    with rc_context({"svg.fonttype": "none"}):
        draw(FIGURE, ROWS, tmp_path / "a.svg")
        draw(FIGURE, ROWS, tmp_path / "b.svg")
    svg = (tmp_path / "a.svg").read_text()
    assert svg == (tmp_path / "b.svg").read_text()
    assert all(text in svg for text in ("number of draws", "area", "gradient, one", "knn, two"))
    assert "left out" not in svg


def test_pooled_organisms_are_points_of_their_detector(tmp_path):
    pytest.importorskip("matplotlib")
    from matplotlib import rc_context

    rows = [
        {"organism": f"organism {i}", "detector": "gradient", "share": 0.1 * i, "auroc": 0.5 + 0.1 * i}
        for i in range(5)
    ]
    figure = Figure(panels=[Panel(x="share", label="share", scale="linear", pooled=True)], measures={"auroc": "area"})
    with rc_context({"svg.fonttype": "none"}):
        draw(figure, rows, tmp_path / "a.svg")
    svg = (tmp_path / "a.svg").read_text()
    assert svg.count(">gradient<") == 1
    assert "organism 0" not in svg


def test_the_axis_has_the_limits_that_are_asked_for(tmp_path):
    pytest.importorskip("matplotlib")
    from matplotlib import rc_context

    panels = [Panel(x="share", label="share", scale="linear")]
    rows = [{"organism": "one", "detector": "gradient", "share": x, "gain": -0.4} for x in (0.1, 0.2)]
    with rc_context({"svg.fonttype": "none", "axes.unicode_minus": False}):
        draw(Figure(panels=panels, measures={"gain": "gain"}, limits=(-0.5, 0.5)), rows, tmp_path / "a.svg")
        draw(Figure(panels=panels, measures={"gain": "gain"}), rows, tmp_path / "b.svg")
    assert ">-0.4<" in (tmp_path / "a.svg").read_text()
    assert ">-0.4<" not in (tmp_path / "b.svg").read_text()


def test_without_matplotlib_it_says_how_to_get_it(tmp_path, monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with caplog.at_level(logging.WARNING):
        draw(FIGURE, ROWS, tmp_path / "a.svg")
    assert "anomech[bench]" in caplog.text
    assert not (tmp_path / "a.svg").exists()
