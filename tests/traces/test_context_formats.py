"""B3, Jaeger, Datadog and X-Ray: the examples of their specifications, what they forbid, and anything at all."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.traces.context import RemoteContext
from agent.traces.context_formats import (
    MAX_VALUE,
    read_b3,
    read_b3_decision,
    read_datadog,
    read_jaeger,
    read_xray,
)

TRACE = "80f198ee56343ba864fe8b2a57d3eff7"
HALF = "64fe8b2a57d3eff7"
SPAN = "e457b5a2e4d86bd1"
OTHER = "05e3ac9a4f6e3b90"
WIDENED = "0" * 16 + HALF
NO_TRACE, NO_SPAN = "0" * 32, "0" * 16


def remote(
    kind: str, *, is_sampled: bool | None = True, trace: str = TRACE, span: str = SPAN
) -> RemoteContext:
    return RemoteContext(bytes.fromhex(trace), bytes.fromhex(span), is_sampled, "", kind)


# B3.


@pytest.mark.parametrize(
    ("header", "expected"),
    {
        f"{TRACE}-{SPAN}-1-{OTHER}": remote("b3"),
        f"{TRACE}-{SPAN}-1": remote("b3"),
        f"{TRACE}-{SPAN}-d": remote("b3"),
        f"{TRACE}-{SPAN}-0": remote("b3", is_sampled=False),
        f"{TRACE}-{SPAN}": remote("b3", is_sampled=None),
        f"{HALF}-{SPAN}-1": remote("b3", trace=WIDENED),
    }.items(),
)
def test_b3_in_one_header(header, expected):
    assert read_b3({"b3": header}) == expected
    assert read_b3_decision({"b3": header}) is None


@pytest.mark.parametrize(
    "header",
    [
        "",
        "0",
        "-",
        TRACE,
        f"{TRACE.upper()}-{SPAN}-1",
        f"{TRACE}-{SPAN}-",
        f"{TRACE}-{SPAN}-2",
        f"{TRACE}-{SPAN}-1-",
        f"{TRACE}-{SPAN}-1-{OTHER}-",
        f"{TRACE}-{SPAN}--{OTHER}",
        f"{TRACE}-{SPAN}-1-{OTHER}0",
        f"{TRACE[1:]}-{SPAN}",
        f"{TRACE}-{SPAN[1:]}",
        f"{NO_TRACE}-{SPAN}-1",
        f"{NO_SPAN}-{SPAN}-1",
        f"{TRACE}-{NO_SPAN}-1",
        f" {TRACE}-{SPAN}",
        f"{TRACE}-{SPAN}\n",
    ],
)
def test_malformed_b3(header):
    assert read_b3({"b3": header}) is None


def b3_headers(**more: str) -> dict[str, str]:
    fields = {"traceid": TRACE, "spanid": SPAN, **more}
    return {f"x-b3-{name}": value for name, value in fields.items()}


@pytest.mark.parametrize(
    ("carrier", "expected"),
    [
        (b3_headers(sampled="1", parentspanid=OTHER), remote("b3")),
        (b3_headers(sampled="0"), remote("b3", is_sampled=False)),
        (b3_headers(sampled="true"), remote("b3")),
        (b3_headers(sampled="False"), remote("b3", is_sampled=False)),
        (b3_headers(), remote("b3", is_sampled=None)),
        (b3_headers(flags="0"), remote("b3", is_sampled=None)),
        (b3_headers(flags="1"), remote("b3")),
        (b3_headers(flags="1", sampled="0"), remote("b3")),
        (b3_headers(traceid=HALF), remote("b3", trace=WIDENED, is_sampled=None)),
        (b3_headers(sampled="2"), None),
        (b3_headers(sampled=""), None),
        (b3_headers(traceid=NO_TRACE), None),
        (b3_headers(traceid=TRACE.upper()), None),
        (b3_headers(spanid=NO_SPAN), None),
        (b3_headers(spanid=""), None),
        (b3_headers(spanid=SPAN + "0"), None),
        (b3_headers(traceid=TRACE[1:]), None),
    ],
)
def test_b3_in_several_headers(carrier, expected):
    assert read_b3(carrier) == expected


def test_b3_in_one_header_goes_before_several():
    both = {"b3": f"{HALF}-{OTHER}-0", **b3_headers(sampled="1")}
    assert read_b3(both) == remote("b3", is_sampled=False, trace=WIDENED, span=OTHER)
    assert read_b3({**both, "b3": "what"}) == remote("b3")


@pytest.mark.parametrize(
    ("carrier", "decision"),
    [
        ({"b3": "0"}, False),
        ({"b3": "1"}, True),
        ({"b3": "d"}, True),
        ({"x-b3-sampled": "0"}, False),
        ({"x-b3-sampled": "1"}, True),
        ({"x-b3-flags": "1"}, True),
        ({"x-b3-sampled": "what"}, None),
        ({"b3": "2"}, None),
        ({}, None),
        (b3_headers(sampled="0"), None),
    ],
)
def test_b3_decision_without_ids(carrier, decision):
    assert read_b3_decision(carrier) is decision


# Jaeger.


@pytest.mark.parametrize(
    ("header", "expected"),
    {
        f"{TRACE}:{SPAN}:0:1": remote("jaeger"),
        f"{TRACE}:{SPAN}:{OTHER}:01": remote("jaeger"),
        f"{TRACE}:{SPAN}::3": remote("jaeger"),
        f"{TRACE}:{SPAN}:what:1": remote("jaeger"),
        f"{TRACE}:{SPAN}:0:0": remote("jaeger", is_sampled=False),
        f"{TRACE}:{SPAN}:0:fe": remote("jaeger", is_sampled=False),
        f"{TRACE.upper()}:{SPAN.upper()}:0:1": remote("jaeger"),
        f"{TRACE}%3A{SPAN}%3a0%3A1": remote("jaeger"),
        f"{HALF}:{SPAN}:0:1": remote("jaeger", trace=WIDENED),
        "7b:1c8:0:1": remote("jaeger", trace="7b".zfill(32), span="1c8".zfill(16)),
    }.items(),
)
def test_jaeger(header, expected):
    assert read_jaeger({"uber-trace-id": header}) == expected


@pytest.mark.parametrize(
    "header",
    [
        "",
        ":::",
        f"{TRACE}:{SPAN}:0",
        f"{TRACE}:{SPAN}:0:1:1",
        f"{TRACE}:{SPAN}:0:",
        f"{TRACE}:{SPAN}:0:100",
        f"{TRACE}:{SPAN}:0:x",
        f"{TRACE}0:{SPAN}:0:1",
        f"{TRACE}:{SPAN}0:0:1",
        f"0:{SPAN}:0:1",
        f"{TRACE}:0:0:1",
        f"{TRACE}:-{SPAN[1:]}:0:1",
        f"{TRACE}:{SPAN}:{'0' * MAX_VALUE}:1",
    ],
)
def test_malformed_jaeger(header):
    assert read_jaeger({"uber-trace-id": header}) is None


# Datadog.


def datadog(**more: str) -> dict[str, str]:
    fields = {"trace-id": str(int(HALF, 16)), "parent-id": str(int(SPAN, 16)), **more}
    return {f"x-datadog-{name.replace('_', '-')}": value for name, value in fields.items()}


TAG = f"_dd.p.tid={TRACE[:16]}"


@pytest.mark.parametrize(
    ("carrier", "expected"),
    [
        (datadog(sampling_priority="1", tags=TAG), remote("datadog")),
        (datadog(sampling_priority="2", tags=f"_dd.p.dm=-4,{TAG}"), remote("datadog")),
        (datadog(sampling_priority="0", tags=f"{TAG},a=b"), remote("datadog", is_sampled=False)),
        (datadog(sampling_priority="-1", tags=TAG), remote("datadog", is_sampled=False)),
        (datadog(tags=TAG), remote("datadog", is_sampled=None)),
        (datadog(sampling_priority="1"), remote("datadog", trace=WIDENED)),
        (datadog(sampling_priority="1", tags="_dd.p.tid=1"), remote("datadog", trace=WIDENED)),
        (datadog(sampling_priority="1", tags=f"x{TAG}"), remote("datadog", trace=WIDENED)),
        (datadog(sampling_priority="1", tags=f"{TAG}0"), remote("datadog", trace=WIDENED)),
        (
            datadog(sampling_priority="1", tags=f"{TAG},{'a' * MAX_VALUE}"),
            remote("datadog", trace=WIDENED),
        ),
        (
            datadog(trace_id=str((1 << 64) - 1), parent_id="1", sampling_priority="1"),
            remote("datadog", trace="0" * 16 + "f" * 16, span="1".zfill(16)),
        ),
    ],
)  # fmt: skip
def test_datadog(carrier, expected):
    assert read_datadog(carrier) == expected


@pytest.mark.parametrize(
    "carrier",
    [
        {},
        {"x-datadog-trace-id": "1"},
        {"x-datadog-parent-id": "1"},
        datadog(trace_id="0"),
        datadog(parent_id="0"),
        datadog(trace_id=str(1 << 64)),
        datadog(parent_id="9" * 20),
        datadog(trace_id="-1"),
        datadog(trace_id="0x1"),
        datadog(trace_id="1_0"),
        datadog(trace_id="١"),
        datadog(trace_id="9" * 5000),
        datadog(sampling_priority="x"),
        datadog(sampling_priority="1.0"),
        datadog(sampling_priority="9" * 5000),
    ],
)
def test_malformed_datadog(carrier):
    found = read_datadog(carrier)
    if carrier.get("x-datadog-sampling-priority", "").startswith("9"):
        # Longer than any value may be: as if it had not come.
        assert found == remote("datadog", trace=WIDENED, is_sampled=None)
    else:
        assert found is None


# X-Ray.

ROOT = "Root=1-5759e988-bd862e3fe1be46a994272793"
ROOT_ID = "5759e988bd862e3fe1be46a994272793"
PARENT = "Parent=53995c3f42cd8ad8"


def xray(*, is_sampled: bool | None) -> RemoteContext:
    return remote("xray", trace=ROOT_ID, span="53995c3f42cd8ad8", is_sampled=is_sampled)


@pytest.mark.parametrize(
    ("header", "is_sampled"),
    {
        f"{ROOT};{PARENT};Sampled=1": True,
        f"{ROOT};{PARENT};Sampled=0": False,
        f"{ROOT};{PARENT};Sampled=?": None,
        f"{ROOT};{PARENT}": None,
        f"Sampled=1; {PARENT}; {ROOT};": True,
        f"{ROOT};{PARENT};Sampled=1;Lineage=1:a87bd80c:0|68fd508a:5": True,
        f"Self=1-67891234-12456789abcdef012345678;{ROOT};{PARENT};a": None,
        f"{ROOT};{PARENT};Sampled=1".upper(): True,
    }.items(),
)
def test_xray(header, is_sampled):
    assert read_xray({"x-amzn-trace-id": header}) == xray(is_sampled=is_sampled)


@pytest.mark.parametrize(
    "header",
    [
        "",
        ";;=;",
        ROOT,
        PARENT,
        f"{ROOT};Sampled=1",
        f"{ROOT};{PARENT};Sampled=2",
        f"{ROOT};{PARENT}0",
        f"{ROOT};Parent={NO_SPAN}",
        f"{ROOT}0;{PARENT}",
        f"Root=2-5759e988-bd862e3fe1be46a994272793;{PARENT}",
        f"Root=1-{'0' * 8}-{'0' * 24};{PARENT}",
        f"Root={ROOT_ID};{PARENT}",
        f"{ROOT};{PARENT};{'a' * MAX_VALUE}",
    ],
)
def test_malformed_xray(header):
    assert read_xray({"x-amzn-trace-id": header}) is None


# All of them.

READERS = [read_b3, read_jaeger, read_datadog, read_xray]
FIELDS = [
    "b3",
    *(f"x-b3-{name}" for name in ("traceid", "spanid", "sampled", "flags")),
    "uber-trace-id",
    *(f"x-datadog-{name}" for name in ("trace-id", "parent-id", "sampling-priority", "tags")),
    "x-amzn-trace-id",
]
NEARLY = st.text("0123456789abcdefABCDEF-:;=,.%3?d RootParentSampled_", max_size=120)
carriers = st.dictionaries(
    st.sampled_from(FIELDS), st.one_of(st.text(max_size=80), NEARLY, st.just("9" * 100_000))
)


@settings(database=None)
@given(carriers)
def test_any_headers_are_a_context_or_none(carrier):
    for read in READERS:
        found = read(carrier)
        if found is not None:
            assert (len(found.trace_id), len(found.span_id)) == (16, 8)
            assert any(found.trace_id)
            assert any(found.span_id)
            assert found.is_sampled in (True, False, None)
    assert read_b3_decision(carrier) in (True, False, None)


trace_ids = st.binary(min_size=16, max_size=16).filter(any)
span_ids = st.binary(min_size=8, max_size=8).filter(any)


@settings(database=None)
@given(trace_ids, span_ids, st.booleans())
def test_what_is_written_is_read(trace, span, is_sampled):
    """As their specifications have them written."""
    flag = str(int(is_sampled))
    expected = remote("", is_sampled=is_sampled, trace=trace.hex(), span=span.hex())
    written = {
        read_b3: {"b3": f"{trace.hex()}-{span.hex()}-{flag}"},
        read_jaeger: {"uber-trace-id": f"{trace.hex().lstrip('0')}:{span.hex()}:0:{flag}"},
        read_xray: {
            "x-amzn-trace-id": f"Root=1-{trace.hex()[:8]}-{trace.hex()[8:]};Parent={span.hex()};Sampled={flag}"
        },
    }
    if any(trace[8:]):
        written[read_datadog] = datadog(
            trace_id=str(int.from_bytes(trace[8:], "big")),
            parent_id=str(int.from_bytes(span, "big")),
            sampling_priority=flag,
            tags=f"_dd.p.tid={trace[:8].hex()}",
        )
    for read, carrier in written.items():
        found = read(carrier)
        assert found is not None
        found.format = ""
        assert found == expected
