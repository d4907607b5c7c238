"""MongoDB: which reply answers which command, and what is told of both."""

from __future__ import annotations

from itertools import permutations

import pytest

from agent.protocols.mongodb import MAX_ASIDE, Mongodb
from agent.spans.span import Span
from tests.protocols import mongodb_bytes as mongo
from tests.scenario import Host, Run, facts, play, request, response
from tests.wire import Sample, bytewise, read, whole

FIND = {"find": "orders", "filter": {"_id": 7, "name": "hunter2zebra"}, "lsid": {"id": b"x" * 16}}
INSERT = {"insert": "orders", "ordered": True}
DONE: dict[str, object] = {"n": 1, "ok": 1.0}

SAMPLES = [
    Sample(
        requests=(
            mongo.command(1, FIND),
            mongo.command(2, INSERT, mongo.sequence("documents", {"a": 1}, {"a": 2})),
            mongo.command(3, {"getMore": 1 << 40, "collection": "orders"}),
            mongo.compressed(mongo.command(4, {"aggregate": "orders", "pipeline": [{"$match": {"a": 1}}]})),
            mongo.command(5, {"ping": 1}, flags=1),
            mongo.query(6, {"count": "orders", "query": {"a": 1}}, "shop.$cmd"),
        ),
        responses=(
            mongo.reply(1, mongo.cursor({"_id": 7}, {"_id": 8})),
            mongo.reply(2, {"n": 0, "writeErrors": [{"index": 0, "code": 11000, "errmsg": "x"}], "ok": 1.0}),
            mongo.reply(3, mongo.error(43, "CursorNotFound")),
            mongo.compressed(mongo.reply(4, mongo.cursor())),
            mongo.reply(5, {"ok": 1.0}, flags=1),
            mongo.old_reply(6, {"n": 3, "ok": 1.0}),
        ),
    ),
    Sample((mongo.query(77, {"a": 1}, "shop.orders"),), (mongo.old_reply(77, {"a": 1}, {"a": 2}),)),
    Sample(
        (mongo.compressed(mongo.command(4, {"find": "orders"})),),
        (mongo.compressed(mongo.reply(4, mongo.cursor())),),
    ),
]  # fmt: skip


def told(span: Span) -> tuple[object, ...]:
    said = facts(span)
    outcome = said.get("error.type", said.get("db.response.returned_rows"))
    return (span.kind.name.lower(), span.name, said.get("db.query.text"), outcome)


def play_pair(asked: bytes, answered: bytes = b"", **more) -> Span:
    socket = Host().connect(server=("10.0.0.1", 27017), **more).asks(asked)
    if answered:
        socket.answers(answered)
    (span,) = play(socket.close().host).spans
    return span


def test_a_span():
    span = play_pair(mongo.command(1, FIND), SAMPLES[0].responses[0])
    known = facts(span)
    assert span.name == "find orders"
    assert {key: value for key, value in known.items() if key.startswith(("db.", "server.", "error."))} == {
        "db.system.name": "mongodb",
        "db.namespace": "shop",
        "db.operation.name": "find",
        "db.collection.name": "orders",
        "db.query.summary": "find orders",
        "db.query.text": '{"find": "orders", "filter": {"_id": "?", "name": "?"}}',
        "db.response.returned_rows": 2,
        "server.address": "10.0.0.1",
        "server.port": 27017,
    }  # fmt: skip


