import pytest
import torch
from torch.func import functional_call, grad
from torch.nn import functional as F

from anomech.auditor import Auditor
from anomech.calibration import Calibrator
from anomech.errors import DataError, ModelError
from anomech.examples import Examples
from anomech.functional.losses import log_odds
from anomech.gradients import GradientSketcher
from anomech.gradients.layers import as_matrix, rule_of
from anomech.tasks import SequenceClassificationTask
from anomech.tasks.tokens import pad_tokens

transformers = pytest.importorskip("transformers")

TEXTS = [[5, 6, 7], [8, 9, 3, 4, 5, 6, 30], [7], [12, 3, 11, 9]]
SIZES = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}
SHARED = {"vocab_size": 40, "num_labels": 3, "initializer_range": 0.5, "bos_token_id": 1, "eos_token_id": 2}


def bert():
    config = transformers.BertConfig(**SIZES, **SHARED, pad_token_id=0, max_position_embeddings=32)
    return transformers.BertForSequenceClassification(config)


def roberta():
    config = transformers.RobertaConfig(**SIZES, **SHARED, pad_token_id=0, max_position_embeddings=32)
    return transformers.RobertaForSequenceClassification(config)


def distilbert():
    sizes = {"dim": 16, "hidden_dim": 24, "n_layers": 2, "n_heads": 2, "max_position_embeddings": 32}
    return transformers.DistilBertForSequenceClassification(
        transformers.DistilBertConfig(**sizes, **SHARED, pad_token_id=0)
    )


def llama():
    return transformers.LlamaForSequenceClassification(transformers.LlamaConfig(**SIZES, **SHARED, pad_token_id=39))


def gpt2():
    config = transformers.GPT2Config(n_embd=16, n_layer=2, n_head=2, n_positions=32, **SHARED, pad_token_id=39)
    return transformers.GPT2ForSequenceClassification(config)


MODELS = [bert, roberta, distilbert, llama, gpt2]


@pytest.fixture(params=MODELS)
def task(request):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return SequenceClassificationTask(request.param(), device="cpu")


@pytest.fixture
def x():
    return pad_tokens(TEXTS)


def run(task, x):
    with torch.no_grad():
        return task.run(task.model, x)


def plain(task, text):
    """Logits `[1, classes]` of a text by itself, without padding, as transformers gives them."""
    return task.model(input_ids=torch.tensor([text])).logits


