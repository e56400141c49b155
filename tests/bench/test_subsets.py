import torch

from anomech.bench.subsets import SUBSETS, over_subsets
from anomech.detectors import MaxSoftmax
from anomech.examples import Examples
from anomech.features import Features


def features(n, seed):
    logits = torch.randn(n, 3, generator=torch.Generator().manual_seed(seed))
    return Features({"output": logits}, logits.argmax(1))


def test_figures_are_means_over_subsets_and_of_all_where_there_are_no_more():
    inputs = Examples(x=torch.zeros(40, 1), anomalous=torch.arange(40) < 20)
    some, all_of_them = (
        over_subsets(MaxSoftmax(), features(100, 0), features(40, 1), inputs, size=size, seed=0) for size in (30, 200)
    )
    assert (some["n_trusted"], some["subsets"]) == (30, SUBSETS)
    assert (all_of_them["n_trusted"], all_of_them["subsets"]) == (100, 1)
    assert some["auroc"] == all_of_them["auroc"]
    assert some["realised_fpr_5"] * SUBSETS * 20 % 1 < 1e-9
    assert some["der"] is None
