"""Nothing secret leaves: put anywhere into a conversation, it is in no exporter's output, log, ledger or error.

Two kinds of secrets. One that issuers made recognisable may be anywhere: in a key, a path, a name. One that looks like
a word is put where only values are: nothing there may leave, whatever it looks like.
"""

from __future__ import annotations

import importlib
import io
import json
import logging
import os
import sqlite3
import tempfile
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.export.console import PlainText
from agent.export.otlp import encode
from agent.export.otlp_json import encode_line
from agent.export.tree import Traces, draw
from agent.protocols import Protocol, load_all
from agent.spans.span import Span
from agent.store.writer import Writer
from tests.protocols import amqp_bytes as amqp
from tests.protocols import fastcgi_bytes as fcgi
from tests.protocols import mongodb_bytes as mongo
from tests.protocols import mqtt_bytes as mqtt
from tests.scenario import Host, Run, play
from tests.secret_values import MORE
from tests.wire import Sample

EXAMPLES = int(os.environ.get("SECRETS_EXAMPLES", "25"))
"""More of them, and other ones each time, where somebody looks for what was missed."""
PROPERTY = settings(
    max_examples=EXAMPLES,
    derandomize=EXAMPLES == 25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    database=None,
)
ISSUED = (
    b"AKIAIOSFODNN7EXAMPLE",
    b"ghp_16C7e42F292c6912E7710c838347Ae178B4a",
    b"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmNHl0w5N",
    b"sk_live_4eC39HqLyjWDarjtT1zdp7dc",
)
BETWEEN = (b" ", b"/", b"'", b'"', b":", b"=", b"\r\n", b"\0")
PROTOCOLS = sorted(load_all().items())


def conversations() -> list[tuple[type[Protocol], Sample]]:
    found = []
    for name, protocol in PROTOCOLS:
        samples = importlib.import_module(f"tests.protocols.test_{name}").SAMPLES
        found += [(protocol, sample) for sample in samples]
    return found


def records(sample: Sample, place: int, damage, *, is_server: bool) -> list[bytes]:
    """A conversation of which one message is damaged, as one end sees it."""
    messages = [
        side for pair in zip(sample.requests, sample.responses, strict=True) for side in pair
    ]
    place %= len(messages)
    messages[place] = damage(messages[place])
    socket = Host().accept() if is_server else Host().connect()
    for number, message in enumerate(messages):
        (socket.answers if number % 2 else socket.asks)(message)
    return socket.close().host.records


def outputs(spans: Sequence[Span]) -> bytes:
    """All that leaves: OTLP, the file, the console, the store with its indexes."""
    traces = Traces()
    for span in spans:
        traces.add(span, now_s=0.0)
    text = io.StringIO()
    for trace in traces.take_all():
        PlainText(text).write(draw(trace))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "traces.db"
        writer = Writer(path)
        writer.write(spans)
        writer.close()
        # Values are compressed in it: what can be read back counts, and the file as it is.
        with sqlite3.connect(path) as database:
            dump = "\n".join(database.iterdump()).encode()
        stored = path.read_bytes() + dump
    return b"\n".join((encode(spans), encode_line(spans), text.getvalue().encode(), stored))


def check(run: Run, secret: bytes, log: str) -> None:
    told = outputs(run.spans) + json.dumps(run.ledger.as_json()).encode() + log.encode()
    assert secret not in told
    for span in run.spans:
        assert secret.decode() not in repr(span)


every_conversation = pytest.mark.parametrize(
    ("protocol", "sample"), conversations(), ids=lambda item: getattr(item, "name", "")
)


@every_conversation
@PROPERTY
@given(
    data=st.data(),
    place=st.integers(0, 30),
    secret=st.sampled_from(ISSUED),
    between=st.sampled_from(BETWEEN),
    is_server=st.booleans(),
    is_in_place=st.booleans(),
)
def test_an_issued_secret_anywhere_in_a_conversation(
    protocol, sample, data, place, secret, between, is_server, is_in_place
):
    """In place of as many bytes, so that what follows is understood, or between them, so that it is not."""
    at = data.draw(st.integers(0, 400))

    def damage(message: bytes) -> bytes:
        put = between + secret + between
        start = at % (len(message) + 1)
        return message[:start] + put + message[start + (len(put) if is_in_place else 0) :]

    log = io.StringIO()
    handler = logging.StreamHandler(log)
    logging.getLogger("agent").addHandler(handler)
    try:
        made = records(sample, place, damage, is_server=is_server)
        run = Run().take(made).finish()
    finally:
        logging.getLogger("agent").removeHandler(handler)
    check(run, secret, log.getvalue())


