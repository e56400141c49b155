import json

from anomech.bench.suite import KEYS, run_suite


def test_every_row_has_the_common_keys_and_is_written_when_it_is_there(tmp_path):
    written = []

    def rows():
        yield {"detector": "a", "auroc": 0.5, "extra": 1, "seed": 7}
        written.append(json.loads((tmp_path / "results.json").read_text()))
        yield {"detector": "b", "auroc": None}

    run_suite("demo", rows(), ["detector", "auroc", "extra"], tmp_path, options=["--data DATA"])
    assert [len(rows) for rows in written] == [1]
    results = json.loads((tmp_path / "results.json").read_text())
    assert all(set(KEYS) <= row.keys() for row in results)
    assert results[1]["suite"] == "demo"
    table = (tmp_path / "results.md").read_text()
    assert "`anomech bench demo --out DIR --data DATA`" in table
    assert "; seed 7; " in table.splitlines()[0]
    assert "| a | 0.500 | 1 |" in table
    assert "| b | – | – |" in table
