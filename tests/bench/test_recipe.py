from anomech.bench import recipe


def test_every_reading_and_sketch_is_measured_and_the_recipe_beats_the_naive_cosine(one_scene, monkeypatch):
    monkeypatch.setattr(recipe, "SIZES", (60,))
    rows = list(recipe.rows(one_scene))
    assert [row["detector"] for row in rows] == [*recipe.READINGS, *recipe.SKETCHES]
    assert all(row["n_trusted"] == 60 and 0 <= row["auroc"] <= 1 for row in rows)
    found = {row["detector"]: row["auroc"] for row in rows}
    assert found["jointly: what no combination explains (default)"] > found["pairs: cosine over all parameters"] + 0.05
