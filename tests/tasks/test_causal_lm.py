import pytest
import torch
from torch.nn import functional as F

from anomech.errors import DataError, ModelError
from anomech.examples import Examples
from anomech.features.gradient_sketch import GradientSketch
from anomech.gradients import GradientSketcher
from anomech.tasks import CausalLMTask
from anomech.tasks.causal_lm import from_padded, join_tokens
from anomech.tasks.tokens import pad_tokens

transformers = pytest.importorskip("transformers")

PROMPTS = [[5, 6, 7], [8, 9, 3, 4, 5, 6], [7]]
COMPLETIONS = [[1, 2, 3, 4], [9], [2, 2]]
SIZES = {"vocab_size": 40, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2}
HEADS = {"num_attention_heads": 4, "num_key_value_heads": 2}


def llama():
    config = transformers.LlamaConfig(**SIZES, **HEADS, tie_word_embeddings=True, initializer_range=0.3)
    return transformers.LlamaForCausalLM(config)


def gpt2():
    config = transformers.GPT2Config(vocab_size=40, n_embd=16, n_layer=2, n_head=2, n_positions=32)
    return transformers.GPT2LMHeadModel(config)


def gemma():
    return transformers.GemmaForCausalLM(transformers.GemmaConfig(**SIZES, **HEADS, head_dim=4))


@pytest.fixture(params=[llama, gpt2, gemma])
def task(request):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return CausalLMTask(request.param(), device="cpu")


@pytest.fixture
def x():
    return join_tokens(PROMPTS, COMPLETIONS)


def run(task, x):
    with torch.no_grad():
        return task.run(task.model, x)


def test_tokens_and_roles_are_padded_on_the_right(x):
    assert x.shape == (3, 2, 7)
    assert x[1].tolist() == [[8, 9, 3, 4, 5, 6, 9], [1, 1, 1, 1, 1, 1, 2]]
    assert x[2].tolist() == [[7, 2, 2, 0, 0, 0, 0], [1, 2, 2, 0, 0, 0, 0]]
    assert join_tokens(PROMPTS, COMPLETIONS, length=9)[2, 1].tolist() == [1, 2, 2, 0, 0, 0, 0, 0, 0]


def test_the_head_sees_only_the_tokens_before_those_of_a_completion(task, x):
    seen = []
    hook = task.model.get_output_embeddings().register_forward_hook(lambda _, args, output: seen.append(args[0].shape))
    with hook:
        run(task, x)
    assert [list(shape[:2]) for shape in seen] == [[len(x), max(map(len, COMPLETIONS))]]


def test_a_model_that_names_no_head_gives_the_same(task, x, monkeypatch):
    expected = run(task, x)
    monkeypatch.setattr(task.model, "get_output_embeddings", lambda: None)
    torch.testing.assert_close(run(task, x), expected)


def test_outputs_are_means_over_the_completion(task, x):
    outputs = run(task, x)
    for prompt, completion, (firmness, loss) in zip(PROMPTS, COMPLETIONS, outputs, strict=True):
        with torch.no_grad():
            logits = task.model(torch.tensor([prompt + completion])).logits[0, len(prompt) - 1 : -1]
        likelihood = F.cross_entropy(logits, torch.tensor(completion), reduction="none").neg().double()
        torch.testing.assert_close(loss.double(), -likelihood.mean(), atol=1e-5, rtol=1e-5)
        odds = likelihood - torch.log1p(-likelihood.exp())
        torch.testing.assert_close(firmness.double(), odds.mean(), atol=1e-5, rtol=1e-5)
    targets = task.own_output(outputs)
    assert targets.tolist() == [0, 0, 0]
    assert torch.equal(task.evidence(outputs, targets), outputs[:, 0])
    assert torch.equal(task.loss(outputs, targets), outputs[:, 1])


