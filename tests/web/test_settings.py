"""Where the page is served."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.errors import ConfigError
from agent.web.settings import WebSettings, web_settings

STORE = Path("/x/traces.db")
TOKEN = "0123456789abcdef"


@pytest.mark.parametrize(
    ("address", "host", "port", "url"),
    [
        ("127.0.0.1:4320", "127.0.0.1", 4320, "http://127.0.0.1:4320"),
        ("localhost:80", "127.0.0.1", 80, "http://127.0.0.1:80"),
        (":9000", "127.0.0.1", 9000, "http://127.0.0.1:9000"),
        ("127.0.0.2", "127.0.0.2", 4320, "http://127.0.0.2:4320"),
        ("[::1]:4321", "::1", 4321, "http://[::1]:4321"),
        ("::1", "::1", 4320, "http://[::1]:4320"),
    ],
)
def test_addresses(address, host, port, url):
    settings = web_settings(address, store=STORE)
    assert (settings.host, settings.port, settings.url) == (host, port, url)
    assert settings.is_loopback
    assert WebSettings.from_json(settings.to_json()) == settings


@pytest.mark.parametrize(
    ("address", "token", "says"),
    [
        ("0.0.0.0:4320", "", "ZEROSPAN_WEB_TOKEN"),
        ("10.0.0.1", "", "ZEROSPAN_WEB_TOKEN"),
        ("[::]:1", "", "ZEROSPAN_WEB_TOKEN"),
        ("127.0.0.1:x", "", "no port"),
        ("127.0.0.1:70000", "", "no port"),
        ("example.com:80", "", "no IP address"),
        ("127.0.0.1", "short", "guessed"),
    ],
)
def test_refusals(address, token, says):
    with pytest.raises(ConfigError, match=says):
        web_settings(address, store=STORE, token=token)


def test_elsewhere_with_a_token():
    assert not web_settings("0.0.0.0:4320", store=STORE, token=TOKEN).is_loopback
