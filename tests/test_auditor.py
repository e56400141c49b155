import json
from dataclasses import replace

import pytest
import torch
from torch import nn

from anomech import (
    TED,
    VAE,
    Activations,
    Auditor,
    Calibrator,
    ClassificationTask,
    CouplingMap,
    Ensemble,
    Examples,
    GradientSpan,
    LikelihoodRatio,
    LossTraces,
    Mahalanobis,
    QuantumEntropy,
    RMSpropSGLD,
    ScaleUp,
    SentiNet,
    Strip,
    TeCo,
    TraceCoupling,
    TwoGaussians,
    UntrainedActivations,
)
from anomech.errors import ArtefactError, DataError, SettingsError, StorageError
from anomech.organisms.fashion import shipped_model
from anomech.organisms.models import SmallCNN
from anomech.sampling import IsotropicNoise
from anomech.tasks import CausalLMTask
from anomech.tasks.causal_lm import join_tokens

QUICK = RMSpropSGLD(chains=2, draws=10, burn_in=10, thin=1)
SHORT = RMSpropSGLD(chains=1, draws=4, burn_in=2, thin=1)


@pytest.fixture(scope="module")
def fitted(fashion):
    task, trusted, _ = fashion
    return Auditor(task, TraceCoupling(features=LossTraces(QUICK)), calibrator=Calibrator(fpr=0.05)).fit(trusted)


def same(a, b):
    return a.to_table().equals(b.to_table())


def test_triggered_inputs_are_flagged_and_clean_ones_are_not(fitted, fashion):
    _, _, inputs = fashion
    verdicts = fitted.audit(inputs)
    assert verdicts.flagged[inputs.anomalous].float().mean() > 0.8
    assert verdicts.flagged[~inputs.anomalous].float().mean() < 0.15
    assert verdicts.anomalies_found
    assert not fitted.audit(inputs[~inputs.anomalous]).anomalies_found


def test_gradients_and_scores_use_different_trusted_examples(fitted, fashion):
    _, trusted, _ = fashion
    assert len(fitted.reference) == len(trusted) // 2
    assert fitted.reference.y.bincount().tolist() == [12] * 10


def test_examples_of_the_samplers_own_leave_the_trusted_whole(fashion):
    task, trusted, inputs = fashion
    sampling = inputs[~inputs.anomalous]
    auditor = Auditor(task, TraceCoupling(features=LossTraces(QUICK))).fit(trusted, sampling=sampling)
    assert auditor.reference is trusted


def test_vouchers_are_the_most_coupled_trusted_examples(fitted, fashion):
    _, _, inputs = fashion
    verdicts = fitted.audit(inputs)
    assert verdicts.voucher_positions.shape == (len(inputs), 5)
    assert (verdicts.voucher_couplings.diff(dim=1) <= 0).all()
    # The pooling reads the own class, so its examples vouch.
    assert torch.equal(
        fitted.detector.trusted.predictions[verdicts.voucher_positions],
        verdicts.predictions[:, None].expand(-1, 5),
    )
    table = verdicts.to_table().to_pylist()
    assert table[0]["vouchers"][0]["id"] == fitted.reference.ids[int(verdicts.voucher_positions[0, 0])]


@pytest.mark.parametrize("keep", ["draws", "seed"])
def test_a_loaded_auditor_gives_the_same_verdicts(fashion, tmp_path, keep):
    task, trusted, inputs = fashion
    auditor = Auditor(task, TraceCoupling(features=LossTraces(QUICK, keep=keep))).fit(trusted)
    expected = auditor.audit(inputs)
    auditor.save(tmp_path / "auditor")
    loaded = Auditor.load(tmp_path / "auditor", task.model)
    assert same(loaded.audit(inputs), expected)
    assert loaded.health == auditor.health
    loaded.save(tmp_path / "again")
    assert same(Auditor.load(tmp_path / "again", task).audit(inputs), expected)


def test_verdicts_do_not_depend_on_how_inputs_are_cut(fitted, fashion, monkeypatch):
    _, _, inputs = fashion
    expected = fitted.audit(inputs)
    monkeypatch.setattr("anomech.auditor.BLOCK", 33)
    torch.testing.assert_close(fitted.audit(inputs).scores, expected.scores, rtol=1e-4, atol=1e-4)
    single = fitted.audit(inputs[torch.tensor([150])])
    torch.testing.assert_close(single.scores, expected.scores[150:151], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "detector",
    [
        TraceCoupling(features=LossTraces(SHORT)),
        TraceCoupling(features=LossTraces(SHORT, keep="seed")),
        GradientSpan(),
        QuantumEntropy(features=Activations("output")),
    ],
    ids=["draws", "seed", "gradient", "offline"],
)
def test_fitting_and_auditing_at_once_changes_nothing(fashion, tmp_path, monkeypatch, detector):
    monkeypatch.setattr("anomech.auditor.BLOCK", 120)
    task, trusted, inputs = fashion
    apart, at_once = Auditor(task, detector), Auditor(task, detector)
    assert same(at_once.fit_audit(trusted, inputs), apart.fit(trusted).audit(inputs))
    for name, auditor in (("apart", apart), ("at once", at_once)):
        auditor.save(tmp_path / name)
    files = [f.relative_to(tmp_path / "apart") for f in (tmp_path / "apart").rglob("*") if f.is_file()]
    assert all((tmp_path / "at once" / f).read_bytes() == (tmp_path / "apart" / f).read_bytes() for f in files)


