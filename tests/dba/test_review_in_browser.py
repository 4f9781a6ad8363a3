"""The page of `conversation-store review` in Chromium: it loads nothing, and is read by keyboard, narrow and in the dark."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Generator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from conversation_store.dba.files import files

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed (Debian: apt-get install chromium)"),
]

NAMES = [file.name for file in files()]


@pytest.fixture(scope="module")
def address(review_page: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Give the address of the page."""
    path: Path = tmp_path_factory.mktemp("review") / "review.html"
    path.write_text(review_page, "utf-8")
    return path.as_uri()


@pytest.fixture(scope="module")
def browser() -> Generator[Any]:
    """Give a browser; it ends with these tests, since it has an event loop."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM)
        yield browser
        browser.close()


@pytest.fixture
def visit(browser: Any, address: str) -> Generator[Callable[..., Any]]:
    """Give a function that opens the page; at the end nothing was logged, and nothing asked for but the page itself."""
    contexts: list[Any] = []
    logged: list[str] = []
    requested: list[str] = []

    def visit(anchor: str = "", *, width: int = 1280, **options: Any) -> Any:
        context = browser.new_context(viewport={"width": width, "height": 800}, reduced_motion="reduce", **options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: logged.append(message.text))
        page.on("pageerror", lambda error: logged.append(str(error)))
        page.on("request", lambda request: requested.append(request.url))
        page.goto(address + anchor)
        return page

    yield visit
    for context in contexts:
        context.close()
    assert logged == []
    assert {url.partition("#")[0] for url in requested} - {"data:,"} == {address}


def shown(page: Any) -> list[str]:
    """Return the names of the statements that are in sight."""
    found: list[str] = page.eval_on_selector_all(
        ".statement", "all => all.filter(e => e.checkVisibility()).map(e => e.id.replace('file-', ''))"
    )
    return found


def focused(page: Any) -> str:
    """Return the statement that has the focus, or the id of what has it."""
    found: str = page.evaluate("(document.activeElement.closest('.statement') || document.activeElement).id")
    return found.removeprefix("file-")


def is_open(page: Any, name: str) -> bool:
    found: bool = page.evaluate("name => document.getElementById('file-' + name).open", name)
    return found


def test_the_page_opens_with_every_statement_and_all_of_them_closed(visit: Callable[..., Any]) -> None:
    page = visit()
    assert shown(page) == NAMES
    assert not any(is_open(page, name) for name in NAMES)


def test_the_page_may_load_nothing_even_if_it_would(browser: Any, address: str) -> None:
    with browser.new_page() as page:
        page.goto(address)
        refused = page.evaluate(
            """() => new Promise(resolve => {
                document.addEventListener('securitypolicyviolation', event => resolve(event.effectiveDirective));
                const image = document.createElement('img');
                image.onerror = () => setTimeout(resolve, 500, 'it was asked for');
                image.src = 'https://127.0.0.1:9/x.png';
                document.body.append(image);
            })"""
        )
    assert refused == "img-src"


# -- search and filters ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("append_round", "conversation.append_round"),  # its name
        ("issued once", ""),
        ("LIVE token SECRET", "api_token.authenticate"),  # its purpose, in any case and order
        ("force_custom_plan orderby", "conversation.get_list"),  # its text
        ("tokens.rotate", "api_token.rotate"),  # its methods
    ],
)
def test_the_search_finds_what_has_all_words(visit: Callable[..., Any], text: str, name: str) -> None:
    page = visit()
    page.keyboard.press("/")
    page.keyboard.type(text)
    found = shown(page)
    assert (name in found) if name else not found
    assert len(found) < len(NAMES)
    status = page.inner_text("#found")
    assert status.startswith(f"{len(found)} of {len(NAMES)} " if found else "No statement")
    listed = page.eval_on_selector_all(".names li", "all => all.filter(e => e.checkVisibility()).length")
    assert listed == len(found)


def test_a_word_in_the_text_alone_is_shown_with_its_line(visit: Callable[..., Any]) -> None:
    page = visit()
    page.fill("#search", "thumb_up ROW_NUMBER ordinal")
    assert "conversation.get_list" in shown(page)
    line = page.inner_text('[id="file-conversation.get_list"] .hit')
    assert line.partition(":")[0].isdecimal()
    assert "ordinal" in line or "row_number" in line


def test_filters_narrow_and_escape_clears(visit: Callable[..., Any]) -> None:
    page = visit()
    of = {file.name: file for file in files()}
    page.click('.chip[data-filter="writes"]')
    assert shown(page) == [name for name in NAMES if of[name].is_write]
    page.click('.chip[data-filter="custom"]')
    assert shown(page) == [name for name in NAMES if of[name].is_write and of[name].query.plan == "custom"]
    page.keyboard.press("Escape")
    assert shown(page) == NAMES


# -- the keyboard and links --------------------------------------------------------------------------


def test_the_page_is_read_by_keyboard(visit: Callable[..., Any]) -> None:
    page = visit()
    page.keyboard.press("/")
    assert focused(page) == "search"
    page.keyboard.type("get_list")
    first, second, *_ = shown(page)
    page.keyboard.press("ArrowDown")
    assert focused(page) == first
    page.keyboard.press("j")
    assert focused(page) == second
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    assert is_open(page, first)
    page.keyboard.press("Enter")
    assert not is_open(page, first)
    page.keyboard.press("k")
    assert focused(page) == "search"
    page.keyboard.press("Enter")
    assert is_open(page, first)
    page.keyboard.press("Escape")
    assert shown(page) == NAMES


def test_the_focus_is_seen_and_the_first_tab_skips_to_the_statements(visit: Callable[..., Any]) -> None:
    page = visit()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    assert page.evaluate("document.activeElement.getBoundingClientRect().left") >= 0
    page.keyboard.press("Enter")
    page.keyboard.press("j")
    assert focused(page) == NAMES[0]
    assert page.evaluate("parseFloat(getComputedStyle(document.activeElement).outlineWidth)") >= 2


def test_links_lead_from_a_method_to_its_files_and_indexes_and_back(visit: Callable[..., Any]) -> None:
    page = visit("#file-conversation.get_by_id")
    assert is_open(page, "conversation.get_by_id")
    page.click('[id="file-conversation.get_by_id"] .facts code:text-is("conversations.get_or_none")')
    assert page.evaluate("document.querySelector(':target').id") == "method-conversations.get_or_none"
    page.click(':target a code:text-is("conversation_pkey")')
    assert page.evaluate("document.querySelector(':target').id") == "index-conversation_store.conversation_pkey"
    page.click(':target a code:text-is("conversation/find.sql")')
    assert is_open(page, "conversation.find")
    assert page.is_visible('[id="file-conversation.find"] pre')


def test_a_link_is_followed_out_of_a_search(visit: Callable[..., Any]) -> None:
    page = visit()
    page.fill("#search", "conversation/find.sql")
    page.keyboard.press("Enter")
    page.click('[id="file-conversation.find"] .facts code:text-is("conversation")')
    assert page.is_visible('[id="table-conversation_store.conversation"] table')


# -- how it looks ------------------------------------------------------------------------------------


def test_the_switch_of_light_and_dark_is_remembered(visit: Callable[..., Any]) -> None:
    page = visit(color_scheme="light")
    background = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(background)
    page.click("#theme")
    dark = page.evaluate(background)
    assert dark != light
    page.reload()
    assert page.evaluate(background) == dark
    assert visit(color_scheme="dark").evaluate(background) == dark


OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


def test_the_page_never_scrolls_sideways(visit: Callable[..., Any]) -> None:
    page = visit()
    for width in (1280, 700, 360):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate(OVERFLOW) == 0, width
    page.evaluate("for (const each of document.querySelectorAll('details')) each.open = true")
    assert page.evaluate(OVERFLOW) == 0
    # What is wider scrolls in a box of its own.
    wide = "[...document.querySelectorAll('pre, .cut')].filter(e => e.scrollWidth > e.clientWidth)"
    assert page.evaluate(f"{wide}.length") > 50
    assert page.evaluate(f"{wide}.every(e => getComputedStyle(e).overflowX === 'auto')")


# The contrast of every text with what is behind it.
CONTRAST = """() => {
  const context = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
  const known = new Map();
  const parse = (text) => {
    if (!known.has(text)) known.set(text, read(text));
    return known.get(text);
  };
  const read = (text) => {
    context.clearRect(0, 0, 1, 1);
    context.fillStyle = text;
    context.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = context.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const over = (top, below) => top.slice(0, 3).map((value, at) => value * top[3] + below[at] * (1 - top[3]));
  const luminance = (color) => {
    const [r, g, b] = color.map((value) => {
      const part = value / 255;
      return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    const layers = [];
    for (let at = element; at; at = at.parentElement) layers.push(parse(getComputedStyle(at).backgroundColor));
    return layers.reverse().reduce((below, layer) => over(layer, below), [255, 255, 255]);
  };
  const weak = {};
  for (const element of document.querySelectorAll('body *')) {
    if (element.closest('svg') || !element.checkVisibility()) continue;
    if (![...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim())) continue;
    const key = `${element.tagName}.${element.className} in ${element.parentElement.className}`;
    const back = behind(element);
    const text = over(parse(getComputedStyle(element).color), back);
    const [low, high] = [luminance(text), luminance(back)].sort((a, b) => a - b);
    const ratio = (high + 0.05) / (low + 0.05);
    if (ratio < 4.5) weak[key] = ratio;
  }
  return weak;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_has_the_contrast_of_aa(visit: Callable[..., Any], scheme: str) -> None:
    page = visit(color_scheme=scheme)
    page.evaluate(
        "for (const each of document.querySelectorAll('.rest details, [id=\"file-conversation.query\"]')) each.open = true"
    )
    assert page.evaluate(CONTRAST) == {}


def test_headings_are_in_order_and_landmarks_are_there(visit: Callable[..., Any]) -> None:
    page = visit()
    levels = page.eval_on_selector_all("h1, h2, h3, h4, h5", "all => all.map(e => Number(e.tagName[1]))")
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert page.locator("main, nav, [role=search]").count() == 3


def test_without_scripts_the_page_is_read_all_the_same(visit: Callable[..., Any]) -> None:
    page = visit(java_script_enabled=False)
    assert page.locator(".statement").count() == len(NAMES)
    assert not page.is_visible("#search")
    page.click('[id="file-conversation.count"] > summary')
    assert page.is_visible('[id="file-conversation.count"] pre')
    assert page.is_visible("#indexes table")
