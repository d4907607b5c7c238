"""What is answered under each path, by a real server."""

from __future__ import annotations

import json
import urllib.error
import urllib.request

import pytest

from tests.web.asking import get, query, told
from tests.web.conftest import LARGE_SPANS, ORDER


def test_traces_by_filter(page):
    found = told(f"{page}/api/v1/traces")["traces"]
    assert [one["spans"] for one in found] == [2, 12, LARGE_SPANS]
    assert found[1] == {
        "trace_id": f"{ORDER:032x}", "start_unix_ns": found[1]["start_unix_ns"], "duration_ns": 3_000_000_000,
        "spans": 12, "errors": 4, "root_name": "POST /orders", "root_service": "nginx",
    }  # fmt: skip
    for asked, spans in {
        "order=slowest&limit=1": [LARGE_SPANS],
        "errors=1": [2, 12],
        "service=checkout": [12],
        "name=large": [LARGE_SPANS],
        "min_duration=10s": [LARGE_SPANS],
        "since=15m": [2],
        "since=1ms": [],
        f"after_unix_ns={found[1]['start_unix_ns']}": [2, 12],
        "limit=0": [],
    }.items():
        assert [one["spans"] for one in told(f"{page}/api/v1/traces?{asked}")["traces"]] == spans, (
            asked
        )


def test_query(page):
    text = query('{ .db.operation.name = "SELECT" } | count() > 3')
    found = told(f"{page}/api/v1/query?q={text}")
    (one,) = found["traces"]
    assert (one["trace_id"], one["numbers"], len(one["matched"])) == (f"{ORDER:032x}", {"count()": 8}, 8)  # fmt: skip


def test_trace_with_its_path_and_findings(page):
    found = told(f"{page}/api/v1/traces/7c1f03")
    assert found == told(f"{page}/api/v1/traces/{ORDER:032x}")
    assert [span["depth"] for span in found["spans"][:4]] == [0, 1, 2, 3]
    assert found["resources"][found["spans"][0]["resource"]]["service.name"] == "nginx"
    path = found["critical_path"]
    assert sum(one["end_unix_ns"] - one["start_unix_ns"] for one in path) == found["duration_ns"]
    assert {"dns", "n_plus_one"} <= {one["kind"] for one in found["findings"]}


def test_other_views(page):
    services = told(f"{page}/api/v1/services")["services"]
    assert {"nginx", "checkout", "batch"} <= {one["service"] for one in services}
    edges = told(f"{page}/api/v1/map")["edges"]
    assert ("nginx", "checkout") in {(one["caller"]["name"], one["callee"]["name"]) for one in edges}  # fmt: skip
    found = told(f"{page}/api/v1/findings?since=25m")
    assert found["traces"] == 2
    assert any(one["kind"] == "dns" for one in found["findings"])
    status = told(f"{page}/api/v1/status")
    assert (status["agent"], status["store"]["spans"]) == (None, LARGE_SPANS + 14)


@pytest.mark.parametrize(
    ("path", "status", "says"),
    [
        ("/api/v1/query?q=%7B", 400, "column 2"),
        ("/api/v1/traces?limit=x", 400, "no whole number"),
        ("/api/v1/traces?min_duration=5", 400, "no duration"),
        ("/api/v1/traces/nothex", 400, "no trace id"),
        ("/api/v1/traces/abcdef12", 404, "there is no trace"),
        ("/api/v1/nothing", 404, "404"),
        ("/../../etc/passwd", 404, "404"),
        ("/%2e%2e/%2e%2e/etc/passwd", 404, "404"),
        ("/style.css%00", 404, "404"),
        ("/app.py", 404, "404"),
    ],
)
def test_what_is_wrong_is_told(page, path, status, says):
    code, headers, body = get(page + path)
    assert code == status
    assert says in json.loads(body)["error"]
    assert "default-src 'none'" in headers["Content-Security-Policy"]


def test_assets_have_their_types_and_nothing_inline(page):
    for path, kind in {"/": "text/html", "/style.css": "text/css", "/main.js": "text/javascript", "/icon.svg": "image/svg+xml"}.items():  # fmt: skip
        status, headers, body = get(page + path)
        assert (status, headers["Content-Type"].partition(";")[0]) == (200, kind)
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert b"style=" not in body.replace(b"style={", b"")
        assert b"innerHTML" not in body
    assert "unsafe" not in headers["Content-Security-Policy"]


def test_only_reading(page):
    request = urllib.request.Request(f"{page}/api/v1/status", method="POST")
    with pytest.raises(urllib.error.HTTPError, match="405"):
        urllib.request.urlopen(request, timeout=30)
    status, _, body = get(f"{page}/api/v1/status", Host="evil.example")
    assert (status, b"Host" in body) == (403, True)