def test_outputs_show_what_is_said():
    """Or the properties would hold for want of looking."""
    socket = Host().accept().received(b"GET /visible-word HTTP/1.1\r\nHost: a\r\n\r\n")
    socket.sent(b"HTTP/1.1 204 No Content\r\n\r\n").close()
    told = outputs(play(socket.host).spans)
    assert told.count(b"visible-word") >= 4


WORD = b"hunter2zebra"
VALUES: dict[str, list[tuple[bytes, bytes]]] = {
    **MORE,
    "redis": [
        (b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$12\r\nhunter2zebra\r\n", b"+OK\r\n"),
        (b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n", b"$12\r\nhunter2zebra\r\n"),
        (b"*2\r\n$4\r\nAUTH\r\n$12\r\nhunter2zebra\r\n", b"-ERR hunter2zebra\r\n"),
        (b"*2\r\n$7\r\nHGETALL\r\n$1\r\nh\r\n", b"%1\r\n+hunter2zebra\r\n+hunter2zebra\r\n"),
    ],
    "memcached": [
        (b"set k 0 0 12\r\nhunter2zebra\r\n", b"SERVER_ERROR hunter2zebra\r\n"),
        (b"get k\r\n", b"VALUE k 0 12\r\nhunter2zebra\r\nEND\r\n"),
    ],
    "mongodb": [
        (mongo.query(1, {"isMaster": 1, "speculativeAuthenticate": {"saslStart": 1, "payload": WORD, "user": "hunter2zebra"}}),
         mongo.old_reply(1, {"ok": 1, "speculativeAuthenticate": {"payload": WORD}})),
        (mongo.command(2, {"saslContinue": 1, "payload": WORD}), mongo.reply(2, {"ok": 0, "errmsg": "hunter2zebra"})),
        (mongo.command(3, {"authenticate": 1, "user": "hunter2zebra", "key": "hunter2zebra"}), mongo.reply(3, {"ok": 1})),
        (mongo.command(4, {"find": "orders", "filter": {"a": "hunter2zebra", "b": {"$in": ["hunter2zebra", WORD]}}}),
         mongo.reply(4, mongo.cursor({"name": "hunter2zebra"}))),
        (mongo.command(5, {"insert": "orders"}, mongo.sequence("documents", {"a": "hunter2zebra", "hunter2zebra": 1})),
         mongo.reply(5, {"n": 0, "writeErrors": [{"code": 11000, "errmsg": "hunter2zebra"}], "ok": 1})),
        (mongo.command(6, {"createUser": "hunter2zebra", "pwd": "hunter2zebra"}), mongo.reply(6, mongo.error())),
        (mongo.compressed(mongo.command(7, {"update": "orders"}, mongo.sequence("updates", {"q": {"a": WORD}, "u": {"b": "hunter2zebra"}}))),
         mongo.compressed(mongo.reply(7, {"ok": 0, "errmsg": "hunter2zebra", "codeName": "hunter2 zebra"}))),
    ],
    "amqp": [
        (amqp.PREFACE + amqp.method(10, 11, amqp.table(k=WORD) + amqp.text(b"PLAIN") + amqp.number(26, 4) + b"\0" + WORD + b"\0" + WORD, channel=0),
         amqp.method(10, 50, amqp.number(403) + amqp.text(WORD) + bytes(4), channel=0)),
        (amqp.publish(body=WORD, headers=amqp.table(authorization=WORD, hunter2zebra=b"x")),
         amqp.deliver(body=WORD, headers=amqp.table(a=WORD), consumer=WORD)),
        (amqp.nack(1), amqp.method(20, 40, amqp.number(404) + amqp.text(WORD) + amqp.number(60) + amqp.number(40))),
    ],
    "mqtt": [
        (mqtt.packet(1, 0, mqtt.text(b"MQTT") + b"\5\xc6\0\x3c\x0f\x26" + mqtt.text(b"k") + mqtt.text(b"hunter2zeb") + mqtt.text(b"a")
                     + b"\0" + mqtt.text(b"d") + mqtt.text(WORD) + mqtt.text(WORD) + mqtt.text(WORD)), mqtt.CONNACK_5),
        (mqtt.publish(b"a", WORD, qos=1, properties=mqtt.user(WORD, WORD) + b"\x08" + mqtt.text(WORD)),
         mqtt.acknowledgement(4, 1, 0x97) + mqtt.publish(b"a", WORD, properties=mqtt.user(b"password", WORD))),
    ],
    "nats": [
        (b'CONNECT {"user":"hunter2zebra","pass":"hunter2zebra","auth_token":"hunter2zebra","verbose":true}\r\n', b"+OK\r\n"),
        (b"PUB a 12\r\nhunter2zebra\r\n", b"-ERR 'hunter2zebra'\r\n"),
        (b"HPUB a 35 47\r\nNATS/1.0\r\nhunter2zebra: hunter\r\n\r\nhunter2zebra\r\n",
         b"MSG a 1 12\r\nhunter2zebra\r\n"),
    ],
    "fastcgi": [
        (fcgi.request("/a?x=hunter2zebra", method="POST", body=WORD, HTTP_COOKIE="hunter2zebra", HTTP_AUTHORIZATION="hunter2zebra",
                      PHP_AUTH_PW="hunter2zebra", QUERY_STRING="x=hunter2zebra"),
         fcgi.record(7, b"PHP message: hunter2zebra") + fcgi.response(WORD, head=b"Set-Cookie: hunter2zebra\r\n\r\n")),
    ],
    "http1": [
        (b"POST /a?x=hunter2zebra HTTP/1.1\r\nHost: a\r\nAuthorization: hunter2zebra\r\nCookie: hunter2zebra\r\nContent-Length: 12\r\n\r\nhunter2zebra",
         b"HTTP/1.1 200 OK\r\nSet-Cookie: hunter2zebra\r\nContent-Length: 12\r\n\r\nhunter2zebra"),
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", VALUES)
@PROPERTY
@given(
    cut=st.lists(st.integers(1, 120), max_size=4),
    captured=st.integers(1, 200),
    is_server=st.booleans(),
)
def test_a_value_never_leaves_whatever_was_captured_of_it(name, cut, captured, is_server):
    host = Host()
    budgets = (captured, captured)
    socket = host.accept(budgets=budgets) if is_server else host.connect(budgets=budgets)
    for asked, answered in VALUES[name]:
        for message, pass_on in ((asked, socket.asks), (answered, socket.answers)):
            edges = sorted({0, len(message), *(at for at in cut if at < len(message))})
            for start, end in pairwise(edges):
                pass_on(message[start:end])
    socket.close()
    check(play(host), WORD, "")


STATEMENTS = (
    b"INSERT INTO users (name, token) VALUES ('hunter2zebra', x'hunter2zebra')",
    b"SELECT a FROM t WHERE b = 'it''s hunter2zebra' AND [c] = 'hunter2zebra' -- hunter2zebra",
    b"ATTACH 'hunter2zebra' AS b KEY 'hunter2zebra'",
    b"PRAGMA key = 'hunter2zebra'; hunter2zebra",
)


@PROPERTY
@given(text=st.sampled_from(STATEMENTS), captured=st.integers(0, 90), is_known=st.booleans())
def test_a_value_of_an_embedded_databases_statement_never_leaves(text, captured, is_known):
    text = text.replace(b"; hunter2zebra", b"")[:captured]
    host = Host().opens(b"file:a.db?key=hunter2zebra")
    host.statement(text, stage=3 if is_known else 1, statement=0 if is_known else 5, result=1)
    check(play(host), WORD, "")


@PROPERTY
@given(
    text=st.sampled_from(STATEMENTS),
    at=st.integers(0, 90),
    secret=st.sampled_from(ISSUED),
    between=st.sampled_from(BETWEEN),
)
def test_an_issued_secret_anywhere_in_a_statement_or_a_files_name(text, at, secret, between):
    put = between + secret + between
    host = Host().opens(b"/var/lib/" + put + b"/a.db")
    host.statement(text[:at] + put + text[at:], result=1)
    check(play(host), secret, "")
