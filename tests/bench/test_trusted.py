from anomech.bench import trusted


def test_every_detector_is_given_every_size(one_scene, monkeypatch):
    monkeypatch.setattr(trusted, "SUBSETS", {50: 3, 100: 2})
    rows = list(trusted.rows(one_scene))
    assert [(row["detector"], row["n_trusted"], row["subsets"]) for row in rows] == [
        (name, *sizes) for name in trusted.detectors(0) for sizes in ((50, 3), (100, 2))
    ]
    assert all(row["asr"] > 0.95 for row in rows)
