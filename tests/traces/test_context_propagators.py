"""OTEL_PROPAGATORS: names, order, and the way from a head's fields to a context."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.config import Config
from agent.errors import ConfigError
from agent.protocols.http1_head import CONTEXT_FIELDS, carrier_of
from agent.traces.context_propagators import FORMATS, NAMES, Propagators, propagators

IDS = {name: f"{number}" * 32 for number, name in enumerate(FORMATS, 1)}
SPAN = "e457b5a2e4d86bd1"
HEADERS = {
    "traceparent": {"traceparent": f"00-{IDS['traceparent']}-{SPAN}-01"},
    "b3": {"b3": f"{IDS['b3']}-{SPAN}-1"},
    "jaeger": {"uber-trace-id": f"{IDS['jaeger']}:{SPAN}:0:1"},
    "datadog": {
        "x-datadog-trace-id": str(int(IDS["datadog"][:16], 16)),
        "x-datadog-parent-id": "1",
        "x-datadog-tags": f"_dd.p.tid={IDS['datadog'][:16]}",
    },
    "xray": {"x-amzn-trace-id": f"Root=1-{IDS['xray'][:8]}-{IDS['xray'][8:]};Parent={SPAN}"},
}
ALL = {name: value for headers in HEADERS.values() for name, value in headers.items()}
DEFAULT = propagators(Config().propagators)


def order_of(chosen: Propagators) -> list[str]:
    """Formats as they go before one another: each is taken out once it was found."""
    left = dict(ALL)
    found = []
    while (context := chosen.extract(left)) is not None:
        assert context.trace_id.hex() == IDS[context.format]
        found.append(context.format)
        for name in HEADERS[context.format]:
            del left[name]
    return found


def test_default_reads_every_format():
    assert order_of(DEFAULT) == list(FORMATS)


@pytest.mark.parametrize(
    ("text", "order"),
    {
        "tracecontext,baggage": ["traceparent"],
        "xray, b3 ,tracecontext": ["xray", "b3", "traceparent"],
        "datadog,jaeger,datadog": ["datadog", "jaeger"],
        "b3multi": ["b3"],
        "b3multi,b3": ["b3"],
        "baggage": [],
        "none": [],
        "none,none": [],
        ",": [],
    }.items(),
)
def test_order_is_that_of_the_names(text, order):
    assert order_of(propagators(text)) == order


@pytest.mark.parametrize("name", HEADERS)
def test_malformed_context_is_as_good_as_none(name):
    spoilt = {**ALL, **dict.fromkeys(HEADERS[name], "what")}
    found = DEFAULT.extract(spoilt)
    assert found is not None
    assert found.format == ("b3" if name == "traceparent" else "traceparent")


@pytest.mark.parametrize(
    ("text", "told"),
    {
        "ottrace": "OTEL_PROPAGATORS: 'ottrace' is none of tracecontext, b3, b3multi, jaeger, ",
        "tracecontext,B3": "'B3' is none of",
        "none,b3": "'none' stands alone",
    }.items(),
)
def test_wrong_names(text, told):
    with pytest.raises(ConfigError, match=told):
        propagators(text)


@pytest.mark.parametrize("carrier", [None, {}, {"host": "a"}])
def test_request_without_context(carrier):
    assert DEFAULT.extract(carrier) is None
    assert DEFAULT.decision(carrier) is None


def test_decision_without_a_span():
    assert DEFAULT.decision({"b3": "0"}) is False
    assert DEFAULT.extract({"b3": "0"}) is None
    assert propagators("tracecontext").decision({"b3": "0"}) is None


def test_fields_are_those_of_the_names():
    assert propagators("none").fields == frozenset()
    assert propagators("tracecontext,baggage").fields == {b"traceparent", b"tracestate"}
    assert propagators("b3").fields == propagators("b3multi").fields
    assert DEFAULT.fields > {name.encode() for name in ALL}
    assert DEFAULT.fields == Propagators([name for name in NAMES if name != "none"]).fields


def test_all_fields_are_captured():
    assert DEFAULT.fields == CONTEXT_FIELDS


def test_repeated_traceparent_counts_as_none():
    value = ALL["traceparent"].encode()
    twice = {b"traceparent": [value, value], b"tracestate": [b"a=1"]}
    assert DEFAULT.extract(carrier_of(twice)) is None
    once = {b"traceparent": [value], b"tracestate": [b"a=1", b"b=2"]}
    found = DEFAULT.extract(carrier_of(once))
    assert found is not None
    assert found.trace_state == "a=1,b=2"


@settings(database=None)
@given(st.dictionaries(st.sampled_from(sorted(DEFAULT.fields)), st.lists(st.binary(max_size=60))))
def test_any_head_is_a_context_or_none(head):
    found = DEFAULT.extract(carrier_of(head))
    assert found is None or found.format in FORMATS
