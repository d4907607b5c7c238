"""sqlcommenter's comments are read and taken off."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.sql.comment import split_comment

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.mark.parametrize(
    ("raw", "bare", "carrier"),
    [
        ("SELECT 1", "SELECT 1", None),
        (f"SELECT 1 /*traceparent='{PARENT}'*/", "SELECT 1", {"traceparent": PARENT}),
        (f"SELECT 1/*a='b',traceparent='{PARENT}',tracestate='c%3Dd'*/;\n", "SELECT 1", {"traceparent": PARENT, "tracestate": "c=d"}),
        (f"/*traceparent='{PARENT}'*/ SELECT 1", "SELECT 1", {"traceparent": PARENT}),
        ("SELECT 1 /*action='x',route='%2Fa'*/", "SELECT 1", None),
        ("SELECT 1 /*tracestate='x'*/", "SELECT 1", None),
        (f"SELECT 1 /*traceparent='{PARENT}' more*/", f"SELECT 1 /*traceparent='{PARENT}' more*/", None),
        (f"SELECT '/*traceparent=''{PARENT}''*/'", f"SELECT '/*traceparent=''{PARENT}''*/'", None),
        ("SELECT 1 /* x */", "SELECT 1 /* x */", None),
        ("SELECT a='b'*/", "SELECT a='b'*/", None),
        (f"SELECT 1 /*xtraceparent='{PARENT}'*/", "SELECT 1", None),
    ],
)  # fmt: skip
def test_comment(raw, bare, carrier):
    assert split_comment(raw.encode()) == (bare.encode(), carrier)


@given(st.binary(max_size=200))
def test_any_bytes_are_taken(raw):
    bare, carrier = split_comment(raw + b" /*a='b'*/")
    assert len(bare) <= len(raw) + 10
    assert carrier is None or "traceparent" in carrier
