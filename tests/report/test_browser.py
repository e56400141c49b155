"""The report as a reader sees it."""

import os
import re
import shutil
from dataclasses import replace

import pytest
from factories import content, dialogue, explained, explained_prompts
from playwright.sync_api import expect, sync_playwright

from anomech.report import render

pytestmark = pytest.mark.browser

QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
DESKTOP = {"width": 1280, "height": 800}
PHONE = {"width": 390, "height": 844}
SMALL_PHONE = {"width": 360, "height": 740}


@pytest.fixture(scope="module")
def browser():
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        stop = pytest.fail if os.environ.get("ANOMECH_REQUIRE_CHROMIUM") else pytest.skip
        stop("Chromium is not installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=QUIET)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(render(content()), encoding="utf-8")
    return path.as_uri()


@pytest.fixture(scope="module")
def spoken_address(tmp_path_factory):
    path, made = tmp_path_factory.mktemp("spoken") / "report.html", content()
    made = replace(made, dialogue=dialogue(made), explanations=explained(made))
    marked = replace(made.dialogue, marked=explained_prompts(made))
    path.write_text(render(replace(made, dialogue=marked)), encoding="utf-8")
    return path.as_uri()


@pytest.fixture(scope="module")
def explained_address(tmp_path_factory):
    path, made = tmp_path_factory.mktemp("explained") / "report.html", content()
    path.write_text(render(replace(made, explanations=explained(made))), encoding="utf-8")
    return path.as_uri()


@pytest.fixture
def visit(browser, address, spoken_address, explained_address):
    """Opens the report; in the end no page may have complained or asked for anything but itself."""
    contexts, complaints, requests = [], [], []

    def visit(viewport, scheme="light", address=address):
        contexts.append(browser.new_context(viewport=viewport, color_scheme=scheme, is_mobile=viewport["width"] < 600))
        page = contexts[-1].new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(address)
        expect(page.locator("#chain-plot .main-svg").first).to_be_attached()
        return page

    yield visit
    for context in contexts:
        context.close()
    assert complaints == []
    assert [
        url
        for url in requests
        if url not in (address, spoken_address, explained_address) and not url.startswith(("data:", "blob:"))
    ] == []


def is_within_first_screen(locator):
    box, height = locator.bounding_box(), locator.page.viewport_size["height"]
    return box["y"] >= 0 and box["y"] + box["height"] <= height


@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_answer_and_first_card_are_on_the_first_screen(visit, viewport, scheme):
    page = visit(viewport, scheme)
    assert is_within_first_screen(page.locator("h1"))
    assert is_within_first_screen(page.locator(".card").first)


def test_first_row_of_cards_is_on_the_first_screen_of_a_desktop(visit):
    cards = visit(DESKTOP).locator(".card")
    assert is_within_first_screen(cards.nth(1))
    assert cards.nth(0).bounding_box()["y"] == cards.nth(1).bounding_box()["y"]


@pytest.mark.parametrize("viewport", [DESKTOP, PHONE, SMALL_PHONE], ids=["desktop", "phone", "small phone"])
def test_the_page_never_scrolls_sideways(visit, viewport):
    page = visit(viewport)
    assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
    assert page.evaluate("innerWidth") == viewport["width"]


@pytest.mark.parametrize("width", [360, 560, 920, 1000, 1119, 1120, 1280])
def test_what_is_said_of_an_input_does_not_run_into_its_vouchers(visit, width):
    page = visit({"width": width, "height": 800})
    spilt = "all => all.filter(one => one.scrollWidth > one.clientWidth).length"
    assert page.locator(".card .verdict").count() > 0
    assert page.locator(".card .verdict").evaluate_all(spilt) == 0


def test_all_pictures_and_plots_are_there(visit):
    page = visit(DESKTOP)
    assert page.evaluate("[...document.images].every((image) => image.naturalWidth === 28)")
    for plot in ("score-plot", "p-value-plot", "layer-plot", "chain-plot"):
        assert page.locator(f"#{plot} .scatterlayer .trace").count() >= 3


def column(page, number):
    return page.locator(f"#inputs tbody td:nth-child({number})").all_inner_texts()


@pytest.mark.parametrize(
    ("name", "number", "value"),
    [
        ("Id", 1, str),
        ("Prediction", 2, str),
        ("p-value", 4, float),
        ("Coupling", 7, lambda text: float(text.replace("−", "-"))),
    ],
)
def test_a_click_on_a_header_sorts(visit, name, number, value):
    page = visit(DESKTOP)
    header = page.locator("#inputs th", has=page.get_by_role("button", name=name, exact=True))
    before = column(page, number)
    assert header.get_attribute("aria-sort") is None

    header.get_by_role("button").click()
    assert column(page, number) == sorted(before, key=value)
    assert header.get_attribute("aria-sort") == "ascending"
    assert page.locator("#inputs th[aria-sort]").count() == 1

    header.get_by_role("button").click()
    assert column(page, number) != before
    assert [value(text) for text in column(page, number)] == sorted(map(value, before), reverse=True)
    assert header.get_attribute("aria-sort") == "descending"


def test_the_table_starts_with_the_most_anomalous_and_sorts_by_keyboard(visit):
    page = visit(DESKTOP)
    header = page.locator("#inputs th[aria-sort]")
    assert header.get_attribute("aria-sort") == "descending"
    before = [float(text.replace("−", "-")) for text in column(page, 3)]
    assert before == sorted(before, reverse=True)

    header.get_by_role("button").focus()
    page.keyboard.press("Enter")
    assert [float(text.replace("−", "-")) for text in column(page, 3)] == sorted(before)


def luminance(colour):
    channels = [int(value) / 255 for value in re.findall(r"\d+", colour)[:3]]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def style(page, selector, name):
    return page.eval_on_selector(selector, f"(element) => getComputedStyle(element).{name}")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_its_background(visit, scheme):
    page = visit(DESKTOP, scheme)
    background, surface = (luminance(style(page, where, "backgroundColor")) for where in ("body", ".card"))
    assert (background < 0.05) == (scheme == "dark")
    on_page = [luminance(style(page, selector, "color")) for selector in ("body", "h1", ".qualifier", ".caption")]
    on_surface = [luminance(style(page, selector, "color")) for selector in (".card .id", "dd.flagged", "thead th")]
    for text, ground in [(text, background) for text in on_page] + [(text, surface) for text in on_surface]:
        assert (max(text, ground) + 0.05) / (min(text, ground) + 0.05) >= 4.5
        assert (text > ground) == (scheme == "dark")


def test_plots_follow_a_change_of_colour_scheme(visit):
    page = visit(DESKTOP)
    line = page.locator("#p-value-plot .scatterlayer .trace").last.locator("path.js-line")
    assert "rgb(194, 65, 12)" in line.get_attribute("style")
    page.emulate_media(color_scheme="dark")
    expect(line).to_have_attribute("style", re.compile(re.escape("rgb(242, 133, 92)")))


@pytest.mark.parametrize("viewport", [DESKTOP, PHONE, SMALL_PHONE], ids=["desktop", "phone", "small phone"])
def test_places_fit_into_their_cards(visit, explained_address, viewport):
    page = visit(viewport, address=explained_address)
    assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
    assert page.locator("figure.place").count() == 3
    for i in range(3):
        card = page.locator(".card").nth(i).bounding_box()
        for part in page.locator("figure.place").nth(i).locator(":scope > img, :scope > figcaption").all():
            box = part.bounding_box()
            assert box["width"] >= 80
            assert card["x"] <= box["x"]
            assert box["x"] + box["width"] <= card["x"] + card["width"]
    assert page.locator(".layers svg").count() == 8
    assert page.locator(".layers svg").first.get_attribute("aria-label").startswith("Unusual in")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_tokens_are_coloured_by_how_anomalous_they_are(visit, spoken_address, viewport, scheme):
    page = visit(viewport, scheme, spoken_address)
    assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
    tokens = page.locator("p.completion").nth(7).locator("span")
    colours = tokens.evaluate_all("(all) => all.map((one) => getComputedStyle(one).backgroundColor)")
    assert len(set(colours)) == 3
    assert colours[0].endswith(" / 0)") or colours[0] == "rgba(0, 0, 0, 0)"
    assert tokens.nth(2).get_attribute("title") == "score 0.7000"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_tokens_of_explained_prompts_are_coloured_by_what_they_add(visit, spoken_address, viewport, scheme):
    page = visit(viewport, scheme, spoken_address)
    tokens = page.locator(".card").first.locator("p.prompt span[title]")
    styles = tokens.evaluate_all(
        "(all) => all.map((one) => [getComputedStyle(one).backgroundColor, getComputedStyle(one).textDecorationLine])"
    )
    assert len(styles) == 6
    assert styles[0][0] == styles[1][0] != styles[2][0] == styles[4][0] != styles[3][0]
    assert [line for _, line in styles] == ["none", "none", "underline", "underline", "underline", "none"]
    assert page.locator(".card").first.locator(".told").is_visible()
    assert page.locator("figure.place").count() == 0