OK = mongo.reply(1, DONE)
TEXTS = [
    (mongo.command(1, INSERT, mongo.sequence("documents", {"a": 1}, {"a": 2})), "insert orders",
     '{"insert": "orders", "ordered": "?", "documents": ["?"]}', 2),
    (mongo.command(1, {"insert": "orders", "documents": [{"a": 1}, {"b": 1}, {}]}), "insert orders",
     '{"insert": "orders", "documents": ["?"]}', 3),
    (mongo.command(1, {"update": "orders"}, mongo.sequence("updates", {"q": {"a": 1}, "u": {"$set": {"b": 2}}})),
     "update orders", '{"update": "orders", "updates": [{"q": {"a": "?"}, "u": {"$set": {"b": "?"}}}]}', None),
    (mongo.command(1, {"aggregate": "orders", "pipeline": [{"$match": {"a": {"$in": [1, 2, 3]}}}, {"$limit": 5}]}),
     "aggregate orders", '{"aggregate": "orders", "pipeline": [{"$match": {"a": {"$in": ["?"]}}}, {"$limit": "?"}]}',
     None),
    (mongo.command(1, {"aggregate": 1, "pipeline": []}), "aggregate shop", '{"aggregate": "?", "pipeline": []}', None),
    (mongo.command(1, {"getMore": 1 << 40, "collection": "orders"}), "getMore orders",
     '{"getMore": "?", "collection": "orders"}', None),
    (mongo.command(1, {"explain": {"find": "orders", "filter": {"a": 1}}}), "explain orders",
     '{"explain": {"find": "?", "filter": {"a": "?"}}}', None),
    (mongo.command(1, {"createUser": "joe", "pwd": "hunter2zebra"}), "createUser shop", None, None),
    (mongo.command(1, {"dropUser": "hunter2zebra"}), "dropUser shop", '{"dropUser": "?"}', None),
    (mongo.command(1, {"ping": 1, "$readPreference": {"mode": "primary"}}), "ping shop", '{"ping": "?"}', None),
    (mongo.command(1, {"find": 'a"b\\c'}), 'find a"b\\c', '{"find": "a\\"b\\\\c"}', None),
    (mongo.command(1, {"find": "orders", "filter": {"user:1234": 1}}), "find orders",
     '{"find": "orders", "filter": {"user:{id}": "?"}}', None),
    (mongo.query(1, {"$query": {"a": 1}, "$orderby": {"b": 1}}, "shop.orders"), "find orders",
     '{"find": "orders", "filter": {"a": "?"}}', None),
    (mongo.query(1, {"find": "orders", "filter": {}}, "shop.$cmd"), "find orders", '{"find": "orders", "filter": {}}', None),
]  # fmt: skip


@pytest.mark.parametrize(("asked", "name", "text", "count"), TEXTS, ids=range(len(TEXTS)))
def test_texts(asked, name, text, count):
    for answered in (OK, mongo.compressed(OK)):
        for sent in (asked, mongo.compressed(asked)):
            span = play_pair(sent, answered)
            known = facts(span)
            assert (span.name, known.get("db.query.text")) == (name, text)
            assert known.get("db.operation.batch.size") == count
            assert known["db.namespace"] == "shop"


OUTCOMES = [
    (mongo.reply(1, mongo.error(26, "NamespaceNotFound")), "26", "NamespaceNotFound"),
    (mongo.reply(1, mongo.error(26, "hunter2 zebra")), "26", ""),
    (mongo.reply(1, {"ok": 0}), "1", ""),
    (mongo.reply(1, {"ok": 1, "writeErrors": [{"index": 0, "code": 121, "errmsg": "x"}]}), "121", ""),
    (mongo.reply(1, {"ok": 1, "writeConcernError": {"code": 64, "codeName": "WriteConcernTimeout"}}), "64",
     "WriteConcernTimeout"),
    (mongo.old_reply(1, {"$err": "hunter2zebra", "code": 17, "ok": 0}, flags=2), "17", ""),
    (mongo.old_reply(1, mongo.error(59, "CommandNotFound")), "59", "CommandNotFound"),
    (mongo.reply(1, DONE), None, ""),
    (mongo.old_reply(1, DONE), None, ""),
]  # fmt: skip


@pytest.mark.parametrize(("answered", "code", "message"), OUTCOMES, ids=range(len(OUTCOMES)))
def test_outcomes(answered, code, message):
    for sent in (answered, mongo.compressed(answered)):
        span = play_pair(mongo.command(1, FIND), sent)
        known = facts(span)
        assert known.get("error.type") == known.get("db.response.status_code") == code
        assert span.status_message == message


