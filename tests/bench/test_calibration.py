from anomech.bench import calibration
from anomech.bench.setup import Setup
from anomech.detectors import Mahalanobis, QuantumEntropy


def test_every_scheme_keeps_its_rate_and_an_offline_detector_has_one(monkeypatch):
    monkeypatch.setattr(calibration, "SPLITS", 2)
    monkeypatch.setattr(calibration, "TRUSTED", 150)
    monkeypatch.setattr(calibration, "CLEAN", 200)
    monkeypatch.setattr(calibration, "FOLDS", 3)
    monkeypatch.setattr(calibration, "RATES", (0.1,))
    chosen = {"mahalanobis": Mahalanobis(), "que (offline)": QuantumEntropy()}
    monkeypatch.setattr(calibration, "detectors", lambda: chosen)
    rows = list(calibration.rows(Setup()))
    assert [(row["detector"], row["scheme"]) for row in rows] == [
        *(("mahalanobis", scheme) for scheme in calibration.SCHEMES),
        ("que (offline)", "left out"),
    ]
    assert all(0.02 < row["realised_fpr"] < 0.2 < row["tpr"] for row in rows)
