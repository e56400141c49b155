import pytest
import torch

from anomech.explain.attribution import Attribution
from anomech.explain.kept_maps import KeptMaps
from anomech.explain.occlusion import Occlusion
from anomech.explain.quantities import Anomaly, Output

COARSE = Occlusion(levels=1, grid=2)


class Counted(Attribution):
    """The coarsest occlusion, which tells how many inputs it was given and may be cut off before the last."""

    def __init__(self, until=99):
        self.given, self.until = 0, until

    def _passes(self, quantity, shape):
        return 5.0

    def _attribute(self, quantity, x, answers):
        if self.given == self.until:
            raise KeyboardInterrupt
        self.given += len(x)
        return COARSE._attribute(quantity, x, answers)


def kept(folder, until=99, made_of="a model"):
    return KeptMaps(attribution=Counted(until), folder=folder / "maps", made_of=made_of)


@pytest.fixture
def quantity(auditor):
    return Anomaly(auditor)


def test_maps_are_those_of_the_attribution(tmp_path, quantity, triggered):
    found = kept(tmp_path).attribute(quantity, triggered)
    torch.testing.assert_close(found, COARSE.attribute(quantity, triggered), rtol=1e-3, atol=1e-3)


def test_what_was_cut_off_goes_on_where_it_was(tmp_path, quantity, triggered):
    with pytest.raises(KeyboardInterrupt):
        kept(tmp_path, until=3).attribute(quantity, triggered)
    again = kept(tmp_path)
    found = again.attribute(quantity, triggered)
    assert again.attribution.given == 1
    assert torch.equal(found, kept(tmp_path / "elsewhere").attribute(quantity, triggered))


@pytest.mark.parametrize("change", ["made_of", "quantity", "inputs"])
def test_maps_of_anything_else_are_not_taken(tmp_path, quantity, triggered, change):
    kept(tmp_path).attribute(quantity, triggered[:1])
    other = kept(tmp_path, made_of="another model" if change == "made_of" else "a model")
    asked = Output(quantity.task) if change == "quantity" else quantity
    other.attribute(asked, triggered[1:2] if change == "inputs" else triggered[:1])
    assert other.attribution.given == 1


def test_a_damaged_map_is_computed_again(tmp_path, quantity, triggered):
    found = kept(tmp_path).attribute(quantity, triggered[:1])
    (path,) = (tmp_path / "maps").iterdir()
    path.write_bytes(path.read_bytes()[:20])
    assert torch.equal(kept(tmp_path).attribute(quantity, triggered[:1]), found)


def test_the_cost_is_that_of_the_attribution(tmp_path, quantity):
    assert kept(tmp_path).passes(quantity, torch.Size([1, 28, 28])) == 6
