"""Where spans go to, where they are looked at, and where those of others come from."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agent.config import DEFAULT_STORE, load
from agent.errors import ConfigError
from agent.export.settings import Console, ExportSettings, Otlp, Store, Transport
from agent.places import destinations, page_of, receiver_of
from agent.receive.settings import Place

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"


@pytest.mark.parametrize(
    ("settings", "environment", "expected"),
    [
        ({}, {}, [Store(Path(DEFAULT_STORE))]),
        ({"store_mb": 64, "store_hours": 2}, {}, [Store(Path(DEFAULT_STORE), 64, 2.0)]),
        ({"store": "/x"}, {}, [Store(Path("/x"))]),
        ({"export": ["console"]}, {}, [Console()]),
        ({"export": ["console"], "store": "/x"}, {}, [Console(), Store(Path("/x"))]),
        ({"export": ["store:/x"], "store": "/x", "store_mb": 64}, {}, [Store(Path("/x"), 64)]),
        ({}, {ENDPOINT: "http://h:1"}, [Otlp(Transport.HTTP, "h", 1)]),
        ({"store": "/x"}, {"OTEL_TRACES_EXPORTER": "none"}, [Store(Path("/x"))]),
        ({}, {"OTEL_TRACES_EXPORTER": "none"}, []),
    ],
)
def test_where_spans_go(monkeypatch, settings, environment, expected):
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(name)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert destinations(load(flags=settings, environment={})) == expected


STORE: list[ExportSettings] = [Store(Path("/x"))]


def test_the_page_is_over_a_store():
    page = page_of(load(flags={}, environment={}), STORE)
    assert page is not None
    assert (page.store, page.url) == ("/x", "http://127.0.0.1:4320")
    assert page_of(load(flags={}, environment={}), [Console()]) is None
    assert page_of(load(flags={"web": ""}, environment={}), STORE) is None


def test_spans_of_others_go_into_a_store():
    assert receiver_of(load(flags={}, environment={}), STORE) is None
    config = load(flags={"receive": ["otlp"]}, environment={})
    found = receiver_of(config, STORE)
    assert found is not None
    assert found.grpc == Place("127.0.0.1", 4317)
    with pytest.raises(ConfigError, match="--store"):
        receiver_of(config, [Console()])
