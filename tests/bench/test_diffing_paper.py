from anomech.bench.diffing_paper import LAYERS, REPORTED, same_depth


def test_layers_of_the_shipped_language_models_base_lie_as_deep_as_the_papers():
    assert [same_depth(layer, 30) for layer in LAYERS] == [13, 17, 21, 24]
    assert [same_depth(layer, 32) for layer in LAYERS] == list(LAYERS)


def test_every_method_of_the_paper_has_a_figure_a_layer():
    assert all(set(figures) == set(LAYERS) for figures in REPORTED.values())
