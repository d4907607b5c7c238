"""Parameters."""

from __future__ import annotations

import time

import pytest

from agent.web.asked import BadRequest, since, span_of_time, trace_id, whole


def test_whole():
    assert whole({}, "n", 7) == 7
    assert whole({"n": ""}, "n", 7) == 7
    assert whole({"n": "12"}, "n", 7) == 12
    assert whole({"n": "99999999"}, "n", 7, 100) == 100
    for text in ("-1", "1.5", "x", "²", "9" * 30):
        with pytest.raises(BadRequest):
            whole({"n": text}, "n", 7)


def test_span_of_time():
    assert span_of_time({}, "d") == span_of_time({"d": "0"}, "d") == 0
    assert span_of_time({"d": "1m30s"}, "d") == 90 * 10**9
    for text in ("5", "-5s", "5s x", "{", "\0"):
        with pytest.raises(BadRequest):
            span_of_time({"d": text}, "d")


def test_since():
    assert since({}) == 0
    assert abs(since({}, "1h") - (time.time_ns() - 3600 * 10**9)) < 60 * 10**9
    assert since({"since": "0"}, "1h") == 0


def test_trace_id():
    assert trace_id("AB") == "ab".rjust(32, "0")
    for text in ("", "xyz", "a" * 33, "a/b"):
        with pytest.raises(BadRequest):
            trace_id(text)