def test_padding_and_batch_composition_change_nothing(task, x):
    outputs = run(task, x)
    longer = join_tokens(PROMPTS, COMPLETIONS, length=20)
    longer[:, 0].masked_fill_(longer[:, 1] == 0, 11)
    torch.testing.assert_close(run(task, longer), outputs, atol=1e-5, rtol=1e-5)
    alone = [run(task, join_tokens([p], [c])) for p, c in zip(PROMPTS, COMPLETIONS, strict=True)]
    torch.testing.assert_close(torch.cat(alone), outputs, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("side", ["left", "right", "both"])
def test_a_batch_that_is_padded_on_either_side_gives_the_same_inputs(x, side):
    before = {"left": 8, "right": 0, "both": 3}[side]
    ids, mask, completed = torch.full((3, 15), 39), torch.zeros(3, 15), torch.zeros(3, 15, dtype=torch.bool)
    for row, (prompt, completion) in enumerate(zip(PROMPTS, COMPLETIONS, strict=True)):
        start = before if side != "left" else 15 - len(prompt) - len(completion)
        end = start + len(prompt) + len(completion)
        ids[row, start:end], mask[row, start:end] = torch.tensor(prompt + completion), 1
        completed[row, start + len(prompt) :] = True
    assert torch.equal(from_padded(ids, mask, completed), join_tokens(PROMPTS, COMPLETIONS, length=15))


def test_a_padded_batch_of_several_shapes_is_refused():
    with pytest.raises(DataError, match=r"of one shape, got \[2, 3\], \[2, 3\], \[2\]"):
        from_padded(torch.ones(2, 3), torch.ones(2, 3), torch.ones(2))


def test_inputs_beyond_the_context_are_refused(task):
    context = task.model.config.max_position_embeddings
    x = join_tokens([[5] * context, [5]], [[6, 6], [7]])
    with pytest.raises(DataError, match=f"1 of 2 inputs have more than the {context} tokens .* '0' {context + 2};"):
        task.check_labels(Examples(x=x))
    task.check_labels(Examples(x=x[1:]))


def test_what_is_padding_in_a_whole_batch_is_not_run(task, x):
    longer, seen = join_tokens(PROMPTS, COMPLETIONS, length=20), []
    task.model.register_forward_pre_hook(lambda _, __, given: seen.append(given["input_ids"].shape), with_kwargs=True)
    torch.testing.assert_close(run(task, longer), run(task, x), atol=1e-5, rtol=1e-5)
    run(task, longer[2:])
    assert seen == [(3, 7), (3, 7), (1, 3)]


@pytest.mark.parametrize("task", [llama, gpt2], indirect=True)
def test_the_rules_of_the_sketch_hold(task, x):
    sketcher = GradientSketcher(task.model, size=4, seed=0)
    found = sketcher.unfaithful(task.outputs, x, lambda outputs: [torch.tensor([1.0, 0.0]).expand_as(outputs)])
    assert found == []


def test_sketches_depend_on_neither_padding_nor_batch(task, x, tmp_path):
    extractor = GradientSketch(size=4)
    extractor.fit(task, Examples(x=x), tmp_path)
    together = extractor.extract(task, Examples(x=x), tmp_path)
    task.batch_size = 1
    alone = extractor.extract(task, Examples(x=join_tokens(PROMPTS, COMPLETIONS, length=9)), tmp_path)
    assert together.predictions.tolist() == [0, 0, 0]
    for name, values in together.layers.items():
        torch.testing.assert_close(alone.layers[name], values, atol=1e-4 * float(values.abs().max()), rtol=1e-4)


@pytest.mark.parametrize(
    ("prompts", "completions", "message"),
    [
        ([[1], [2]], [[3], []], "completion at 1 is empty"),
        ([[]], [[3]], "prompt at 0 is empty"),
        ([[1]], [], "1 prompts and 0 completions"),
        ([], [], "0 prompts"),
        ([[1, 2]], [[3, 4]], "4 tokens, more than length=3"),
    ],
)
def test_pairs_that_cannot_be_joined_are_named(prompts, completions, message):
    with pytest.raises(DataError, match=message):
        join_tokens(prompts, completions, length=3)


@pytest.mark.parametrize("roles", [[1, 1, 1], [2, 2, 0], [1, 2, 1], [0, 1, 2], [1, 2, 3], [1, 0, 2]])
def test_roles_out_of_order_are_refused(roles):
    good = join_tokens([[5]], [[6, 7]])
    bad = torch.tensor([[[5, 6, 7], roles]])
    task = CausalLMTask(llama(), device="cpu")
    task.check_labels(Examples(x=good))
    with pytest.raises(DataError, match="1 of 2 inputs, first '1', are not a prompt"):
        task.check_labels(Examples(x=torch.cat([good, bad])))


def test_an_input_without_a_completion_has_no_verdict():
    with pytest.raises(ModelError, match="an input has no completion"):
        CausalLMTask(llama(), device="cpu").predict(Examples(x=torch.tensor([[[5, 6], [1, 1]]])))


@pytest.mark.parametrize("x", [torch.rand(2, 2, 5), torch.ones(2, 5).long(), torch.ones(2, 3, 5).long()])
def test_inputs_of_another_form_are_refused(x):
    with pytest.raises(DataError, match=r"int64 \[n, 2, length\], got"):
        run(CausalLMTask(llama(), device="cpu"), x)


def test_models_that_cannot_answer_are_refused(x):
    with pytest.raises(ModelError, match=r"rejects token ids of shape \[3, 7\]"):
        run(CausalLMTask(llama(), device="cpu"), x + 40)
    with pytest.raises(ModelError, match=r"to NoneType; expected .* as a causal language model's head gives"):
        run(CausalLMTask(llama().model, device="cpu"), x)
    broken = llama()
    broken.model.norm.weight.data.fill_(torch.nan)
    with pytest.raises(ModelError, match="NaN or infinite logits"):
        CausalLMTask(broken, device="cpu").predict(Examples(x=x))


def test_losses_of_tokens_where_the_prompt_ends_do_not_depend_on_what_follows(task, x):
    with torch.no_grad():
        found = task.next_token_losses(x, (9, 2))
        expected = [-task.model(input_ids=torch.tensor([p])).logits[0, -1].log_softmax(0)[[9, 2]] for p in PROMPTS]
        torch.testing.assert_close(found, torch.stack(expected))
        torch.testing.assert_close(task.next_token_losses(pad_tokens(PROMPTS), (9, 2)), found)
    assert task.cost.forward_passes == 6
