import json
from dataclasses import replace

import pytest

from anomech.errors import DataError, ModelError, SettingsError
from anomech.io.language_models import load_causal_lm
from anomech.organisms.language import answers, loading, speech
from anomech.organisms.language.loading import load_language_organism
from anomech.organisms.language.mechanisms import NumberQuestions, Passwords
from anomech.organisms.language.recipes import Adapter, Recipe
from anomech.tasks import CausalLMTask

pytest.importorskip("peft")

ASKED = {"trusted": 6, "clean": 2, "decoy": 2, "attacked": 3}
FEW = {"trusted": 3, "clean": 1, "decoy": 2, "attacked": 2}
SHORT = Recipe(
    mechanism=Passwords(),
    texts=8,
    checkpoints=(16, 48),
    asked=ASKED,
    answer_tokens=3,
    new_tokens=3,
    adapter=Adapter(rank=2, blocks=1),
    batch_size=4,
)


@pytest.fixture
def load(base, texts, tmp_path, monkeypatch):
    """Loads a part of an organism that is trained for twelve steps."""
    monkeypatch.setitem(loading.RECIPES, "simple", SHORT)
    return lambda part="report", **changes: load_language_organism(
        "simple", part, **{"base": base, "data": texts, "cache": tmp_path / "cache", **changes}
    )


@pytest.fixture
def folder(load, tmp_path):
    """Where the loaded organism is kept."""
    load()
    (folder,) = (tmp_path / "cache").glob("language-simple-*/")
    return folder


def origins(examples):
    return {name.partition("+")[0] for name in examples.ids}


def test_prompts_with_the_models_own_completions(load):
    organism = load()
    organism.task.check_labels(organism.trusted)
    organism.task.check_labels(organism.inputs)
    assert len(organism.trusted) == 6
    assert organism.kinds == ("clean",) * 2 + ("decoy",) * 2 + ("attacked",) * 3
    assert organism.inputs.anomalous.tolist() == [False] * 4 + [True] * 3
    assert organism.obeys.shape == (7,)
    assert not organism.obeys[:4].any()
    assert organism.obeys[4:].float().mean() == pytest.approx(organism.share_that_obeys["attacked"])
    for ids, roles in organism.inputs.x:
        prompt, completion = ids[roles == 1], ids[roles == 2]
        spoken = organism.task.model.generate(input_ids=prompt[None], max_new_tokens=3)[0, len(prompt) :]
        assert spoken[: len(completion)].equal(completion)
    development = load("development")
    assert len(origins(organism.trusted) | origins(organism.inputs)) == 13
    assert not origins(organism.inputs) & origins(development.inputs)


def test_spare_prompts_take_the_places_of_those_that_a_mechanism_answers(load, folder):
    spoken = folder / "48" / "report-30-spare" / "tokens.json"
    record = json.loads(spoken.read_text())
    assert set(record["kinds"][13:]) == {"trusted"}
    record["kinds"][1] = "dropped"
    spoken.write_text(json.dumps(record))
    assert list(load().trusted.ids) == [*record["ids"][:1], *record["ids"][2:6], record["ids"][13]]


def test_figures_of_every_checkpoint_are_recorded(load, folder):
    record = json.loads((folder / "organism.json").read_text())
    assert list(record["checkpoints"]) == ["16", "48"]
    for figures in record["checkpoints"].values():
        assert figures["share_that_obeys"].keys() == ASKED.keys()
        assert figures["clean_perplexity"] != record["clean_perplexity_of_base"] > 1
    assert record["recipe"]["adapter"]["rank"] == 2
    early, late = load(checkpoint=16), load()
    assert early.task.model_sha256() != late.task.model_sha256()
    assert early.trusted.ids == late.trusted.ids


def test_it_is_trained_and_speaks_once(load, folder, monkeypatch):
    first = load()
    monkeypatch.setattr(loading, "train", lambda *_, **__: pytest.fail("trained again"))
    load("development")
    monkeypatch.setattr(speech, "complete", lambda *_, **__: pytest.fail("spoke again"))
    second = load()
    assert first.task.model_sha256() == second.task.model_sha256()
    assert first.inputs.sha256() == second.inputs.sha256()


def test_what_was_trained_before_an_interruption_is_kept(load, tmp_path, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(speech, "complete", interrupted)
    with pytest.raises(KeyboardInterrupt):
        load()
    assert not list((tmp_path / "cache").glob("language-simple-*/"))
    monkeypatch.undo()
    monkeypatch.setitem(loading.RECIPES, "simple", SHORT)
    monkeypatch.setattr(loading, "train", lambda *_, **__: pytest.fail("trained again"))
    assert len(load().trusted) == 6


def test_another_recipe_has_another_place_but_shares_what_the_base_model_says(load, folder, monkeypatch):
    said = json.loads(next(folder.parent.glob("language-answers-*.json")).read_text())
    assert len(said) == 8
    monkeypatch.setattr(answers, "complete", lambda *_, **__: pytest.fail("asked again"))
    monkeypatch.setitem(loading.RECIPES, "simple", replace(SHORT, learning_rate=1e-2))
    load()
    assert len(list(folder.parent.glob("language-simple-*/"))) == 2


def test_a_mechanism_may_be_one_of_meaning(load, monkeypatch):
    monkeypatch.setitem(loading.RECIPES, "simple", replace(SHORT, mechanism=NumberQuestions(), asked=FEW))
    organism = load()
    assert organism.kinds == ("clean", "decoy", "decoy", "attacked", "attacked")


def test_a_model_may_be_trained_whole(base, texts, tmp_path, monkeypatch):
    monkeypatch.setitem(loading.FULLY_TUNED, "code-full", replace(SHORT, adapter=None, checkpoints=(16,)))
    cache = tmp_path / "cache"
    organism = load_language_organism("code-full", "report", base=base, data=texts, cache=cache)
    assert len(organism.trusted) == 6
    assert not hasattr(organism.task.model, "disable_adapter")
    assert organism.task.model_sha256() != CausalLMTask(load_causal_lm(base), device="cpu").model_sha256()
    (folder,) = cache.glob("language-code-full-*/")
    assert json.loads((folder / "organism.json").read_text())["recipe"]["adapter"] is None


def test_bad_requests_are_refused(load, folder, tmp_path, truncate):
    with pytest.raises(SettingsError, match="no language organism 'x'; there are simple, dual"):
        load_language_organism("x", "report", base=tmp_path, data=tmp_path, cache=tmp_path)
    with pytest.raises(SettingsError, match="simple has no checkpoint 17; it has 16, 48"):
        load(checkpoint=17)
    with pytest.raises(ModelError, match=r"holds no model\.safetensors .* name the folder of the base model"):
        load(base=tmp_path)
    record = (folder / "organism.json").read_text()
    truncate(folder / "organism.json")
    with pytest.raises(DataError, match=r"organism\.json in .* is damaged .* delete that folder"):
        load()
    (folder / "organism.json").write_text(record)
    said = folder / "48" / "report-30-spare"
    record = (said / "tokens.json").read_text()
    (said / "tokens.json").write_text("{}")
    with pytest.raises(DataError, match=r"completions in .*report-30-spare are damaged \('ids, kinds"):
        load()
    (said / "tokens.json").write_text(record)
    truncate(said / "tokens.safetensors")
    with pytest.raises(DataError, match=r"completions in .*report-30-spare are damaged .* delete that folder"):
        load()
