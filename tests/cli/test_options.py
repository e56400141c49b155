import re

import pytest

from anomech.cli.options import (
    DetectorName,
    absolute_spec,
    build_detector,
)
from anomech.detectors import (
    TED,
    VAE,
    Beatrix,
    ByLayer,
    CouplingMap,
    Energy,
    Ensemble,
    GradientCoupling,
    GradientSpan,
    IsolationForest,
    LikelihoodRatio,
    LocalOutlierFactor,
    Mahalanobis,
    MaxSoftmax,
    NearestNeighbours,
    NormalizingFlow,
    PCAMahalanobis,
    Perplexity,
    QuantumEntropy,
    ScaleUp,
    SentiNet,
    Strip,
    TeCo,
    TraceCoupling,
    TwoGaussians,
)
from anomech.errors import SettingsError
from anomech.features import AttributionEffects, LossTraces, ProbeShift, UntrainedActivations
from anomech.sampling import SGLD, IsotropicNoise, RMSpropSGLD

SAMPLING = DetectorName.SAMPLING


def build(*assignments, name=SAMPLING, seed=0):
    return build_detector(name, seed=seed, assignments=assignments)


@pytest.mark.parametrize(
    ("name", "detector"),
    [
        ("gradient", GradientSpan()),
        ("coupling", GradientCoupling()),
        ("sampling", TraceCoupling()),
        ("sgld", TraceCoupling(features=LossTraces(SGLD()))),
        ("noise", TraceCoupling(features=LossTraces(IsotropicNoise()))),
        ("paper", TraceCoupling(features=LossTraces(RMSpropSGLD.paper()), measure="pearson", pooling="class-level")),
        ("mahalanobis", Mahalanobis()),
        ("pca-mahalanobis", PCAMahalanobis()),
        ("max-softmax", MaxSoftmax()),
        ("scale-up", ScaleUp()),
        ("sentinet", SentiNet()),
        ("strip", Strip()),
        ("teco", TeCo()),
        ("lof", LocalOutlierFactor()),
        ("isolation-forest", IsolationForest()),
        ("knn", NearestNeighbours()),
        ("energy", Energy()),
        ("ensemble", Ensemble()),
        ("beatrix", Beatrix()),
        ("ted", TED()),
        ("vae", VAE()),
        ("flow", NormalizingFlow()),
        ("que", QuantumEntropy()),
        ("likelihood-ratio", LikelihoodRatio()),
        ("two-gaussians", TwoGaussians()),
        ("residual", ByLayer()),
        ("attribution", ByLayer(features=AttributionEffects())),
        ("probe-shift", ByLayer(features=ProbeShift())),
        ("perplexity", Perplexity()),
        ("umap", CouplingMap()),
        ("umap-sampling", CouplingMap(couplings=TraceCoupling())),
        ("random-features", Mahalanobis(features=UntrainedActivations())),
    ],
)
def test_every_name_builds_its_detector(name, detector):
    assert build(name=DetectorName(name)) == detector


def test_the_seed_reaches_the_sampler():
    assert build(seed=7).features.sampler.seed == 7


def test_settings_are_found_in_the_detector_its_features_and_their_sampler():
    detector = build("k=3", "measure=pearson", "keep=seed", "draws=12")
    assert (detector.k, detector.measure) == (3, "pearson")
    assert (detector.features.keep, detector.features.sampler.draws) == ("seed", 12)
    assert detector.features.sampler.burn_in == RMSpropSGLD().burn_in


@pytest.mark.parametrize(
    ("assignment", "name", "value"),
    [
        ("burn-in=5", "burn_in", 5),
        ("gamma=500", "gamma", 500.0),
        ("step_size=1", "step_size", 1.0),
        ("step_size=1e-6", "step_size", 1e-6),
        ("step_size=null", "step_size", None),
        ("batch_norm=frozen", "batch_norm", "frozen"),
    ],
)
def test_values_are_read_as_the_setting_needs_them(assignment, name, value):
    found = getattr(build(assignment).features.sampler, name)
    assert found == value
    assert type(found) is type(value)


def test_the_last_assignment_counts():
    assert build("draws=5", "draws=6").features.sampler.draws == 6


