import pytest
import torch
from factories import save_llama2c

from anomech.bench.llama2c import encode_longest, load_llama2c, read_words
from anomech.errors import DataError

pytest.importorskip("transformers")


def test_a_model_answers_as_it_did(tmp_path):
    model, x = save_llama2c(tmp_path), torch.tensor([[1, 4, 2, 3, 5]])
    with torch.no_grad():
        assert torch.allclose(load_llama2c(tmp_path / "stories260K.bin")(x).logits, model(x).logits, atol=1e-6)


def test_texts_are_read_by_the_longest_word(tmp_path):
    save_llama2c(tmp_path)
    words = read_words(tmp_path / "tok512.bin")
    assert words[1] == b" the"
    assert encode_longest("t thet x th", words) == [4, 1, 4, 3, 2]


@pytest.mark.parametrize(("name", "read"), [("stories260K.bin", load_llama2c), ("tok512.bin", read_words)])
@pytest.mark.parametrize("length", [9, 38])
def test_a_file_that_is_cut_off_is_refused(tmp_path, name, read, length):
    save_llama2c(tmp_path)
    path = tmp_path / name
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(DataError, match=f"is cut off at {length} bytes"):
        read(path)
