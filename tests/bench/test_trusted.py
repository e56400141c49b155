from anomech.bench import trusted


def test_every_detector_is_given_every_size(one_scene, monkeypatch):
    monkeypatch.setattr(trusted, "SIZES", (50, 100))
    rows = list(trusted.rows(one_scene))
    assert [(row["detector"], row["n_trusted"]) for row in rows] == [
        (name, size) for name in trusted.detectors(0) for size in (50, 100)
    ]
    assert all(row["asr"] > 0.95 for row in rows)
