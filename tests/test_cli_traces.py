"""The commands that read a store, run as a person runs them."""

from __future__ import annotations

import json
import time

import pytest
from click.testing import CliRunner, Result

from agent.cli import commands
from agent.errors import AgentError, ConfigError, StoreError
from agent.spans.span import Resource, SpanKind, Status
from agent.store.writer import Writer
from tests.show.made import EVIL
from tests.store.made import BACK, MS, span


@pytest.fixture
def store(tmp_path):
    path = tmp_path / "traces.db"
    writer = Writer(path)
    now = time.time_ns() - 10_000 * MS
    evil = Resource([("service.name", EVIL)])
    writer.write(
        [
            span(0xAB << 120, 1, name="GET /a", start_unix_ns=now, duration_ns=90 * MS),
            span(0xAB << 120, 2, 1, kind=SpanKind.CLIENT, start_unix_ns=now, duration_ns=80 * MS),
            span(0xAB << 120, 3, 2, resource=BACK, start_unix_ns=now, status=Status.ERROR),
            span(0xAC << 120, 1, name="GET /b", start_unix_ns=now + 1, duration_ns=5 * MS),
            span(0xAC << 120 | 1, 1, name=EVIL, resource=evil, start_unix_ns=now + 2),
        ]
    )
    yield path  # the writer is at work meanwhile
    writer.close()


def zerospan(*arguments: object) -> Result:
    return CliRunner().invoke(commands, [*map(str, arguments)], catch_exceptions=True)


def told(*arguments: object) -> str:
    done = zerospan(*arguments)
    assert done.exception is None, done.exception
    assert done.stdout.replace("\n", "").isprintable()
    return done.stdout


def refused(*arguments: object) -> BaseException:
    done = zerospan(*arguments)
    assert done.exception is not None
    return done.exception


def lines(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


def test_traces(store):
    rows = lines(told("traces", "--store", store))
    assert rows[0] == ["TRACE", "START", "DURATION", "SPANS", "ERRORS", "SERVICE", "NAME"]
    assert [row[0][:4] for row in rows[1:]] == ["ac00", "ac00", "ab00"]
    for flags, ids in {
        ("--errors",): ["ab00"],
        ("--slowest", "--limit", 1): ["ab00"],
        ("--service", "back"): ["ab00"],
        ("--name", "/b"): ["ac00"],
        ("--min-duration", "80ms"): ["ab00"],
        ("--since", "1h", "--limit", 2): ["ac00", "ac00"],
    }.items():
        rows = lines(told("traces", "--store", store, *flags))
        assert [row[0][:4] for row in rows[1:]] == ids, flags
    assert told("traces", "--store", store, "--since", "1ms") == "no traces\n"
    (first, *_) = json.loads(told("traces", "--store", store, "--json"))
    assert (first["root_name"], first["spans"]) == (EVIL, 1)


def test_query(store):
    text = '{ resource.service.name = "back" && status = error }'
    rows = lines(told("query", text, "--store", store))
    assert rows[1][0] == "ab" + "0" * 30
    assert rows[1][-3:] == ["1", "of", "3"]
    assert told("query", '{ name = "none" }', "--store", store) == "nothing found\n"
    (match,) = json.loads(told("query", text, "--store", store, "--format", "json"))
    assert [one["service"] for one in match["spans"]] == ["back"]
    otlp = json.loads(told("query", text, "--store", store, "--format", "otlp"))
    assert len(otlp["resourceSpans"]) == 1
    done = zerospan("query", "{ }", "--store", store, "--limit", 1)
    assert done.stderr == "the newest 1; there may be more (--limit)\n"
    assert EVIL not in told("query", "{ } | select(name)", "--store", store)


def test_a_wrong_query_is_shown_with_the_place(store):
    error = refused("query", "{ name = checkout }", "--store", store)
    assert isinstance(error, ConfigError)
    assert str(error) == (
        'column 10: text is written in quotes: "checkout"\n  { name = checkout }\n           ^'
    )


def test_trace(store):
    shown = told("trace", "ab00", "--store", store).splitlines()
    assert shown[0].startswith("trace ab000")
    assert [line.split()[0] for line in shown[1:5]] == ["NAME", "*GET", "*└─", "*"], shown
    assert (
        len(json.loads(told("trace", "ab00", "--store", store, "--format", "json"))["spans"]) == 3
    )
    otlp = json.loads(told("trace", "ab00", "--store", store, "--format", "otlp"))
    assert len(otlp["resourceSpans"]) == 2
    assert "several traces begin with ac00" in str(refused("trace", "ac00", "--store", store))
    assert "there is no trace ffff" in str(refused("trace", "ffff", "--store", store))
    assert "there is no trace \\x1b" in str(refused("trace", "\x1b", "--store", store))
    told("trace", "ac" + "0" * 29 + "1", "--store", store)


def test_services(store):
    rows = lines(told("services", "--store", store))
    assert rows[0] == ["SERVICE", "OPERATION", "RATE", "ERRORS", "P50", "P90", "P99"]
    assert [row[0] for row in rows if row[0] in ("front", "back")] == ["front", "back"]
    found = json.loads(told("services", "--store", store, "--json"))
    back = [one for one in found if one["service"] == "back"]
    assert [(one["name"], one["red"]["errors"]) for one in back] == [
        ("", 1),
        ("GET /orders/{id}", 1),
    ]
    assert told("services", "--store", store, "--since", "1ms") == "no traces\n"


def test_map(store):
    assert ["front", "back"] in [row[:2] for row in lines(told("map", "--store", store))]
    assert told("map", "--store", store, "--dot").startswith("digraph services {\n")
    assert told("map", "--store", store, "--mermaid").startswith("flowchart LR\n")
    (one, *_) = json.loads(told("map", "--store", store, "--json"))
    assert one["callee"] == {"kind": "service", "name": "front"}
    assert told("map", "--store", store, "--since", "1ms") == "no calls\n"


def test_top(store):
    shown = told("top", "--store", store, "--count", 2, "--every", "1ms")
    assert shown.count("zerospan top") == 2
    assert shown.count("slowest:") == 2
    assert shown.count("with errors:") == 2


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (("--since", "5"), "'5' is no duration, such as 500ms, 5s or 1h30m"),
        (("--since", "soon"), "'soon' is no duration"),
        (("--since", "-5s"), "'-5s' is no duration"),
        (("--since", "5s 5s"), "'5s 5s' is no duration"),
        (("--limit", "0"), "0 is not in the range"),
    ],
)
def test_wrong_flags(store, flags, sentence):
    done = zerospan("traces", "--store", store, *flags)
    assert done.exit_code == 2
    assert sentence in done.stderr


@pytest.mark.parametrize("command", ["query", "traces", "trace", "services", "map", "top"])
def test_without_a_store(tmp_path, command):
    argument = {"query": ["{ }"], "trace": ["abcd"]}.get(command, [])
    error = refused(command, *argument, "--store", tmp_path / "none.db")
    assert isinstance(error, StoreError)
    assert isinstance(error, AgentError)
    assert str(error).startswith("there is no store ")
