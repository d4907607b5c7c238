"""What the log tells about an exporter."""

from __future__ import annotations

import logging

import pytest

from agent.errors import ExportError
from agent.export import health
from agent.export.exporter import Outcome
from agent.export.health import Health

REFUSED = ExportError("refused", cause="unreachable", retry=True)


@pytest.fixture
def log(caplog):
    caplog.set_level(logging.INFO, logger="test.health")

    def lines() -> list[str]:
        return [f"{record.levelname} {record.getMessage()}" for record in caplog.records]

    return lines


@pytest.fixture
def subject():
    return Health("otlp+http://h", logging.getLogger("test.health"))


def test_one_trouble_is_told_once_with_its_end(subject, log):
    subject.failed(REFUSED)
    subject.failed(REFUSED)
    subject.settled(Outcome())
    subject.settled(Outcome(exported=3))
    subject.settled(Outcome(exported=3))
    assert log() == [
        "WARNING otlp+http://h: cannot export: refused",
        "INFO otlp+http://h: works again after 0 s",
    ]


def test_a_receiver_that_fails_now_and_then_does_not_fill_the_log(subject, log):
    for _ in range(100):
        subject.failed(REFUSED)
        subject.settled(Outcome(exported=1))
    assert len(log()) == 2


def test_after_a_quiet_time_a_new_trouble_is_told(subject, log, monkeypatch):
    monkeypatch.setattr(health, "QUIET_S", 0.0)
    for _ in range(2):
        subject.failed(REFUSED)
        subject.settled(Outcome(exported=1))
    assert len(log()) == 4


def test_rejected_spans_and_warnings_are_told(subject, log, monkeypatch):
    monkeypatch.setattr(health, "QUIET_S", 0.0)
    subject.settled(Outcome(7, 3, "rejected", "too old"))
    subject.settled(Outcome(7, 3, "rejected"))
    subject.settled(Outcome(exported=10, message="deprecated"))
    assert log() == [
        "WARNING otlp+http://h: 3 spans rejected: too old",
        "WARNING otlp+http://h: 3 spans rejected: no reason",
        "WARNING otlp+http://h: receiver says: deprecated",
    ]


def test_a_bug_is_told_with_its_traceback(subject, caplog):
    bug = ExportError("unexpected KeyError()", cause="internal", retry=False)
    bug.__cause__ = KeyError()
    subject.failed(bug)
    (record,) = caplog.records
    assert record.exc_info is not None
    assert record.exc_info[1] is bug.__cause__
