"""Requests as Grafana's Jaeger data source and Jaeger's page make them, and answers in Jaeger's form."""

from __future__ import annotations

import json
import time

import pytest

from tests.web.asking import get, query, told
from tests.web.conftest import EVIL, ORDER

ID = f"{ORDER:032x}"


@pytest.fixture(params=["", "/jaeger"])
def at(page, request):
    return f"{page}{request.param}/api"


def test_services_and_operations(at):
    found = told(f"{at}/services")
    assert found == {"data": sorted(["batch", "checkout", "nginx", EVIL]), "total": 4, "limit": 0, "offset": 0, "errors": None}  # fmt: skip
    assert told(f"{at}/services/nginx/operations")["data"] == ["POST", "POST /orders"]
    assert told(f"{at}/services/{query(EVIL)}/operations")["data"] == [EVIL]
    assert told(f"{at}/operations?service=nginx&spanKind=server")["data"] == [{"name": "POST /orders", "spanKind": "server"}]  # fmt: skip


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("", 1),
        ("&operation=POST", 1),
        ("&operation=nothing", 0),
        ("&minDuration=2.5s&maxDuration=10s", 1),
        ("&minDuration=5s", 0),
        (f"&tags={query(json.dumps({'http.response.status_code': '502', 'error': 'true'}))}", 1),
        (f"&tags={query(json.dumps({'http.response.status_code': '200'}))}", 0),
        ("&tag=error.type:502", 1),
        ("&lookback=1h", 1),
        ("&lookback=2d", 1),
        ("&lookback=custom", 1),
    ],
)
def test_search(at, asked, found):
    assert len(told(f"{at}/traces?service=nginx&limit=20{asked}")["data"]) == found


def test_search_by_time(at):
    now = int(time.time() * 1e6)
    assert len(told(f"{at}/traces?service=nginx&lookback=custom&start={now - 3600 * 10**6}&end={now}")["data"]) == 1  # fmt: skip
    assert told(f"{at}/traces?service=nginx&start={now - 3600 * 10**6}&end={now - 1500 * 10**6}")["data"] == []  # fmt: skip


def test_trace(at):
    found = told(f"{at}/traces/{ID}")
    (trace,) = found["data"]
    assert (trace["traceID"], len(trace["spans"]), found["errors"]) == (ID, 12, None)
    assert {one["serviceName"] for one in trace["processes"].values()} == {"nginx", "checkout"}
    dns = trace["spans"][-1]
    assert dns["operationName"] == "A gateway.example.com"
    assert dns["references"] == [{"refType": "CHILD_OF", "traceID": ID, "spanID": f"{3:016x}"}]
    assert dns["duration"] == 2_700_000
    assert {"key": "server.port", "type": "int64", "value": 53} in dns["tags"]
    assert {"key": "error", "type": "bool", "value": True} in dns["tags"]
    assert {"key": "span.kind", "type": "string", "value": "client"} in dns["tags"]
    (log,) = dns["logs"]
    assert {"key": "event", "type": "string", "value": "exception"} in log["fields"]
    assert trace["processes"][dns["processID"]]["serviceName"] == "checkout"


def test_dependencies(at):
    now = int(time.time() * 1e3)
    found = told(f"{at}/dependencies?endTs={now}&lookback=3600000")["data"]
    assert {"parent": "nginx", "child": "checkout", "callCount": 1} in found
    assert {"parent": "checkout", "child": "postgresql db", "callCount": 8} in found


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/traces", 400),
        ("/traces?service=nginx&tags=%5B", 400),
        ("/traces?service=nginx&tags=%5B1%5D", 400),
        ("/traces?service=nginx&minDuration=abc", 400),
        (f"/traces/{'ab' * 16}", 404),
    ],
)
def test_errors_have_jaegers_form(at, path, status):
    code, _, body = get(at + path)
    assert code == status
    (error,) = json.loads(body)["errors"]
    assert error["code"] == status
