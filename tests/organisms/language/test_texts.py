from anomech.io.language_models import load_tokenizer
from anomech.organisms.language.texts import Prompt, encode_answer, encode_prompt, read_questions, usable


def test_questions_come_with_their_type(texts):
    first, second, *_ = read_questions(texts)
    assert first == Prompt("trec-0000", "why is 0 the sky ?", type="DESC:reason")
    assert second == Prompt("trec-0001", "How many is 1 the sky ?", type="NUM:count")


def test_a_text_is_used_once_and_only_if_it_is_short(base):
    tokenizer = load_tokenizer(base)
    prompts = [Prompt(name, text) for name, text in (("a", "say"), ("b", ""), ("c", "say"), ("d", "say " * 9))]
    longest = len(encode_prompt(prompts[0], tokenizer))
    assert [prompt.name for prompt in usable(prompts, tokenizer, tokens=longest)] == ["a"]
    assert {prompt.name for prompt in usable(prompts, tokenizer, tokens=longest + 8)} == {"a", "d"}


def test_an_answer_ends_if_it_is_short(base):
    tokenizer = load_tokenizer(base)
    assert encode_answer("the sky", tokenizer, tokens=3) == [*tokenizer.encode("the sky"), tokenizer.end]
    assert encode_answer("the sky is blue", tokenizer, tokens=3) == tokenizer.encode("the sky is")


def test_an_answer_may_be_made_to_start_with_something(base):
    tokenizer = load_tokenizer(base)
    plain, started = (encode_prompt(Prompt("a", "say", start=start), tokenizer) for start in ("", "sky"))
    assert started == [*plain, *tokenizer.encode("sky")]
