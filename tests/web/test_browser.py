"""The page in a browser: what a person sees and does."""

from __future__ import annotations

import pytest

from tests.web.browser import Browser, is_installed
from tests.web.conftest import EVIL, HOSTILE, LARGE, LARGE_SPANS, ORDER

pytestmark = pytest.mark.skipif(not is_installed(), reason="needs chromium and chromedriver")


@pytest.fixture(scope="module")
def window():
    with Browser() as browser:
        yield browser


@pytest.fixture
def browser(window, page):
    """The list of traces, freshly opened; afterwards, nothing may have been wrong with any script or content."""
    window.open("about:blank")
    window.complaints()
    window.open(f"{page}/")
    window.until("document.querySelectorAll('.list tbody tr').length === 3")
    yield window
    refusals = [line for line in window.complaints() if "400 (Bad Request)" not in line]
    assert refusals == []


def test_list_is_newest_first_and_opens(browser):
    rows = browser.text(".list tbody tr").splitlines()
    assert "POST /orders" in browser.text(".list tbody tr:nth-child(2)")
    assert "GET /large" in browser.text(".list tbody tr:nth-child(3)")
    assert rows
    assert browser.run("return document.querySelectorAll('.scatter circle').length") == 3
    browser.click(".list tbody tr:nth-child(2)")
    browser.until("document.querySelector('.waterfall .row')")
    assert f"{ORDER:032x}" in browser.text(".heading")


def test_filters(browser):
    browser.click("input[name=order]")
    browser.until("location.hash.includes('order=slowest')")
    browser.until("document.querySelector('.list tbody tr')?.innerText.includes('GET /large')")
    browser.run("document.querySelector('input[name=service]').focus()")
    browser.type("checkout")
    browser.press("Tab")
    browser.until("document.querySelectorAll('.list tbody tr').length === 1")
    assert "POST /orders" in browser.text(".list tbody tr")


def test_query_and_its_error(browser):
    browser.press("/")
    browser.type("{ duration > 2s && kind = client }")
    browser.press("Enter")
    browser.until("document.querySelectorAll('.list tbody tr').length === 1")
    assert "2 of 12" in browser.text(".list tbody tr")
    browser.run("location.hash = '#/traces?q=' + encodeURIComponent('{ status = nonsense }')")
    browser.until("document.querySelector('.trouble pre')")
    assert "column 12" in browser.text(".trouble")


def test_a_dot_of_the_scatter_opens_its_trace(browser):
    browser.run(
        "const dots = [...document.querySelectorAll('.scatter circle')];"
        "dots.find((dot) => dot.textContent.includes('POST /orders')).dispatchEvent(new MouseEvent('click', {bubbles: true}))"
    )
    browser.until("document.querySelector('.waterfall .row')")
    assert "POST /orders" in browser.text("h1")


def test_waterfall_by_keyboard(browser, page):
    browser.open(f"{page}/#/trace/{ORDER:032x}")
    browser.until("document.querySelectorAll('.waterfall .row').length === 12")
    assert browser.run("return document.querySelectorAll('.row .path').length") > 3
    assert browser.run("return document.querySelectorAll('.row.failed').length") == 4
    browser.press("e", "e", "e")
    browser.until("document.querySelector('.details h2')?.innerText === 'A gateway.example.com'")
    said = browser.text(".details")
    for part in ("dns.question.name", "gateway.example.com", "exception.type", "gaierror", "host.name", "shop"):  # fmt: skip
        assert part in said
    browser.press("Home")
    browser.until("document.querySelector('.row.chosen').dataset.index === '0'")
    browser.press("ArrowLeft")
    browser.until("document.querySelectorAll('.waterfall .row').length === 1")
    browser.press("ArrowRight", "ArrowDown")
    browser.until("document.querySelector('.row.chosen')?.dataset.index === '1'")
    browser.press("c")
    browser.until("document.querySelector('.row.chosen')?.classList.contains('critical')")
    browser.press("3")
    browser.until("document.querySelector('svg.map')")


def test_an_attribute_becomes_a_query(browser, page):
    browser.open(f"{page}/#/trace/{ORDER:032x}")
    browser.until("document.querySelector('.details .attributes button')")
    browser.run(
        "[...document.querySelectorAll('.attributes button')].find((b) => b.innerText === '/orders').click()"
    )
    browser.until("document.querySelectorAll('.list tbody tr').length === 1")
    assert (
        browser.run("return document.querySelector('input[name=q]').value")
        == '{ span.http.route = "/orders" }'
    )


def test_findings_lead_to_their_spans(browser, page):
    browser.open(f"{page}/#/findings")
    browser.until("document.querySelectorAll('.finding').length > 1")
    said = browser.text(".finding")
    assert "gateway.example.com" in said
    assert "n plus one" in said
    browser.run(
        "[...document.querySelectorAll('.finding')].find((f) => f.innerText.includes('n plus one')).querySelector('button').click()"
    )
    browser.until("document.querySelectorAll('.row.marked').length === 9")


def test_services_and_map(browser, page):
    browser.open(f"{page}/#/services")
    browser.until("document.querySelectorAll('tbody tr').length > 3")
    assert "checkout" in browser.text("tbody")
    browser.open(f"{page}/#/map")
    browser.until("document.querySelectorAll('svg.map .node').length > 4")
    assert "postgresql db" in browser.text("tbody")
    browser.run(
        "[...document.querySelectorAll('.map .service')].find((n) => n.textContent.includes('checkout')).dispatchEvent(new MouseEvent('click', {bubbles: true}))"
    )
    browser.until("location.hash === '#/traces?service=checkout'")


def test_coverage_without_an_agent(browser, page):
    browser.open(f"{page}/#/status")
    browser.until("document.querySelectorAll('main section').length === 2")
    assert "No agent runs beside this page" in browser.text("main")


def test_ten_thousand_spans_cost_as_much_as_fifty(browser, page):
    browser.open(f"{page}/#/trace/{LARGE:032x}")
    browser.until("document.querySelector('.waterfall .row')")
    assert browser.run("return document.querySelectorAll('.waterfall .row').length") < 100
    browser.press("End")
    browser.until(f"document.querySelector('.row.chosen')?.dataset.index === '{LARGE_SPANS - 1}'")
    assert browser.run("return document.querySelectorAll('.waterfall .row').length") < 100


def test_markup_of_traced_programs_is_text(browser, page):
    for view in ("traces", f"trace/{HOSTILE:032x}", "services", "map", "findings"):
        browser.open("about:blank")
        browser.open(f"{page}/#/{view}")
        browser.until(
            "document.querySelector('main').textContent.includes(arguments[0])", EVIL[:20]
        )
        assert browser.run("return document.querySelectorAll('main img, main script').length") == 0
        assert browser.run("return document.title") == "zerospan"
    browser.open(f"{page}/#/trace/{HOSTILE:032x}")
    browser.until("document.querySelectorAll('.details .attributes').length > 2")
    assert browser.text(".details").count(EVIL) >= 6
    assert (
        browser.run(
            "return [...document.querySelectorAll('a')].filter((a) => !/^(http:\\/\\/127|#)/.test(a.href)).length"
        )
        == 0
    )


def test_keys_are_told(browser):
    browser.press("?")
    browser.until("document.querySelector('dialog').open")
    browser.press("Escape")
    browser.until("!document.querySelector('dialog').open")