def test_hello_and_authentication_are_part_of_no_exchange():
    socket = Host().connect(server=("10.0.0.1", 27017))
    socket.asks(
        mongo.query(1, {"isMaster": 1, "speculativeAuthenticate": {"payload": b"hunter2zebra"}})
    )
    socket.answers(mongo.old_reply(1, {"ok": 1, "speculativeAuthenticate": {"payload": b"hunter2zebra"}}))  # fmt: skip
    socket.asks(mongo.command(2, {"saslStart": 1, "payload": b"hunter2zebra"}))
    socket.answers(mongo.reply(2, {"ok": 1, "payload": b"hunter2zebra"}))
    socket.asks(mongo.command(3, FIND)).answers(mongo.reply(3, mongo.cursor()))
    run = play(socket.close().host)
    assert [span.name for span in run.spans] == ["find orders"]
    assert run.counts == {"captured": 1, "spans": 1}


@pytest.mark.parametrize("order", list(permutations((1, 2, 3))))
def test_replies_in_any_order(order):
    socket = Host().connect(server=("10.0.0.1", 27017))
    socket.asks(b"".join(mongo.command(n, {"find": f"c{'x' * n}"}) for n in (1, 2, 3)))
    for number in order:
        socket.answers(mongo.reply(number, mongo.error(number, "Some")))
    run = play(socket.close().host)
    expected = [(f"find c{'x' * number}", str(number)) for number in order]
    assert [(span.name, facts(span)["error.type"]) for span in run.spans] == expected


def test_an_unacknowledged_write_ends_with_itself():
    socket = Host().connect(server=("10.0.0.1", 27017))
    socket.asks(mongo.command(1, INSERT, mongo.sequence("documents", {"a": 1}), flags=2))
    socket.asks(mongo.command(2, FIND)).answers(mongo.reply(2, mongo.cursor()))
    run = play(socket.close().host)
    assert [span.name for span in run.spans] == ["insert orders", "find orders"]
    assert all("error.type" not in facts(span) for span in run.spans)


def test_replies_that_nobody_asked_for_are_read_over():
    socket = Host().connect(server=("10.0.0.1", 27017))
    socket.asks(mongo.command(1, {"getMore": 5, "collection": "orders"}, flags=1 << 16))
    more = mongo.cursor({"a": 1}, batch="nextBatch")
    socket.answers(mongo.reply(1, more, number=50, flags=2))
    socket.answers(mongo.reply(50, more, number=51, flags=2) + mongo.reply(51, more, number=52))
    socket.asks(mongo.command(2, FIND)).answers(mongo.reply(2, mongo.cursor()))
    run = play(socket.close().host)
    assert [told(span)[1:] for span in run.spans] == [
        ("getMore orders", '{"getMore": "?", "collection": "orders"}', 1),
        ("find orders", '{"find": "orders", "filter": {"_id": "?", "name": "?"}}', 0),
    ]
    assert run.counts == {"captured": 2, "spans": 2}


def test_joined_in_the_middle_a_reply_to_an_unseen_command_is_counted():
    socket = Host().join(port=27017)
    socket.received(mongo.command(8, FIND)).sent(mongo.reply(7, mongo.cursor()))
    socket.sent(mongo.reply(8, mongo.cursor()))
    run = play(socket.close().host)
    assert [told(span)[:2] for span in run.spans] == [("server", "find orders")]
    assert run.counts == {"captured": 2, "spans": 1, "unparsed": {"request_not_seen": 1}}


def test_an_id_that_is_pending_is_refused():
    message = mongo.command(1, FIND)
    run = play(Host().connect(server=("10.0.0.1", 27017)).asks(message + message).close().host)
    assert (run.spans, run.counts["unparsed"]) == ([], {"garbage": 2})


