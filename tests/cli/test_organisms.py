def test_missing_data_is_said(refused, tmp_path):
    words = ("Fashion-MNIST cannot be read from .*nowhere", "Point --data at its IDX files")
    refused("organisms", "train", "--data", tmp_path / "nowhere", words=words)
