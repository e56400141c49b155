import torch

from anomech.functional.count_sketch import CountSketch


def test_inner_products_are_kept_in_the_mean_with_the_known_spread():
    generator = torch.Generator().manual_seed(0)
    a, b = torch.randn(2, 5000, generator=generator)
    b = a + 0.5 * b
    a, b = a / a.norm(), b / b.norm()
    found = [torch.dot(*map(CountSketch(5000, width=400, seed=seed), (a, b))) for seed in range(200)]
    off = torch.stack(found) - torch.dot(a, b)
    assert abs(float(off.mean())) < 3 * 0.07 / 200**0.5
    assert 0.5 < float(off.std()) / (1 + float(torch.dot(a, b)) ** 2) ** 0.5 * 400**0.5 < 1.5


def test_it_is_linear_and_given_by_its_seed():
    sketch, vectors = CountSketch(50, width=8, seed=3), torch.arange(100.0).view(2, 50)
    torch.testing.assert_close(sketch(vectors[0]) + 2 * sketch(vectors[1]), sketch(vectors[0] + 2 * vectors[1]))
    assert CountSketch(50, width=8, seed=3)(vectors[0]).equal(sketch(vectors[0]))
    assert not CountSketch(50, width=8, seed=4)(vectors[0]).equal(sketch(vectors[0]))
