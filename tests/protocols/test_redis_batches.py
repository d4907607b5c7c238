"""Pipelines of Redis: what is kept of a batch, and its text."""

from __future__ import annotations

from agent.protocols.redis_batches import (
    MAX_SHAPES,
    MAX_TEXT,
    Batch,
    asked,
    is_usual,
    outcome,
    size_of,
    succeeded,
    together,
)
from agent.protocols.redis_messages import Command, Kind, Reply
from agent.spans.wire import read


def command(*words: bytes, **more) -> Command:
    return Command(words, len(words), 1, **more)


def test_patterns_are_kept_once_in_their_order():
    batch = Batch.of([(b"GET", b"a:1"), (b"SET", b"b:2", b"v"), (b"GET", b"a:3")], 3)
    assert batch == Batch(((b"GET", b"a:0"), (b"SET", b"b:0", b"?")), 3)
    batch.add(command(b"GET", b"a:4"))
    batch.add(command(b"INCR", b"n"))
    assert batch == Batch(((b"GET", b"a:0"), (b"SET", b"b:0", b"?"), (b"INCR", b"n")), 5)


def test_more_patterns_than_there_is_room_for_are_counted_alone():
    words = [(b"GET", b"x" * n) for n in range(40)]
    batch = Batch.of(words, 40)
    assert (len(batch.shapes), batch.count) == (MAX_SHAPES, 40)
    batch.add(command(b"PING"))
    assert (len(batch.shapes), batch.count, batch.is_partial) == (MAX_SHAPES, 41, True)
    batch = Batch.of(words[:MAX_SHAPES], MAX_SHAPES)
    batch.add(command(b"GET", b""))
    assert not batch.is_partial
    batch.add(command(b"PING"))
    assert batch.is_partial


def test_what_was_not_captured_leaves_a_batch_open():
    batch = Batch.of([(b"GET", b"a")], 1)
    batch.add(command(is_truncated=True, is_end_guessed=True))
    assert batch == Batch(((b"GET", b"a"),), 2, is_open=True, is_partial=True)
    batch = Batch.of([(b"GET", b"a")], 1)
    batch.add(command(b"GET", b"b", is_truncated=True))
    assert batch == Batch(((b"GET", b"a"),), 2, is_partial=True)


def test_passwords_are_in_none():
    assert is_usual(command(b"get", b"a"))
    assert not is_usual(command(b"auth"))


def test_size():
    reply = Reply(Kind.BATCH, 9, 3)
    cut = Reply(Kind.BATCH, 9, 3, is_truncated=True)
    assert size_of(Batch((), 5), cut) == 5
    assert size_of(Batch((), 2, is_open=True), reply) == 3
    assert size_of(Batch((), 2, is_open=True), cut) == 0
    assert size_of(Batch((), 2, is_open=True), None) == 0
    assert size_of(Batch((), 1, is_open=True), Reply(Kind.BATCH, 9, 1, is_truncated=True)) == 1


def test_names_and_texts():
    get, put = (b"get", b"a:0"), (b"SET", b"b", b"?")
    multi, execute = (b"MULTI",), (b"EXEC",)
    for shapes, name, text in (
        ((get,), "PIPELINE GET", "get a:{id}"),
        (((b"GET", b"a"), (b"GET", b"b")), "PIPELINE GET", "GET a; GET b"),
        ((get, put), "PIPELINE", "get a:{id}; SET b ?"),
        ((multi, put, execute), "MULTI SET", "MULTI; SET b ?; EXEC"),
        ((multi, put, get, execute), "MULTI", "MULTI; SET b ?; get a:{id}; EXEC"),
        ((multi, execute, put), "PIPELINE", "MULTI; EXEC; SET b ?"),
        (((b"hunter two", b"x"),), "PIPELINE", "?"),
        ((), "PIPELINE", "?"),
    ):
        assert dict(asked(shapes, "", False).items) == {
            "db.system.name": "redis",
            "db.operation.name": name,
            "db.query.text": text,
        }
    assert dict(asked((get,), "", True).items)["db.operation.name"] == "PIPELINE"
    assert dict(asked((get,), "ERR", False).items)["db.response.status_code"] == "ERR"


def test_a_text_has_a_bound():
    shapes = tuple((b"DEL", *[b"%s:%d:a" % (b"key" * n, n) for _ in range(9)]) for n in range(16))
    text = dict(asked(shapes, "", False).items)["db.query.text"]
    assert len(str(text)) < MAX_TEXT + 64


def test_outcome():
    assert read(outcome(16, 0)) == (("db.operation.batch.size", 16),)
    assert read(outcome(16, 2))[1] == ("zerospan.db.batch.failures", 2)
    assert read(outcome(0, 0)) == ()


def test_replies():
    total = together(together(None, Reply(Kind.ERROR, 5, error="ERR")), Reply(Kind.STRING, 4, 9))
    assert total == Reply(Kind.BATCH, 9, 2, "ERR", failures=1)
    total = together(total, Reply(Kind.ERROR, 5, error="OOM", is_truncated=True))
    assert total == Reply(Kind.BATCH, 14, 3, "ERR", failures=2, is_truncated=True)
    assert succeeded(2, 9) == Reply(Kind.BATCH, 9, 2)