def test_a_cut_command_says_what_is_missing():
    span = play_pair(mongo.command(1, FIND), OK, budgets=(4096, 34))
    known = facts(span)
    assert (span.name, known["zerospan.db.query.missing"]) == ("10.0.0.1:27017", "not_captured")
    cut = play_pair(mongo.command(1, FIND), OK, budgets=(4096, 70))
    assert (cut.name, facts(cut)["db.query.text"]) == ("find orders", '{"find": "orders", "filter": {"_id": "?"}}')  # fmt: skip


def test_what_cannot_be_read_is_an_exchange_all_the_same():
    unknown = mongo.compressed(mongo.command(1, FIND), way=3, data=b"no zstd")
    span = play_pair(unknown, OK)
    assert span.name == "10.0.0.1:27017"
    assert facts(span)["zerospan.db.query.missing"] in ("compressed", "not_captured")


def test_a_long_reply_is_walked_over():
    rows = mongo.cursor(*({"name": "x" * 100} for _ in range(400)))
    socket = Host().connect(server=("10.0.0.1", 27017))
    for number in (1, 2, 3):
        socket.asks(mongo.command(number, FIND)).answers(mongo.reply(number, rows))
    run = play(socket.close().host)
    assert [told(span)[1:] for span in run.spans] == [
        ("find orders", '{"find": "orders", "filter": {"_id": "?", "name": "?"}}', None)
    ] * 3
    assert run.counts == {"captured": 3, "spans": 3}


def test_what_was_given_up_does_not_answer():
    """A hole in which a message begins: what is under way is given up, and counted once."""
    host = Host()
    socket = host.connect(server=("10.0.0.1", 27017))
    socket.asks(mongo.command(1, FIND)).answers(mongo.reply(1, mongo.cursor()), is_lost=True)
    socket.asks(mongo.command(2, FIND)).answers(mongo.reply(2, mongo.cursor()))
    run = play(socket.close().host)
    assert run.counts == {"captured": 2, "spans": 1, "lost": {"ring_full": 1}}


def test_handshakes_are_bounded():
    protocol = Mongodb()
    data = b"".join(mongo.command(number, {"hello": 1}) for number in range(1, 3 * MAX_ASIDE))
    assert read(protocol, "request", bytewise(data)).messages == ()
    assert len(protocol._aside) == MAX_ASIDE
    assert read(protocol, "response", whole(mongo.reply(5, DONE))).messages != ()


def test_a_servers_own_side_can_be_left_out():
    socket = Host().accept(port=27017).received(mongo.command(1, FIND)).sent(OK)
    run = Run(reports_database_servers=False).take(socket.host.records).finish()
    assert (run.spans, run.outside.muted) == ([], [socket.number])


@pytest.mark.parametrize("together", [False, True])
def test_an_event_loop_goes_on_with_the_work_whose_reply_came(together):
    """Two requests of a proxy share a connection; what comes behind a reply is for the one whose reply that was."""
    host = Host().process(10, "proxy", is_proxy=True)
    store = host.connect(process=10, thread=10, server=("10.0.0.1", 27017))
    other = host.connect(process=10, thread=10, server=("10.0.0.2", 80), port=40001)
    asked = []
    for number, path in ((1, "/a"), (2, "/b")):
        client = host.accept(client=("10.0.0.9", 41000 + number)).received(request(path))
        store.asks(mongo.command(number, {"find": f"c{'x' * number}"}))
        asked.append(client)
    replies = [mongo.reply(number, mongo.cursor()) for number in (2, 1)]
    store.answers(b"".join(replies) if together else replies[0])
    other.asks(request("/next")).answers(response())
    if not together:
        store.answers(replies[1])
    for client in asked:
        client.sent(response())
    run = play(host)
    names = {span.span_id: span.name for span in run.spans}
    parents = {span.name: names.get(span.parent_id or b"") for span in run.spans}
    paths = {facts(span).get("url.path", ""): span.span_id for span in run.spans}
    (following,) = (span for span in run.spans if "next" in str(facts(span).get("url.full")))
    assert following.parent_id == (None if together else paths["/b"])
    assert len([name for name in parents if name.startswith("find")]) == 2
