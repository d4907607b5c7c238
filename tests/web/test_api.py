"""What the page asks for, of a store that is small enough to know."""

from __future__ import annotations

import pytest

from agent.web import api
from agent.web.asked import BadRequest, NotFound
from agent.web.board import Board
from agent.web.readers import Readers
from tests.web.conftest import LARGE_SPANS, ORDER


@pytest.fixture
def reader(store):
    with Readers(store).reader() as found:
        yield found


def test_findings_stop_at_their_bound(reader, monkeypatch):
    monkeypatch.setattr(api, "ANALYSED_SPANS", 14)
    assert api.findings(reader, {})["spans"] == 14
    monkeypatch.setattr(api, "ANALYSED_SPANS", 13)
    assert api.findings(reader, {})["spans"] == 2


def test_large_trace_without_findings(reader, monkeypatch):
    monkeypatch.setattr(api, "TRACE_FINDING_SPANS", 11)
    assert api.trace(reader, f"{ORDER:032x}")["findings"] == []


def test_wanted(reader):
    assert api.wanted(reader, "7c1f03").trace_id == f"{ORDER:032x}"
    with pytest.raises(NotFound):
        api.wanted(reader, "7c1f04")
    with pytest.raises(BadRequest):
        api.wanted(reader, "nothex")


def test_status_tells_what_the_agent_tells(reader):
    board = Board()
    board.tell({"ledger": {"a": 1}})
    told = api.status(reader, board.fd)
    board.close()
    assert told["agent"] == {"ledger": {"a": 1}}
    assert told["store"]["spans"] == LARGE_SPANS + 14
    assert [run["taken"] for run in told["store"]["runs"]] == [LARGE_SPANS + 14]
