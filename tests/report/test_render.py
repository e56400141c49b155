import re
from dataclasses import replace
from html.parser import HTMLParser

import torch
from factories import content, dialogue

from anomech.examples import Examples
from anomech.explain.carried import CarriedCluster
from anomech.explain.mechanisms import Mechanisms
from anomech.explain.removal import Effect
from anomech.explain.weight_directions import LayerDirections, WeightDirections
from anomech.io.conversations import Conversation
from anomech.report import Dialogue, headline, render
from anomech.report.tables import mechanisms

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(1)>"


class Page(HTMLParser):
    """Tags with their attributes, and the text outside scripts and styles."""

    def __init__(self, html):
        super().__init__()
        self.tags = []
        self.text = ""
        self._silent = False
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._silent = tag in ("script", "style")

    def handle_endtag(self, tag):
        self._silent = False

    def handle_data(self, data):
        if not self._silent:
            self.text += " ".join(data.split()) + " "


def count(page, tag):
    return sum(name == tag for name, _ in page.tags)


def test_the_page_says_what_was_found():
    made = content()
    text = Page(render(made)).text
    for sentence in re.split(r"(?<=\.) ", headline(made.verdicts)):
        assert sentence in text
    assert made.notes[0] in text
    assert "Fashion-MNIST classifier" in text
    assert "This audit took 41.8 s, 130 forward passes per input, 812 MB at most." in text


def test_cards_show_the_most_anomalous_beside_what_comes_closest():
    made = content()
    html = render(made)
    page = Page(html)
    first = int(made.verdicts.scores.argmax())
    assert sum(attrs.get("class", "").startswith("card ") for _, attrs in page.tags) == 8
    pictures = [attrs for tag, attrs in page.tags if tag == "img"]
    assert len(pictures) == 8 * 6
    assert pictures[0]["alt"] == f"Input {made.inputs.ids[first]}"
    voucher = int(made.verdicts.voucher_positions[first, 0])
    assert pictures[1]["alt"] == f"trusted-{voucher:03d}, labelled {('Coat', 'Bag', 'Sandal')[voucher % 3]}"


def test_hostile_names_are_shown_not_run():
    made = content()
    ids = (HOSTILE, *made.inputs.ids[1:])
    trusted_ids = (HOSTILE,) * len(made.trusted)
    html = render(
        replace(
            made,
            title=HOSTILE,
            verdicts=replace(made.verdicts, ids=ids, trusted_ids=trusted_ids, layers=(HOSTILE,) * 3),
            inputs=replace(made.inputs, ids=ids),
            trusted=replace(made.trusted, ids=trusted_ids),
            baselines=[{"detector": HOSTILE}],
            settings={HOSTILE: HOSTILE},
            class_names=[HOSTILE] * 3,
            notes=[HOSTILE],
        )
    )
    assert "alert(1)" in html
    assert "<script>alert(1)" not in html
    assert "<img src=x" not in html
    assert count(Page(html), "script") == count(Page(render(made)), "script")


