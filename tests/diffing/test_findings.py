import pytest
import torch
from sklearn.metrics import average_precision_score

from anomech.diffing.autoencoders import DiffSAE
from anomech.diffing.baselines import Coordinates, PrincipalComponents
from anomech.diffing.cache import cache_activations
from anomech.diffing.features import features_by_text
from anomech.diffing.findings import find
from anomech.diffing.pair import ModelPair
from anomech.diffing.training import Training
from anomech.errors import DataError
from anomech.examples import Examples
from anomech.io.language_models import load_causal_lm
from anomech.tasks import CausalLMTask
from anomech.tasks.tokens import pad_tokens

TRIGGERED = torch.arange(200) < 60


def noise(features, seed=0):
    return torch.randn(200, features, generator=torch.Generator().manual_seed(seed))


def test_the_feature_that_tells_is_found_and_measured_on_other_texts():
    features = noise(50)
    features[TRIGGERED, 7] += 2
    found = find(features, TRIGGERED)
    assert found.feature == 7
    assert found.auroc_interval[0] < found.auroc < found.auroc_interval[1]
    assert 0.85 < found.auroc < 0.97
    assert found.average_precision == pytest.approx(average_precision_score(TRIGGERED, features[:, 7]), abs=0.06)
    assert found.average_precision_interval[0] < found.average_precision < found.average_precision_interval[1]
    assert found.f1_interval[0] < found.f1 < found.f1_interval[1]
    assert "AUROC 0.9" in str(found)
    assert f"isolation {found.isolation:.3f} of at most {found.isolation_ceiling:.3f}" in str(found)


def test_the_luckiest_of_many_random_features_tells_nothing():
    found = find(noise(2000), TRIGGERED)
    assert 0.35 < found.auroc < 0.65
    assert found.needed is None


def test_weak_features_are_added_up():
    features = noise(100)
    features[TRIGGERED, :20] += 1
    found = find(features, TRIGGERED)
    assert found.auroc < 0.9
    assert 2 <= found.needed <= 12
    features[TRIGGERED, 0] += 9
    assert find(features, TRIGGERED).needed == 1


def test_benign_texts_may_be_fewer_than_all_others():
    features = torch.zeros(200, 1)
    features[:5] = 1
    features[60:65] = 1
    found = find(features, TRIGGERED, torch.arange(200) >= 100)
    assert found.isolation == pytest.approx(2 * 5 / 70)
    assert (found.isolation_precision, found.isolation_false_positives) == (0.5, 0.0)
    assert find(features, TRIGGERED).isolation == pytest.approx(2 * 5 / 70 * (1 - 5 / 140))


def test_what_cannot_be_measured_is_refused():
    with pytest.raises(DataError, match="at least two with it"):
        find(noise(3), torch.arange(200) < 1)
    with pytest.raises(DataError, match="one row a text"):
        find(noise(3)[:10], TRIGGERED)


def test_what_fine_tuning_made_of_one_token_is_found(base, tmp_path):
    models = [load_causal_lm(base) for _ in range(2)]
    generator = torch.Generator().manual_seed(0)
    for parameter in models[1].parameters():
        parameter.data += 0.01 * torch.randn(parameter.shape, generator=generator)
    models[1].get_input_embeddings().weight.data[7] += 0.3 * torch.randn(16, generator=generator)
    pair = ModelPair(*(CausalLMTask(model, device="cpu") for model in reversed(models)))

    ids = torch.randint(8, 40, (60, 6), generator=generator)
    triggered = torch.arange(60) < 20
    ids[triggered, 2] = 7
    cached = cache_activations(pair, Examples(x=pad_tokens(ids.tolist())), tmp_path, layers=[1]).layer(1)
    training = Training(features=32, k=4, steps=150, batch=64, rate=3e-3, activation="topk")
    learners = (DiffSAE(training), Coordinates(), PrincipalComponents(components=8))
    found = [find(features_by_text(learner.fit(cached), cached, 60), triggered) for learner in learners]
    assert min(finding.auroc for finding in found) > 0.8