BAD = {
    "draws": "--set takes name=value, got 'draws'",
    "drawz=3": "no setting 'drawz'; it has .*draws",
    "sampler=noise": "no setting 'sampler'",
    "draws=many": "draws takes a value like 75, got 'many'",
    "draws=2.5": "draws takes a value like 75, got 2.5",
    "draws=null": "draws takes a value like 75, got None",
    "draws=true": "draws takes a value like 75, got True",
    "gamma=strong": "gamma takes a value like 10000.0, got 'strong'",
    "gamma=true": "gamma takes a value like 10000.0, got True",
    "measure=3": "measure takes a value like 'concordance', got 3",
    "step_size=small": "step_size takes a number, got 'small'",
    "draws=1": "draws at least 2",
    "gamma=0": "gamma and step_size must be positive",
    "pooling=median": "pooling must be one of mean",
    "k=0": "k must be at least 1",
}


@pytest.mark.parametrize(("assignment", "words"), BAD.items(), ids=BAD)
def test_settings_that_make_no_sense(assignment, words):
    with pytest.raises(SettingsError, match=words):
        build(assignment)


@pytest.mark.parametrize("name", ["mahalanobis", "max-softmax", "noise"])
def test_a_setting_of_another_detector(name):
    with pytest.raises(SettingsError, match="no setting 'burn_in'"):
        build("burn_in=3", name=DetectorName(name))


@pytest.mark.parametrize(
    ("spec", "absolute"),
    [
        ("net.py:build", "{0}/net.py:build"),
        ("net.py:build@w.pt", "{0}/net.py:build@{0}/w.pt"),
        ("package.net:build@w.pt", "package.net:build@{0}/w.pt"),
        ("package.net:build", "package.net:build"),
        (".", "{0}"),
    ],
)
def test_a_spec_can_be_used_from_anywhere(tmp_path, spec, absolute):
    (tmp_path / "net.py").touch()
    assert absolute_spec(spec) == absolute.format(tmp_path)


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("--set=draws", "--set takes name=value"),
        ("--set=draws=3", "no setting 'draws'; it has layer"),
        ("--set=layer=7", "layer takes a value like 'output', got 7"),
        ("--set=layer=middle", "no module of the model is called 'middle'"),
        ("--set=position=first", 'position must be "mean", "last" or whole numbers'),
        ("--fpr=0", "fpr must lie between 0 and 1, got 0"),
        ("--fpr=2", "fpr must lie between 0 and 1, got 2"),
        ("--fpr=nan", "fpr must lie between 0 and 1, got nan"),
        ("--fdr=1", "fdr must lie between 0 and 1, got 1"),
        ("--device=abacus", "cannot use device 'abacus'"),
    ],
)
def test_the_command_line_refuses_them(refused, audit, option, words):
    refused(*audit(), option, words=re.escape(words))


@pytest.mark.usefixtures("small_demo")
@pytest.mark.parametrize("option", ["--fpr=0", "--set=drawz=3"])
def test_the_demo_refuses_them(refused, option):
    refused("demo", "--detector", "max-softmax", option)


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("--fpr=low", "Invalid value for '--fpr'"),
        (
            "--detector=psychic",
            "'psychic' is not one of 'gradient', 'coupling', 'sampling', 'paper', 'sgld', 'noise', 'mahalanobis'",
        ),
        ("--batch-size=0", "Invalid value for '--batch-size'"),
        ("--sed=1", "No such option: --sed"),
        ("--out", "Option '--out' requires an argument"),
    ],
)
def test_the_command_line_explains_options_that_it_cannot_read(anomech, audit, tmp_path, option, words):
    result = anomech(*audit(), option)
    assert result.status == 2
    assert words in " ".join(result.messages.replace("│", " ").split())
    assert "Traceback" not in result.err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("missing", ["model", "trusted", "inputs"])
def test_an_audit_needs_a_model_and_data(anomech, audit, missing):
    result = anomech(*(argument for argument in audit() if not argument.startswith(f"--{missing}=")))
    assert result.status == 2
    assert f"Missing option '--{missing}'" in result.messages


def test_a_setting_of_an_ensemble_is_one_of_every_member_that_has_it():
    ensemble = build_detector(DetectorName.ENSEMBLE, seed=5, assignments=["damping=0.1"])
    gradient, *_ = ensemble.members
    assert gradient.damping == 0.1
    assert gradient.features.seed == 5
    assert len(ensemble.features.parts) == 2