def test_outputs_are_the_models_logits_and_the_behaviour_is_a_classifiers(task, x):
    with torch.no_grad():
        logits = torch.cat([plain(task, text) for text in TEXTS])
    assert logits.std(0).max() > 1e-2, "texts are told apart"
    torch.testing.assert_close(run(task, x), logits, atol=1e-5, rtol=1e-5)
    predictions = task.predict(Examples(x=x))
    assert torch.equal(predictions, logits.argmax(1))
    losses = task.losses(task.model, Examples(x=x), predictions)
    torch.testing.assert_close(losses, F.cross_entropy(logits, predictions, reduction="none"), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(task.evidence(logits, predictions), log_odds(logits, predictions))
    assert task.count_classes(x[:1]) == 3


def test_padding_and_batch_composition_change_nothing(task, x):
    outputs = run(task, x)
    longer = pad_tokens(TEXTS, length=20)
    longer[:, 0].masked_fill_(longer[:, 1] == 0, 11)
    with torch.no_grad():
        untrimmed = task.outputs(task.model, longer)
    torch.testing.assert_close(untrimmed, outputs, atol=1e-5, rtol=1e-5)
    alone = [run(task, pad_tokens([text])) for text in TEXTS]
    torch.testing.assert_close(torch.cat(alone), outputs, atol=1e-5, rtol=1e-5)


def test_what_is_padding_in_a_whole_batch_is_not_run(task):
    longer, seen = pad_tokens(TEXTS, length=20), []
    task.model.register_forward_pre_hook(lambda _, __, given: seen.append(given["input_ids"].shape), with_kwargs=True)
    run(task, longer)
    run(task, longer[2:])
    assert seen == [(4, 7), (2, 4)]


def test_sketches_are_projections_of_the_gradients_of_texts_by_themselves(task, x):
    model = task.model
    sketcher = GradientSketcher(model, size=4, seed=0)
    _, (sketches,) = sketcher.sketch(task.run, x, lambda outputs: [outputs.sin()])
    weights = {name: p.detach() for name, p in model.named_parameters()}

    def value(weights, text):
        logits = functional_call(model, weights, kwargs={"input_ids": torch.tensor([text])}).logits
        return (logits * logits.detach().sin()).sum()

    alone = [grad(value)(weights, text) for text in TEXTS]
    owners = {id(p): layer for layer in model.modules() if rule_of(layer) for p in layer.parameters(recurse=False)}
    assert sketches.keys() == weights.keys()
    for name, p in model.named_parameters():
        matrices = as_matrix(owners.get(id(p)), p, torch.stack([gradients[name] for gradients in alone]))
        expected = sketcher.projections[name](matrices)
        torch.testing.assert_close(
            sketches[name], expected, rtol=1e-4, atol=1e-5 + 1e-5 * float(expected.abs().max()), msg=name
        )
    assert all(sketches[name].any() for name in sketches if "position" in name or "wpe" in name)


def test_every_parameter_has_a_rule_that_holds(task, x):
    assert GradientSketcher(task.model, size=4, seed=0).unfaithful(task.outputs, x, lambda out: [out.sin()]) == []
    assert not any(m._forward_pre_hooks for m in task.model.modules())


def test_scores_depend_on_neither_padding_nor_batch(task):
    generator = torch.Generator().manual_seed(0)
    lengths = torch.randint(1, 12, (60,), generator=generator).tolist()
    texts = [torch.randint(3, 39, (length,), generator=generator).tolist() for length in lengths]
    auditor = Auditor(task, calibrator=Calibrator(fpr=0.1)).fit(Examples(x=pad_tokens(texts[:50])))
    together = auditor.audit(Examples(x=pad_tokens(texts[50:], length=20)))
    alone = [auditor.audit(Examples(x=pad_tokens([text]))).scores for text in texts[50:]]
    assert together.scores.std() > 0.01
    torch.testing.assert_close(torch.cat(alone), together.scores, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("roles", [[0, 0, 0], [0, 1, 1], [1, 0, 1], [1, 2, 0], [2, 1, 1], [1, 1, -1]])
def test_inputs_that_are_no_text_followed_by_padding_are_refused(roles):
    task = SequenceClassificationTask(bert(), device="cpu")
    good, bad = pad_tokens([[5, 6]], length=3), torch.tensor([[[5, 6, 7], roles]])
    task.check_labels(Examples(x=good, y=torch.tensor([2])))
    with pytest.raises(DataError, match="1 of 2 inputs, first '1', are not tokens"):
        task.check_labels(Examples(x=torch.cat([good, bad])))
    with pytest.raises(DataError, match="labels range from 3 to 3"):
        task.check_labels(Examples(x=good, y=torch.tensor([3])))


def test_a_model_that_knows_no_padding_is_refused():
    model = transformers.LlamaForSequenceClassification(transformers.LlamaConfig(**SIZES, **SHARED))
    with pytest.raises(ModelError, match="has no pad_token_id, so the model cannot tell where a text ends; set it"):
        SequenceClassificationTask(model, device="cpu")


def test_models_and_inputs_that_do_not_fit_are_refused(x):
    task = SequenceClassificationTask(bert(), device="cpu")
    with pytest.raises(ModelError, match=r"rejects token ids of shape \[4, 7\].* tokens of its own tokenizer"):
        run(task, x + torch.tensor([40, 0])[:, None])
    with pytest.raises(DataError, match=r"int64 \[n, 2, length\], got .* pad_tokens"):
        task.predict(Examples(x=torch.rand(2, 2, 5)))
    with pytest.raises(ModelError, match="returns a NoneType, not a tensor of logits"):
        run(SequenceClassificationTask(bert().bert, device="cpu"), x)
