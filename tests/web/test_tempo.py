"""Requests as Grafana's Tempo data source makes them (recorded by their shape: path, parameters, headers), and answers as
Tempo's documentation has them."""

from __future__ import annotations

import json
import time

from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from tests.web.asking import get, query, told
from tests.web.conftest import LARGE_SPANS, ORDER

ID = f"{ORDER:032x}"


def window(seconds: int = 3600) -> str:
    now = int(time.time())
    return f"start={now - seconds}&end={now + 1}"


def test_health(page):
    assert get(f"{page}/tempo/api/echo")[::2] == (200, b"echo")
    assert get(f"{page}/tempo/ready")[0] == 200
    assert told(f"{page}/tempo/api/status/buildinfo")["version"].startswith("2.")


def test_search_by_traceql(page):
    text = query('{resource.service.name="checkout" && status=error} | select(span.error.type)')
    found = told(f"{page}/tempo/api/search?q={text}&limit=20&spss=1&{window()}", Accept="application/json")  # fmt: skip
    (one,) = found["traces"]
    start = one["startTimeUnixNano"]
    assert start.isdigit()
    span = {
        "spanID": f"{3:016x}", "name": "POST /orders", "startTimeUnixNano": start, "durationNanos": str(2998 * 10**6),
        "attributes": [{"key": "service.name", "value": {"stringValue": "checkout"}},
                       {"key": "error.type", "value": {"stringValue": "502"}}],
    }  # fmt: skip
    assert one == {
        "traceID": ID, "rootServiceName": "nginx", "rootTraceName": "POST /orders", "startTimeUnixNano": start,
        "durationMs": 3000, "spanSet": {"spans": [span], "matched": 2}, "spanSets": [{"spans": [span], "matched": 2}],
    }  # fmt: skip


def test_search_by_tags_and_time(page):
    at = f"{page}/tempo/api/search"
    assert len(told(f"{at}?q=%7B%7D&limit=20&{window()}")["traces"]) == 3
    assert len(told(f"{at}?limit=20")["traces"]) == 3
    assert len(told(f"{at}?{window(900)}")["traces"]) == 1
    now = int(time.time())
    assert len(told(f"{at}?start={now - 3600}&end={now - 1500}")["traces"]) == 1
    tags = query('service.name=CHECK http.response.status_code=502 name="POST /o"')
    (one,) = told(f"{at}?tags={tags}&minDuration=1s&maxDuration=5s")["traces"]
    assert one["traceID"] == ID
    assert told(f"{at}?tags={tags}&minDuration=10s")["traces"] == []
    assert get(f"{at}?q=%7B%20%7D%20%7C%20rate()")[0] == 400


def test_trace_by_id(page):
    for path in (f"/tempo/api/traces/{ID}", f"/tempo/api/traces/{ID}?{window()}"):
        status, headers, body = get(page + path, Accept="application/protobuf")
        assert (status, headers["Content-Type"]) == (200, "application/protobuf")
        spans = [s for r in TracesData.FromString(body).resource_spans for c in r.scope_spans for s in c.spans]  # fmt: skip
        assert len(spans) == 12
        assert {span.trace_id.hex() for span in spans} == {ID}
    assert len(told(f"{page}/tempo/api/traces/{ID}")["batches"]) == 2
    assert get(f"{page}/tempo/api/traces/{'ab' * 16}")[0] == 404


def test_trace_by_id_v2(page):
    found = told(f"{page}/tempo/api/v2/traces/{ID}")
    assert len(found["trace"]["resourceSpans"]) == 2
    _, _, body = get(f"{page}/tempo/api/v2/traces/{ID}", Accept="application/protobuf")
    _, _, plain = get(f"{page}/tempo/api/traces/{ID}", Accept="application/protobuf")
    # Field 1, whose length takes two bytes here, is the trace.
    assert (body[:1], body[3:]) == (b"\x0a", plain)
    assert body[1] & 0x7F | body[2] << 7 == len(plain)


def test_tags(page):
    scopes = told(f"{page}/tempo/api/v2/search/tags?limit=5000&{window()}")["scopes"]
    assert [one["name"] for one in scopes] == ["resource", "span", "intrinsic"]
    tags = {one["name"]: one["tags"] for one in scopes}
    assert {"service.name", "host.name"} <= set(tags["resource"])
    assert "http.route" in tags["span"]
    assert "duration" in tags["intrinsic"]
    (only,) = told(f"{page}/tempo/api/v2/search/tags?scope=resource")["scopes"]
    assert only["name"] == "resource"
    assert {"service.name", "http.route"} <= set(told(f"{page}/tempo/api/search/tags")["tagNames"])


def test_tag_values(page):
    at = f"{page}/tempo/api/v2/search/tag"
    values = told(f"{at}/resource.service.name/values?limit=5000&q={query('{}')}&{window()}")
    assert {"type": "string", "value": "checkout"} in values["tagValues"]
    codes = told(f"{at}/.http.response.status_code/values")["tagValues"]
    assert codes == [{"type": "int", "value": "502"}]
    assert {"type": "keyword", "value": "error"} in told(f"{at}/status/values")["tagValues"]
    assert {"type": "string", "value": "POST /orders"} in told(f"{at}/name/values")["tagValues"]
    assert told(f"{at}/duration/values")["tagValues"] == []
    names = told(f"{page}/tempo/api/search/tag/service.name/values")["tagValues"]
    assert {"nginx", "checkout", "batch"} <= set(names)
    assert len(told(f"{at}/name/values?limit=3")["tagValues"]) == 3


def test_large_trace(page):
    found = told(f"{page}/tempo/api/search?q={query('{ duration > 10s }')}")["traces"]
    assert [one["spanSet"]["matched"] for one in found] == [1]
    _, _, body = get(f"{page}/tempo/api/traces/{found[0]['traceID']}")
    assert len(json.loads(body)["batches"][0]["scopeSpans"][0]["spans"]) == LARGE_SPANS
