import json


def test_the_demo_reaches_what_it_promises(anomech):
    result = anomech("demo", "--json")
    assert result.status == 0
    found = json.loads(result.out)
    assert found["auroc"] >= 0.97
    assert found["tpr_at_fpr_1"] >= 0.9
    assert found["realised_fpr_1"] <= 0.03
    assert found["realised_fpr_5"] <= 0.09
    assert found["accuracy"] >= 0.88
    assert found["asr"] >= 0.99