def test_trusted_examples_and_inputs_share_one_pass_over_the_draws(fashion):
    task, trusted, inputs = fashion
    detector = TraceCoupling(features=LossTraces(SHORT, keep="seed"))

    def passes(audit):
        before = task.cost.forward_passes
        audit(Auditor(task, detector))
        return task.cost.forward_passes - before

    apart = passes(lambda auditor: auditor.fit(trusted).audit(inputs))
    at_once = passes(lambda auditor: auditor.fit_audit(trusted, inputs))
    # A gradient is one pass forward and two back; the rest of the difference is what finding the step size took.
    assert apart - at_once >= 3 * SHORT.gradient_passes


def test_inputs_of_another_shape_are_refused_before_fitting(fashion):
    task, trusted, _ = fashion
    with pytest.raises(DataError, match="they must match"):
        Auditor(task, TraceCoupling()).fit_audit(trusted, Examples(x=torch.zeros(3, 3, 28, 28)))


def test_the_artefact_says_how_it_was_made(fitted, tmp_path):
    fitted.save(tmp_path / "a")
    config = json.loads((tmp_path / "a" / "config.json").read_text())
    assert config["detector"]["features"]["sampler"]["gamma"] == 10_000
    assert config["calibrator"]["fpr"] == 0.05
    assert {"model_sha256", "trusted_sha256", "seed", "versions", "health"} <= config.keys()
    assert not [f for f in (tmp_path / "a").rglob("*") if f.suffix in (".pt", ".pkl")]


def test_a_model_that_answers_differently_with_equal_weights_is_refused(fitted, fashion, tmp_path):
    class Inverted(nn.Module):
        def __init__(self, model):
            super().__init__()
            self.features, self.classifier = model.features, model.classifier

        def forward(self, x):
            return self.classifier(self.features(1 - x))

    fitted.save(tmp_path / "a")
    with pytest.raises(ArtefactError, match="does not reproduce its trusted examples"):
        Auditor.load(tmp_path / "a", Inverted(fashion[0].model))


def test_draws_that_cannot_be_repeated_are_noticed(fashion, tmp_path):
    task, trusted, _ = fashion
    Auditor(task, TraceCoupling(features=LossTraces(QUICK, keep="seed"))).fit(trusted).save(tmp_path / "a")
    config = json.loads((tmp_path / "a" / "config.json").read_text())
    config["detector"]["features"]["sampler"]["seed"] = 99
    (tmp_path / "a" / "config.json").write_text(json.dumps(config))
    with pytest.raises(ArtefactError, match="does not reproduce"):
        Auditor.load(tmp_path / "a", task)


def test_fitting_a_loaded_auditor_leaves_its_artefact_alone(fitted, fashion, tmp_path):
    task, trusted, _ = fashion
    fitted.save(tmp_path / "a")
    before = {f: f.read_bytes() for f in (tmp_path / "a").rglob("*") if f.is_file()}
    Auditor.load(tmp_path / "a", task).fit(trusted[torch.arange(0, 240, 2)])
    assert {f: f.read_bytes() for f in (tmp_path / "a").rglob("*") if f.is_file()} == before


def test_auditors_that_share_a_detector_do_not_share_what_they_learnt(fashion):
    task, trusted, inputs = fashion
    detector = Mahalanobis()
    first = Auditor(task, detector).fit(trusted)
    expected = first.audit(inputs)
    Auditor(task, detector).fit(trusted[torch.arange(0, 240, 2)])
    assert same(first.audit(inputs), expected)


def test_labels_beyond_the_models_classes_are_refused(fashion):
    task, trusted, _ = fashion
    with pytest.raises(DataError, match="labels range from 1 to 10, the model has classes 0 to 9"):
        Auditor(task).fit(Examples(x=trusted.x, y=trusted.y + 1))


