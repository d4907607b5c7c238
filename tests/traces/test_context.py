"""traceparent as the specification has it (https://www.w3.org/TR/trace-context-1/), and ids."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.traces.context import MAX_TRACESTATE, Ids, RemoteContext, extract

TRACE = "0af7651916cd43dd8448eb211c80319c"
SPAN = "b7ad6b7169203331"
VALID = f"00-{TRACE}-{SPAN}-01"


def remote(*, is_sampled: bool = True, trace_state: str = "") -> RemoteContext:
    return RemoteContext(bytes.fromhex(TRACE), bytes.fromhex(SPAN), is_sampled, trace_state)


VALIDS = {
    VALID: True,
    f"00-{TRACE}-{SPAN}-00": False,
    f"00-{TRACE}-{SPAN}-03": True,
    f"00-{TRACE}-{SPAN}-fe": False,
    f"01-{TRACE}-{SPAN}-01": True,
    f"cc-{TRACE}-{SPAN}-01-what-the-future-will-be-like": True,
    f"cc-{TRACE}-{SPAN}-01-": True,
}


@pytest.mark.parametrize(("header", "is_sampled"), VALIDS.items())
def test_valid(header, is_sampled):
    assert extract({"traceparent": header}) == remote(is_sampled=is_sampled)


INVALIDS = [
    "",
    "00",
    VALID.upper(),
    f" {VALID}",
    f"{VALID}\n",
    f"ff-{TRACE}-{SPAN}-01",
    f"0-{TRACE}-{SPAN}-01",
    f".0-{TRACE}-{SPAN}-01",
    f"00-{'0' * 32}-{SPAN}-01",
    f"00-{TRACE}-{'0' * 16}-01",
    f"00-{TRACE[:-1]}-{SPAN}-01",
    f"00-{TRACE}a-{SPAN}-01",
    f"00-{TRACE[:-1]}.-{SPAN}-01",
    f"00-{TRACE}-{SPAN[:-1]}-01",
    f"00-{TRACE}-{SPAN}-1",
    f"00-{TRACE}-{SPAN}-.1",
    f"00-{TRACE}-{SPAN}",
    f"00-{TRACE}-{SPAN}-01-",
    f"00-{TRACE}-{SPAN}-01-extra",
    f"00-{TRACE}-{SPAN}-010",
    f"cc-{TRACE}-{SPAN}-01.what",
]


@pytest.mark.parametrize("header", INVALIDS)
def test_invalid(header):
    assert extract({"traceparent": header}) is None


@pytest.mark.parametrize("carrier", [None, {}, {"tracestate": "k=v"}])
def test_without_a_traceparent_there_is_none(carrier):
    assert extract(carrier) is None


@pytest.mark.parametrize(
    ("state", "kept"),
    [
        ("", ""),
        ("a=1,b=2", "a=1,b=2"),
        ("x" * MAX_TRACESTATE, "x" * MAX_TRACESTATE),
        ("x" * (MAX_TRACESTATE + 1), ""),
    ],
)
def test_tracestate(state, kept):
    assert extract({"traceparent": VALID, "tracestate": state}) == remote(trace_state=kept)


@settings(database=None)
@given(st.text(max_size=80))
def test_any_text_is_a_context_or_none(header):
    found = extract({"traceparent": header})
    assert found is None or len(found.trace_id) == 16


def test_ids_are_of_their_sizes_and_differ():
    ids = Ids(random.Random(1).randbytes)
    made = [ids.span_id() for _ in range(3 * Ids.POOL // 8)]
    assert {len(span) for span in made} == {8}
    assert len(set(made)) == len(made)
    assert len(ids.trace_id()) == 16


def test_ids_depend_on_their_source_only():
    first, second = (Ids(random.Random(7).randbytes) for _ in range(2))
    assert [first.trace_id() for _ in range(5)] == [second.trace_id() for _ in range(5)]


def test_ids_are_never_zero():
    ids = Ids(lambda size: bytes(16) + b"\1" * (size - 16))
    assert ids.span_id() == b"\1" * 8
