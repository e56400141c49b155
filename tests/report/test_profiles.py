from anomech.report.profiles import HEIGHT, MARGIN, WIDTH, profile


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