def test_nothing_is_loaded_from_elsewhere():
    html = render(content())
    page = Page(html)
    addresses = [value for _, attrs in page.tags for name, value in attrs.items() if name in ("src", "href", "srcset")]
    assert addresses
    assert all(address.startswith("data:image/png;base64,") for address in addresses)
    assert count(page, "link") == 0
    styles = re.findall(r"<style>.*?</style>", html, re.DOTALL)
    assert not any("url(" in style or "@import" in style for style in styles)
    policy = next(attrs["content"] for _, attrs in page.tags if attrs.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'")


def test_missing_figures_are_dashes():
    html = render(content())
    cells = re.search(r'<th scope="row">Mahalanobis</th>(.*?)</tr>', html).group(1)
    assert re.findall(r">([^<]+)</td>", cells) == ["0.840"] + ["–"] * 11
    assert "0.971 (0.963–0.978)" in html


def test_what_is_unknown_is_left_out():
    text = Page(render(content(health=None, metrics=None, baselines=[], notes=[], cost={}))).text
    assert "Chain health" not in text
    assert "Measured against the truth" not in text
    assert "This audit took" not in text


def test_layers_are_shown_where_the_detector_reads_them():
    made = content()
    page = Page(render(made))
    first = int(made.verdicts.scores.argmax())
    name, value = made.verdicts.least_explained(first)[0]
    assert f"Least explained in {name} {value:.1f}" in " ".join(page.text.split())
    assert "Where the unexplained part sits" in page.text
    without = replace(made.verdicts, layers=(), by_layer=torch.empty(len(made.verdicts), 0))
    text = Page(render(replace(made, verdicts=without))).text
    assert "Least explained" not in text
    assert "Where the unexplained part sits" not in text


def test_chain_health_warns():
    text = Page(render(content())).text
    assert "Only 12 effective draws." in text
    assert "+0.04" in text


def test_long_tables_are_cut_and_say_so():
    html = render(content(700))
    body = re.search(r'<table id="inputs">.*?<tbody>(.*?)</tbody>', html, re.DOTALL).group(1)
    assert body.count("<tr>") == 500
    assert "The 500 most anomalous of 700 inputs; all of them are in verdicts.parquet" in Page(html).text.replace(
        " .", "."
    )


def test_without_images_there_are_only_names():
    made = content()
    html = render(
        replace(
            made,
            inputs=Examples(x=torch.rand(60, 5), ids=made.inputs.ids),
            trusted=Examples(x=torch.rand(200, 5), ids=made.trusted.ids),
            class_names=None,
        )
    )
    page = Page(html)
    assert count(page, "img") == 0
    assert "upload-001" in page.text
    assert "class 2" in page.text
    assert ", labelled " not in html


def test_a_single_input_makes_a_report():
    assert "1 of 1 inputs was answered" in Page(render(content(1))).text


def test_too_few_trusted_examples_make_a_report():
    made = content()
    unflagged = torch.zeros(60, dtype=torch.bool)
    text = Page(render(replace(made, verdicts=replace(made.verdicts, fpr=0.001, flagged=unflagged)))).text
    assert "No input can be flagged at a false-positive rate of 0.1 %." in text
    assert "at least 999 are needed" in text


def test_settings_are_shown_as_they_are():
    text = Page(render(content(settings={"detector": {"pooling": "mean"}, "bounds": [0, None]}))).text
    assert '{ "detector": { "pooling": "mean" }, "bounds": [ 0, null ] }' in text


def test_the_false_discovery_rate_takes_the_place_of_the_false_positive_rate():
    made = content()
    text = Page(render(replace(made, verdicts=replace(made.verdicts, fdr=0.05)))).text
    assert "False-discovery rate 5 %" in re.sub(r"\s+", " ", text)
    assert "Were every input clean" not in text


def test_cards_of_a_language_model_show_text_with_coloured_tokens():
    made = content()
    made = replace(made, dialogue=dialogue(made))
    html = render(made)
    page = Page(html)
    first = made.verdicts.most_anomalous(1)[0]
    assert f"Why is {first} the sky?" in page.text
    assert f"Say {int(made.verdicts.voucher_positions[first, 0])}." in page.text
    tokens = [attrs for tag, attrs in page.tags if tag == "span" and "--share" in attrs.get("style", "")]
    assert len(tokens) == 8 * 3
    shares = [int(re.search(r"\d+", attrs["style"])[0]) for attrs in tokens]
    assert shares[0] == 0, "below the median of trusted scores"
    assert shares[3 * 7 + 2] == 100, "the highest of all"
    assert sorted(shares[2::3]) == shares[2::3]
    assert tokens[1]["title"] == "score −0.5000"
    assert "Completion" in page.text
    assert "Prediction" not in page.text


def test_tokens_that_were_not_scored_are_shown_without_colour():
    made = content()
    html = render(replace(made, dialogue=dialogue(made, scored=0)))
    assert "--share: 0%" in html
    assert 'title="score' not in html


def test_cards_of_a_text_classifier_show_text_and_the_name_of_the_class():
    made = content()
    names = [made.class_name(i) for i in made.verdicts.predictions.tolist()]
    inputs = [Conversation(f"text {i}", (name,)) for i, name in enumerate(names)]
    trusted = [Conversation(f"trusted {i}", ("Sandal",)) for i in range(len(made.trusted))]
    shown = replace(made, dialogue=Dialogue(inputs=inputs, trusted=trusted, token_scores={}, classified=True))
    text = Page(render(shown)).text
    first = made.verdicts.most_anomalous(1)[0]
    assert re.search(rf"text {first}\s+model says\s+{names[first]}", text)
    assert re.search(rf"trusted {int(made.verdicts.voucher_positions[first, 0])}\s+Sandal", text)
    assert "Prediction" in text
    assert "Completion" not in text


def test_hostile_text_is_shown_not_run():
    made = content()
    texts = dialogue(made)
    hostile = Conversation(HOSTILE, (HOSTILE, HOSTILE, HOSTILE))
    inputs, trusted = [hostile] * len(texts.inputs), [hostile] * len(texts.trusted)
    html = render(replace(made, dialogue=replace(texts, inputs=inputs, trusted=trusted)))
    assert "alert(1)" in html
    assert "<script>alert" not in html
    assert "<img src=x" not in html


def test_mechanisms_are_mapped_and_listed_with_what_is_typical():
    made = content(60)
    clusters = torch.tensor([0] * 15 + [1] * 40 + [-1] * 5)
    places = torch.randn(60, 2, generator=torch.Generator().manual_seed(0)).double()
    made = replace(made, mechanisms=Mechanisms(torch.arange(60), places, clusters, ((3, 4), (20, 21))))
    html = render(made)
    rows = mechanisms(made)
    assert [(row.number, row.size, row.typical) for row in rows] == [
        (1, 15, ["upload-003", "upload-004"]),
        (2, 40, ["upload-020", "upload-021"]),
    ]
    assert rows[0].flagged > rows[1].flagged
    assert "map-plot" in html
    assert "Most typical inputs" in html
    assert "map-plot" not in render(content(60))


def test_the_weights_that_carry_a_cluster_are_told_below_it():
    made = content(60)
    found = Mechanisms(torch.arange(60), torch.rand(60, 2).double(), torch.zeros(60, dtype=torch.int64), ((3, 4),))
    layer = LayerDirections(name="a.weight", shape=(8, 4), values=(0.9, 0.3), left=0.8, share=0.5, control=0.02)
    effect = Effect("answers of the cluster that stay", 1.0, 0.05, 0.99)
    carriers = WeightDirections(rank=1, layers=(layer,), effects=(effect,), carriers={})
    html = render(replace(made, mechanisms=found, carried=(CarriedCluster(0, carriers, 0.1),)))
    said = " ".join(re.sub(r"<[^>]*>", " ", html).split())
    assert "Weights that carry cluster 1" in said
    assert "Flagged, of these 100.0 % 10.0 % –" in said
    assert "Answers of the cluster that stay 100.0 % 5.0 % 99.0 %" in said
    assert "a.weight 8×4 50.0 % 2.0 %" in said
    assert "Weights that carry" not in render(replace(made, mechanisms=found))
