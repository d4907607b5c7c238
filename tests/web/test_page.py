"""The page of a running agent."""

from __future__ import annotations

from agent.config import Config
from agent.counters import Ledger
from agent.daemon import discovery_of
from agent.processes.selection import Verdict
from agent.web.page import Page
from agent.web.settings import WebSettings
from tests.web.test_child import free_port, status_of


def test_page_knows_the_ledger_and_is_not_traced(store):
    decisions: dict[int, Verdict] = {}
    settings = WebSettings(str(store), "127.0.0.1", free_port())
    page = Page(
        settings, discovery_of(Config(), [], lambda _pid, _verdict: None), decisions.__setitem__
    )
    ledger = Ledger(captured=3, built=3, emitted=3)
    page.step(ledger)
    assert list(decisions.values()) == [Verdict.EXCLUDE]
    told = status_of(settings)["agent"]
    assert told["ledger"] == ledger.as_json()
    assert told["processes"] == []
    page.close()


def test_no_page():
    page = Page(
        None, discovery_of(Config(), [], lambda _pid, _verdict: None), lambda _pid, _verdict: None
    )
    page.prepare()
    page.step(Ledger())
    page.close()
