import pytest
import torch

from anomech.calibration import Calibrator
from anomech.detectors import Mahalanobis, MaxSoftmax, TraceCoupling
from anomech.errors import SettingsError
from anomech.examples import stratified_split
from anomech.features import LossTraces
from anomech.functional.conformal import p_values, realised_fpr_range
from anomech.organisms.fashion import shipped_examples, shipped_model
from anomech.sampling import RMSpropSGLD
from anomech.tasks import ClassificationTask

SPLITS = 20
RATES = (0.01, 0.05, 0.1)


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    """Features of 1,500 clean real images, by the kind of detector that reads them."""
    pool = shipped_examples()
    sampling, rest = stratified_split(pool.y, 0.1, seed=0)
    task, images = ClassificationTask(shipped_model()), pool[rest[:1500]]
    detectors = (
        TraceCoupling(features=LossTraces(RMSpropSGLD(chains=1, draws=20, burn_in=20, thin=1))),
        Mahalanobis(),
        MaxSoftmax(),
    )
    found = {}
    for detector in detectors:
        folder = tmp_path_factory.mktemp("features")
        detector.features.fit(task, pool[sampling], folder)
        found[type(detector)] = detector, detector.features.extract(task, images, folder)
    return found


@pytest.mark.parametrize("kind", [TraceCoupling, MaxSoftmax])
def test_realised_fpr_lies_in_its_exact_range_on_real_clean_images(clean, kind):
    detector, features = clean[kind]
    generator = torch.Generator().manual_seed(0)
    # One of 60 ranges may be left with probability 1 % if each is left with probability 1/6000.
    confidence = 1 - 0.01 / (SPLITS * len(RATES))
    realised = torch.empty(SPLITS, len(RATES))
    for split in range(SPLITS):
        order = torch.randperm(len(features), generator=generator)
        fitted = detector.fit(features[order[:500]])
        p = p_values(fitted.trusted_scores(), fitted.score(features[order[500:]]))
        for column, rate in enumerate(RATES):
            share = (p <= rate).double().mean().item()
            low, high = realised_fpr_range(500, 1000, rate, confidence=confidence)
            assert low <= share <= high
            realised[split, column] = share
    # The splits overlap, so their mean varies about as much as one split of all 1,500 images does.
    for mean, rate in zip(realised.mean(0).tolist(), RATES, strict=True):
        low, high = realised_fpr_range(500, 1000, rate, confidence=0.95)
        assert low <= mean <= high


@pytest.mark.parametrize("a_class", [8, 10, 12])
def test_rare_classes_keep_the_fpr(clean, a_class):
    detector, features = clean[TraceCoupling]
    generator, realised = torch.Generator().manual_seed(0), []
    for _ in range(SPLITS):
        order = torch.randperm(len(features), generator=generator)
        by_class = [order[features.predictions[order] == label] for label in range(10)]
        chosen = torch.cat([members[:a_class] for members in by_class])
        rest = torch.cat([members[a_class : a_class + 60] for members in by_class])
        fitted = detector.fit(features[chosen])
        p = p_values(fitted.trusted_scores(), fitted.score(features[rest]))
        realised.append((p <= 0.1).double().mean().item())
    assert 0.05 < sum(realised) / SPLITS < 0.13


def test_folds_keep_the_fpr_of_a_detector_that_is_refitted(clean):
    detector, features = clean[Mahalanobis]
    fitted = detector.fit(features[torch.arange(500)])
    p = p_values(fitted.trusted_scores(), fitted.score(features[torch.arange(500, 1500)]))
    for rate in RATES:
        low, high = realised_fpr_range(500, 1000, rate, confidence=0.999)
        assert low <= (p <= rate).double().mean().item() <= high


def test_flags_follow_p_values():
    calibrator = Calibrator(fpr=0.1)
    p, flagged = calibrator.judge(torch.arange(99.0), torch.tensor([50.0, 90.0, 200.0]))
    assert p.tolist() == pytest.approx([0.5, 0.1, 0.01])
    assert flagged.tolist() == [False, True, True]


def test_false_discovery_control_decides_in_place_of_the_rate():
    scores = torch.cat([torch.full((5,), 200.0), torch.linspace(0, 99, 95)])
    _, flagged = Calibrator(fdr=0.2).judge(torch.arange(99.0), scores)
    assert flagged[:5].all()
    assert flagged.sum() < 10


def test_too_few_trusted_examples_are_told_plainly():
    message = Calibrator(fpr=0.01).shortfall(50)
    assert "50 trusted examples" in message
    assert "at least 99" in message
    assert Calibrator(fpr=0.01).shortfall(99) is None


@pytest.mark.parametrize("wrong", [{"fpr": 0.0}, {"fpr": 1.0}, {"fdr": -0.1}, {"fpr": float("nan")}])
def test_rates_outside_the_unit_interval_are_refused(wrong):
    with pytest.raises(SettingsError, match="between 0 and 1"):
        Calibrator(**wrong)
