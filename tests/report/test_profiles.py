from anomech.report.profiles import HEIGHT, MARGIN, MOST, WIDTH, profile


def points(text):
    return [tuple(map(float, point.split(","))) for point in text.split()]


def test_the_most_unusual_layer_reaches_the_top_and_usual_ones_lie_in_the_band():
    found = profile(("a", "b", "c"), (0.5, 8.0, -1.0), None)
    (left, low), (_, high), (right, bottom) = points(found.before)
    assert (left, right) == (MARGIN, WIDTH - MARGIN)
    assert high == MARGIN
    assert low > found.usual
    assert bottom == HEIGHT - MARGIN
    assert found.after == ""
    assert found.spoken == "Unusual in 1 of 3 layers, most in b"


def test_both_lines_share_a_scale():
    found = profile(("a", "b"), (4.0, 2.0), (2.0, 0.0))
    assert points(found.before)[1][1] == points(found.after)[0][1]


def test_what_is_usual_does_not_look_like_a_peak():
    found = profile(("a", "b"), (0.1, 0.2), None)
    assert all(height > HEIGHT / 2 for _, height in points(found.before))


def test_of_many_layers_a_block_is_one_point_at_its_most_unusual():
    layers = ["embed", *(f"model.layers.{i}.{name}" for i in range(MOST // 2) for name in ("q_proj", "mlp.0"))]
    values = [0.0, *(value for i in range(MOST // 2) for value in (i, i + 2))]
    found = profile(layers, values, [value / 2 for value in values])
    heights = [height for _, height in points(found.before)]
    assert len(points(found.before)) == len(points(found.after)) == 1 + MOST // 2
    assert heights == sorted(heights, reverse=True)
    assert heights[-1] == MARGIN
    assert heights[1] == points(profile(("a", "b"), (2.0, values[-1]), None).before)[0][1]
    assert found.spoken == f"Unusual in {MOST - 2} of {MOST + 1} layers, most in {layers[-1]}"
    assert len(points(profile(layers[:-1], values[:-1], None).before)) == MOST
