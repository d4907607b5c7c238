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


LONGEST = ",".join(("a=" + "x" * 253, "b=" + "x" * 254))
MEMBERS = ",".join(f"k{number}={number}" for number in range(32))

STATES = [
    "a=1,b=2",
    "congo=t61rcWkgMzE,rojo=00f067aa0ba902b7",
    "dd=s:1;t.dm:-4;p:0123456789abcdef",
    "a=1 \t,\t b=2",
    "a=1,,b=2,",
    "a=b c",
    "a= b",
    "a@b=c",
    "1-_*/a@b=c",
    "z" * 241 + "@" + "z" * 14 + "=!",
    "z" * 256 + "=" + "~" * 255,
    LONGEST,
    MEMBERS,
]
NO_STATES = [
    LONGEST + "x",
    MEMBERS + ",k=1",
    "what",
    "a=",
    "a=1=2",
    "a=\x7f",
    "a=é",
    "a=\x1b[2J",
    "a=1\n",
    "A=1",
    "1a=1",
    "a@1=1",
    "a@=1",
    "@a=1",
    "a@b@c=1",
    "z" * 257 + "=1",
    "z" * 242 + "@z=1",
    "z@" + "z" * 15 + "=1",
    "a=" + "x" * 257,
    "a=1;b=2\x00",
]


@pytest.mark.parametrize("state", STATES)
def test_tracestate(state):
    assert len(state) <= MAX_TRACESTATE
    assert extract({"traceparent": VALID, "tracestate": state}) == remote(trace_state=state)


@pytest.mark.parametrize("state", ["", *NO_STATES])
def test_invalid_tracestate_is_left_out_and_the_parent_is_kept(state):
    assert extract({"traceparent": VALID, "tracestate": state}) == remote()


@settings(database=None)
@given(st.text(max_size=2 * MAX_TRACESTATE))
def test_any_tracestate_is_kept_as_it_is_or_left_out(state):
    found = extract({"traceparent": VALID, "tracestate": state})
    assert found is not None
    assert found.trace_state in (state, "")
    assert len(found.trace_state) <= MAX_TRACESTATE
    assert found.trace_state.replace("\t", " ").isprintable()
    assert found.trace_state.isascii()


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