def test_a_model_without_second_derivatives_and_with_unused_weights_is_sampled(fashion):
    class Attention(nn.Module):
        def __init__(self):
            super().__init__()
            self.patches, self.head, self.unused = nn.Linear(28, 8), nn.Linear(8, 10), nn.Linear(3, 3)

        def forward(self, x):
            tokens = self.patches(x)
            return self.head(nn.functional.scaled_dot_product_attention(tokens, tokens, tokens).mean(dim=(1, 2)))

    _, trusted, inputs = fashion
    torch.manual_seed(0)
    auditor = Auditor(ClassificationTask(Attention()), TraceCoupling(features=LossTraces(replace(QUICK, gamma=1e5))))
    assert auditor.fit(trusted).audit(inputs).scores.isfinite().all()


def test_an_artefact_of_another_model_is_refused(fitted, tmp_path):
    fitted.save(tmp_path / "a")
    with pytest.raises(ArtefactError, match="fitted on another model"):
        Auditor.load(tmp_path / "a", SmallCNN())


@pytest.mark.parametrize("name", ["config.json", "trusted.safetensors", "features/draws-00000.safetensors"])
@pytest.mark.parametrize("damage", ["truncate", "remove"])
def test_a_damaged_artefact_is_refused(fitted, fashion, tmp_path, name, damage):
    task, _, inputs = fashion
    fitted.save(tmp_path / "a")
    file = tmp_path / "a" / name
    content = file.read_bytes()
    file.unlink() if damage == "remove" else file.write_bytes(content[: len(content) // 2])
    with pytest.raises(ArtefactError, match="fit"):
        Auditor.load(tmp_path / "a", task).audit(inputs)


def test_a_folder_of_somebody_elses_is_never_replaced(fitted, tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(StorageError, match="did not write"):
        fitted.save(tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_saving_over_an_earlier_artefact_replaces_it(fitted, fashion, tmp_path):
    task, trusted, _ = fashion
    Auditor(task, Mahalanobis()).fit(trusted).save(tmp_path / "a")
    fitted.save(tmp_path / "a")
    assert isinstance(Auditor.load(tmp_path / "a", task).detector, TraceCoupling)


def test_a_loaded_auditor_reads_layers_in_the_order_of_the_model(fashion, tmp_path):
    _, trusted, _ = fashion
    model = nn.Sequential(nn.Flatten(), *(nn.Linear(784 if i == 0 else 16, 16) for i in range(12)), nn.Linear(16, 10))
    auditor = Auditor(ClassificationTask(model.eval())).fit(trusted)
    assert auditor.detector.layers == tuple(map(str, range(1, 14)))
    auditor.save(tmp_path / "auditor")
    assert Auditor.load(tmp_path / "auditor", model).detector.layers == auditor.detector.layers


def test_copies_are_no_trusted_examples(fashion, caplog):
    task, trusted, _ = fashion
    with pytest.raises(DataError, match="only 5 of 60 trusted examples are different"):
        Auditor(task).fit(trusted[torch.arange(60) % 5])
    Auditor(task).fit(trusted[torch.arange(60) % 40])
    assert "only 40 of 60 trusted examples are different" in caplog.text


def test_too_few_or_one_class_trusted_are_refused(fashion):
    task, trusted, _ = fashion
    with pytest.raises(DataError, match="4 trusted examples to score against are too few"):
        Auditor(task, Mahalanobis()).fit(trusted[torch.arange(4)])
    with pytest.raises(DataError, match="all 24 trusted examples are of class 3"):
        Auditor(task, Mahalanobis()).fit(trusted[trusted.y == 3])


def test_sampling_needs_labels_and_gradients_do_not(fashion):
    task, trusted, _ = fashion
    with pytest.raises(DataError, match="need labels"):
        Auditor(task, TraceCoupling()).fit(Examples(x=trusted.x))
    assert len(Auditor(task).fit(Examples(x=trusted.x)).reference) == len(trusted)
    unlabelled = Auditor(task, TraceCoupling(features=LossTraces(IsotropicNoise(chains=1, draws=3))))
    assert len(unlabelled.fit(Examples(x=trusted.x)).reference) == len(trusted)


def test_inputs_of_another_shape_are_refused(fitted):
    with pytest.raises(DataError, match=r"\[1, 32, 32\].*\[1, 28, 28\]"):
        fitted.audit(Examples(x=torch.zeros(2, 1, 32, 32)))


def test_a_model_with_tied_weights_and_without_batch_norm_can_be_audited():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(4, 4)
            self.second = nn.Linear(4, 4)
            self.second.weight = self.first.weight

        def forward(self, x):
            return self.second(self.first(x).relu())

    x = torch.randn(60, 4, generator=torch.Generator().manual_seed(0))
    task = ClassificationTask(Tied(), device="cpu")
    examples = Examples(x=x, y=torch.arange(60) % 4)
    verdicts = Auditor(task, TraceCoupling(features=LossTraces(QUICK))).fit(examples).audit(examples)
    assert verdicts.scores.isfinite().all()


def test_a_frozen_model_is_sampled_all_the_same(fashion):
    _, trusted, inputs = fashion
    model = shipped_model().requires_grad_(False)
    auditor = Auditor(ClassificationTask(model), TraceCoupling(features=LossTraces(QUICK))).fit(trusted)
    assert auditor.audit(inputs).scores.std() > 0
    assert not any(p.requires_grad for p in model.parameters())


@pytest.mark.parametrize("cut", [1, 7, 64])
def test_verdicts_do_not_depend_on_how_a_stream_is_cut(fashion, cut):
    task, trusted, inputs = fashion
    auditor = Auditor(task, calibrator=Calibrator(fpr=0.05)).fit(trusted)
    whole = auditor.audit(inputs)
    parts = list(auditor.stream(inputs.blocks(cut)))
    assert sum((part.ids for part in parts), ()) == whole.ids
    torch.testing.assert_close(torch.cat([part.scores for part in parts]), whole.scores, rtol=1e-4, atol=1e-4)
    changed = (torch.cat([part.p_values for part in parts]) - whole.p_values).abs()
    assert changed.max() <= 1 / len(trusted)


def test_a_stream_is_read_as_it_is_judged(fashion):
    task, trusted, inputs = fashion
    auditor = Auditor(task, Mahalanobis()).fit(trusted)
    read = []

    def batches():
        for batch in inputs.blocks(50):
            read.append(len(batch))
            yield batch

    verdicts = auditor.stream(batches())
    next(verdicts)
    assert read == [50]


def test_a_stream_has_no_false_discovery_rate(fashion):
    task, trusted, inputs = fashion
    auditor = Auditor(task, Mahalanobis(), calibrator=Calibrator(fdr=0.1)).fit(trusted)
    with pytest.raises(SettingsError, match="audit a stream with fpr"):
        next(auditor.stream([inputs]))


@pytest.mark.parametrize(
    "detector",
    [
        CouplingMap(),
        Ensemble(),
        GradientSpan(),
        Mahalanobis(features=UntrainedActivations()),
        LikelihoodRatio(features=Activations("output")),
        QuantumEntropy(features=Activations("output")),
        ScaleUp(),
        SentiNet(),
        Strip(),
        TeCo(),
        TED(),
        TwoGaussians(features=Activations("output")),
        VAE(features=Activations("output")),
    ],
    ids=lambda d: type(d).__name__,
)
def test_an_auditor_scores_later_inputs_as_before(fashion, tmp_path, detector):
    task, trusted, inputs = fashion
    auditor = Auditor(task, detector).fit(trusted)
    auditor.save(tmp_path / "a")
    loaded = Auditor.load(tmp_path / "a", task)
    torch.testing.assert_close(loaded.audit(inputs).scores, auditor.audit(inputs).scores)


def test_an_offline_detector_is_given_all_inputs_at_once(fashion, monkeypatch):
    task, trusted, inputs = fashion
    auditor = Auditor(task, QuantumEntropy(features=Activations("output")), calibrator=Calibrator(fpr=0.05))
    expected = auditor.fit(trusted).audit(inputs)
    monkeypatch.setattr("anomech.auditor.BLOCK", 33)
    assert same(auditor.audit(inputs), expected)
    assert not torch.allclose(auditor.audit(inputs[torch.arange(50)]).scores, expected.scores[:50])


def test_an_offline_detector_audits_no_stream(fashion):
    task, trusted, inputs = fashion
    auditor = Auditor(task, QuantumEntropy(features=Activations("output"))).fit(trusted)
    with pytest.raises(SettingsError, match="QuantumEntropy scores inputs by what else is in their batch"):
        next(auditor.stream([inputs]))


def test_a_language_model_has_no_classes_to_be_of_one_of():
    transformers = pytest.importorskip("transformers")
    config = transformers.LlamaConfig(
        vocab_size=30,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
    )
    torch.manual_seed(0)
    task = CausalLMTask(transformers.LlamaForCausalLM(config), device="cpu")
    tokens = torch.randint(30, (40, 9), generator=torch.Generator().manual_seed(0)).tolist()
    x = Examples(x=join_tokens([t[:5] for t in tokens], [t[5:] for t in tokens]))
    verdicts = Auditor(task, calibrator=Calibrator(fpr=0.1)).fit(x[torch.arange(30)]).audit(x[torch.arange(30, 40)])
    assert verdicts.scores.isfinite().all()


def test_a_score_that_is_no_number_is_an_error(fashion, monkeypatch):
    task, trusted, inputs = fashion
    auditor = Auditor(task, Mahalanobis()).fit(trusted)
    monkeypatch.setattr(Mahalanobis, "score", lambda self, inputs: torch.full((len(inputs),), torch.nan))
    with pytest.raises(DataError, match="is NaN or infinite"):
        auditor.audit(inputs)
