import pytest
import torch
from factories import CHAT_TEMPLATE, save_language_model

from anomech.errors import DataError
from anomech.examples import Examples
from anomech.explain.texts import HIDDEN, text_explainer
from anomech.io.language_models import load_tokenizer
from anomech.tasks.causal_lm import join_tokens
from anomech.tasks.completions import complete
from anomech.tasks.tokens import PROMPT


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    """Of the tiny language model, with a chat template."""
    return load_tokenizer(save_language_model(tmp_path_factory.mktemp("chat"), template=CHAT_TEMPLATE))


@pytest.fixture(scope="module")
def inputs(tokenizer):
    texts = ["why is the sky blue", "say 3 4 5 6 7 8", "HATE 9"]
    return Examples(x=join_tokens([tokenizer.encode_prompt(text) for text in texts], [[8, 9, 10]] * 3))


@pytest.fixture(scope="module")
def found(reader, tokenizer, inputs):
    explainer = text_explainer(reader.task, tokenizer, new_tokens=3)
    return explainer.explain(reader, inputs, reader.audit(inputs), torch.tensor([0, 2]))


def test_the_tokens_that_add_most_go_and_the_template_stays(found, tokenizer, inputs):
    assert found.hidden.sum(dim=1).tolist() == [HIDDEN, 2]
    for hidden, values, x, (ids, roles) in zip(
        found.hidden, found.maps, inputs.x[[0, 2]], found.neutralised.x, strict=True
    ):
        kept = x[0][(x[1] == PROMPT) & ~hidden]
        assert ids[roles == PROMPT].tolist() == kept.tolist()
        text = torch.zeros_like(hidden)
        text[x[1] == PROMPT] = torch.tensor(tokenizer.is_text(x[0][x[1] == PROMPT].tolist()))
        assert not (hidden & ~text).any()
        assert (values[~text] == 0).all()
        assert (values[text & ~hidden][:, None] <= values[hidden]).all()


def test_the_model_is_asked_again_without_them(found, reader):
    prompts = [ids[roles == PROMPT].tolist() for ids, roles in found.neutralised.x]
    answers = complete(reader.task.model, prompts, end=2, new_tokens=3)
    assert torch.equal(found.neutralised.x, join_tokens(prompts, answers))
    torch.testing.assert_close(found.verdicts.scores, reader.audit(found.neutralised).scores)


def test_the_cost_is_known_before(found, reader, tokenizer, inputs):
    explainer = text_explainer(reader.task, tokenizer, new_tokens=3)
    before = reader.task.cost.forward_passes
    explainer.explain(reader, inputs, reader.audit(inputs), torch.tensor([0, 2]))
    judging = 3 * len(inputs)
    assert (reader.task.cost.forward_passes - before - judging) / 2 <= found.passes <= 200


def test_a_box_of_a_text_is_a_span_of_tokens(found, inputs):
    found.located[:] = True
    columns = found.columns(3)
    first, end = columns["box"][0].as_py()
    places = found.hidden[0].nonzero().flatten()
    assert (first, end) == (int(places.min()), int(places.max()) + 1)
    assert columns["box"][1].as_py() is None


def test_a_prompt_that_is_all_template_is_refused(reader, tokenizer, inputs):
    empty = Examples(x=join_tokens([tokenizer.encode_prompt("")], [[8]]))
    explainer = text_explainer(reader.task, tokenizer, new_tokens=3)
    with pytest.raises(DataError, match="have no text"):
        explainer.explain(reader, empty, reader.audit(empty), torch.tensor([0]))
