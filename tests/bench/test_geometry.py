import pytest

from anomech.bench import geometry
from anomech.bench.setup import Scene, Setup

SMALL = {"TRUSTED": 80, "CLEAN": 40, "ATTACKED": 40, "DIRECTIONS": (1, 3)}


@pytest.fixture(scope="module")
def found():
    """Rows of the shipped organism, on few inputs."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in SMALL.items():
            patch.setattr(geometry, name, value)
        return list(geometry.rows(Setup()))


def test_there_is_a_row_a_number_of_directions_one_of_cosines_and_one_of_what_is_left(found):
    kinds = [(row["detector"], row.get("directions")) for row in found]
    assert kinds == [("flat energy", 1), ("flat energy", 3), ("alignment", None), ("without weight directions", 4)]
    assert {row["organism"] for row in found} == {"fashion-badnets"}
    # So few clean inputs have an answer of the attacked ones that they are no group.
    assert set(geometry.COLUMNS) - set().union(*found) == {"sharp_alike", "alignment_alike"}


def test_the_trigger_is_flatter_and_hangs_on_few_directions(found):
    _, energy, _, left = found
    assert energy["sharp_anomalous_high"] < energy["sharp_clean_low"]
    assert energy["sharp_random"] < energy["sharp_matched"] < energy["sharp_anomalous"]
    assert left["asr"] == left["asr_control"] == 1
    assert left["asr_without"] < 0.5
    assert left["held"] > 5 * left["held_control"]


def test_the_figure_shows_every_organism(found, tmp_path):
    pytest.importorskip("matplotlib")
    from matplotlib import rc_context

    others = [row | {"organism": "another"} for row in found]
    with rc_context({"svg.fonttype": "none"}):
        geometry.draw([*found, *others], tmp_path / "figure.svg")
    svg = (tmp_path / "figure.svg").read_text()
    assert all(text in svg for text in ("fashion-badnets", "another", "anomalous", "without one direction a layer"))


def test_a_classifier_that_is_trained_here_is_left_out_where_its_images_are_missing(monkeypatch, tmp_path, caplog):
    monkeypatch.setattr(geometry, "ORGANISMS", ())
    assert list(geometry.rows(Setup(data=tmp_path, cache=tmp_path))) == []
    assert "cifar10-badnets is left out" in caplog.text


def test_a_classifier_that_is_trained_here_is_a_scene(monkeypatch, tmp_path, fashion):
    task, trusted, inputs = fashion
    monkeypatch.setattr(geometry, "ORGANISMS", ())
    monkeypatch.setattr(Setup, "trained_scene", lambda *names, **_: Scene("-".join(names[1:3]), task, trusted, inputs))
    assert [scene.organism for scene in geometry._scenes(Setup(data=tmp_path))] == ["cifar10-badnets"]
