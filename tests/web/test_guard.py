"""Who may ask."""

from __future__ import annotations

import base64

import pytest

from agent.web.guard import refused

TOKEN = "0123456789abcdef"


def basic(password: str) -> str:
    return "Basic " + base64.b64encode(f"any:{password}".encode()).decode()


def status(*, token: str = "", is_loopback: bool = True, method: str = "GET", path: str = "/api/v1/traces", **headers: str) -> str:  # fmt: skip
    environ = {"REQUEST_METHOD": method, "PATH_INFO": path, "HTTP_HOST": "127.0.0.1:4320"}
    environ |= {f"HTTP_{name}": value for name, value in headers.items()}
    return (refused(environ, token=token, is_loopback=is_loopback) or "200")[:3]


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:4320", "127.0.0.1", "127.0.0.1:8080", "[::1]", "[::1]:4320"])  # fmt: skip
def test_names_of_this_host(host):
    assert status(HOST=host) == "200"


@pytest.mark.parametrize(
    "host", ["", "evil.example", "evil.example:4320", "localhost.evil.example", "127.0.0.1.evil.example", "[::1", "localhost:x"]
)  # fmt: skip
def test_other_names_are_refused_on_loopback(host):
    assert status(HOST=host) == "403"
    assert status(HOST=host, token=TOKEN, is_loopback=False, AUTHORIZATION=f"Bearer {TOKEN}") == "200"  # fmt: skip


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"])
def test_nothing_can_be_changed(method):
    assert status(method=method) == "405"


def test_pages_of_other_sites():
    for site in ("cross-site", "same-site"):
        assert status(SEC_FETCH_SITE=site, SEC_FETCH_MODE="no-cors") == "403"
        assert status(SEC_FETCH_SITE=site, SEC_FETCH_MODE="navigate") == "403"
        assert status(SEC_FETCH_SITE=site, SEC_FETCH_MODE="navigate", path="/") == "200"
    for site in ("same-origin", "none"):
        assert status(SEC_FETCH_SITE=site, SEC_FETCH_MODE="cors") == "200"


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (f"Bearer {TOKEN}", "200"),
        (f"bearer {TOKEN}", "200"),
        (basic(TOKEN), "200"),
        ("", "401"),
        ("Bearer ", "401"),
        (f"Bearer {TOKEN}x", "401"),
        (f"Digest {TOKEN}", "401"),
        (basic(""), "401"),
        (basic("wrong"), "401"),
        ("Basic !!", "401"),
        ("Basic /w==", "401"),
        ("Bearer \xff", "401"),
    ],
)
def test_token(shown, expected):
    assert status(token=TOKEN, AUTHORIZATION=shown) == expected
    assert status(token=TOKEN, is_loopback=False, AUTHORIZATION=shown) == expected
