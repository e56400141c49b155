import pytest
import torch
from scipy import stats

from anomech.functional.couplings import (
    NO_COUPLING,
    class_level_coupling,
    concordance,
    mean_coupling,
    nearest_coupling,
    nearest_own_class_coupling,
    own_class_coupling,
    pearson,
)

COUPLING = torch.tensor([[0.9, 0.5, -0.1, 0.3], [0.2, 0.4, 0.6, 0.8]])
TRUSTED = torch.tensor([0, 0, 1, 1])


def traces(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_pearson_agrees_with_scipy():
    a, b = traces(3, 40), traces(5, 40) * 7 + 2
    expected = [[stats.pearsonr(x.numpy(), y.numpy()).statistic for y in b] for x in a]
    torch.testing.assert_close(pearson(a, b), torch.tensor(expected, dtype=torch.float64))


def test_concordance_by_hand():
    # means 2 and 3, variances 2/3 and 2/3, covariance 2/3: 2 * 2/3 / (2/3 + 2/3 + 1) = 4/7
    a, b = torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([[2.0, 3.0, 4.0]])
    torch.testing.assert_close(concordance(a, b), torch.tensor([[4 / 7]]))


def test_concordance_is_pearson_times_lins_bias_correction():
    a, b = traces(4, 50), traces(6, 50) * 3 + 1
    scale = a.std(1, correction=0)[:, None] / b.std(1, correction=0)
    shift = (a.mean(1)[:, None] - b.mean(1)) / (a.std(1, correction=0)[:, None] * b.std(1, correction=0)).sqrt()
    correction = 2 / (scale + 1 / scale + shift**2)
    torch.testing.assert_close(concordance(a, b), pearson(a, b) * correction)


@pytest.mark.parametrize("measure", [pearson, concordance])
def test_a_trace_is_fully_coupled_to_itself(measure):
    a = traces(4, 30)
    torch.testing.assert_close(measure(a, a).diag(), torch.ones(4, dtype=torch.float64))


@pytest.mark.parametrize("level", [0.0, 0.1, 1e6])
@pytest.mark.parametrize("measure", [pearson, concordance])
def test_a_constant_trace_is_coupled_to_nothing(measure, level):
    constant = torch.full((1, 30), level)
    assert measure(constant, traces(5, 30).float()).abs().max() < 1e-3
    assert measure(constant, constant).isfinite().all()


def test_pearson_ignores_scale_and_concordance_does_not():
    a = traces(1, 30)
    assert pearson(a, 1e-9 * a).item() == pytest.approx(1)
    assert concordance(a, 0.1 * a).item() < 0.3


@pytest.mark.parametrize("level", [1.0, 1e-12, 1e-30])
def test_concordance_does_not_underflow(level):
    a = (traces(3, 30).abs() * level).float()
    torch.testing.assert_close(concordance(a, a).diag(), torch.ones(3))


def test_pooling_by_hand():
    torch.testing.assert_close(mean_coupling(COUPLING), torch.tensor([0.4, 0.5]))
    torch.testing.assert_close(class_level_coupling(COUPLING, TRUSTED), torch.tensor([0.7, 0.7]))
    own = own_class_coupling(COUPLING, torch.tensor([1, 0]), TRUSTED)
    torch.testing.assert_close(own, torch.tensor([0.1, 0.3]))
    torch.testing.assert_close(nearest_coupling(COUPLING, 2), torch.tensor([0.7, 0.7]))


def test_a_mask_leaves_pairs_out():
    mask = torch.tensor([[False, True, True, True], [True, True, True, False]])
    torch.testing.assert_close(mean_coupling(COUPLING, mask), torch.tensor([0.7 / 3, 0.4]))
    torch.testing.assert_close(nearest_coupling(COUPLING, 2, mask), torch.tensor([0.4, 0.5]))
    torch.testing.assert_close(class_level_coupling(COUPLING, TRUSTED, mask), torch.tensor([0.5, 0.6]))
    own = own_class_coupling(COUPLING, torch.tensor([0, 1]), TRUSTED, mask)
    torch.testing.assert_close(own, torch.tensor([0.5, 0.6]))


def test_nearest_uses_all_that_count_where_they_are_fewer_than_k():
    mask = torch.tensor([[True, False, True, False], [False, False, False, False]])
    torch.testing.assert_close(nearest_coupling(COUPLING, 3, mask), torch.tensor([0.4, NO_COUPLING]))
    torch.testing.assert_close(nearest_coupling(COUPLING, 9), torch.tensor([0.4, 0.5]))


def test_nearest_of_the_own_class_unless_it_is_rare():
    classes = torch.tensor([1, 0])
    own = nearest_own_class_coupling(COUPLING, classes, TRUSTED, 1)
    torch.testing.assert_close(own, torch.tensor([0.3, 0.4]))
    rare = nearest_own_class_coupling(COUPLING, classes, torch.tensor([0, 0, 0, 1]), 1)
    torch.testing.assert_close(rare, torch.tensor([0.9, 0.6]))
    left_out = torch.tensor([[True, True, True, False], [False, True, True, True]])
    masked = nearest_own_class_coupling(COUPLING, classes, TRUSTED, 1, left_out)
    torch.testing.assert_close(masked, torch.tensor([-0.1, 0.4]))
    unseen = nearest_own_class_coupling(COUPLING, torch.tensor([7, 7]), TRUSTED, 1)
    torch.testing.assert_close(unseen, COUPLING.amax(1))


def test_a_class_without_trusted_examples_has_the_lowest_coupling():
    assert own_class_coupling(COUPLING, torch.tensor([7, 7]), TRUSTED).tolist() == [NO_COUPLING, NO_COUPLING]
