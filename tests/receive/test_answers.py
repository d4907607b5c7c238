"""Answers, read by the generated classes and by our own exporters."""

from __future__ import annotations

import json

from agent.export.response import outcome, retry_delay_s
from agent.receive import answers
from tests.receive.sending import partial


def test_partial_success():
    body = answers.response(300, "traceId is all zeros")
    assert (partial(body).rejected_spans, partial(body).error_message) == (
        300,
        "traceId is all zeros",
    )
    assert outcome(body, 1000).dropped == 300
    assert answers.response(0, "") == b""
    assert json.loads(answers.response_json(3, "ä")) == {
        "partialSuccess": {"rejectedSpans": "3", "errorMessage": "ä"}
    }
    assert answers.response_json(0, "") == b"{}"


def test_status():
    assert answers.status(3, "no") == b"\x08\x03\x12\x02no"
    assert json.loads(answers.status_json(3, "no")) == {"code": 3, "message": "no"}
    details = answers.come_back("full")
    assert details.startswith(answers.status(8, "full"))
    assert retry_delay_s(details) == answers.RETRY_S
