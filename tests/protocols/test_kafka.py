"""Kafka: which response answers which request, and what is told of both."""

from __future__ import annotations

from itertools import permutations

import pytest

from agent.protocols.kafka import MAX_ASIDE, MAX_TOPICS, Kafka
from agent.spans.span import Link, Span
from tests.protocols import kafka_bytes as kafka
from tests.scenario import Host, Run, Socket, facts, play
from tests.wire import Reading, Sample, whole

SAMPLES = [
    Sample(
        requests=(
            kafka.produce_(7, number=1),
            kafka.fetch_(11, number=2),
            kafka.request("Metadata", 5, 3, topics=[]),
            kafka.request("Heartbeat", 3, 4, group_id="workers", generation_id=1, member_id="m"),
            kafka.produce_(9, number=5, topics={"orders": [kafka.records(b"x" * 900)]}),
        ),
        responses=(
            kafka.produced(7, number=1),
            kafka.fetched(11, number=2),
            kafka.metadata_(5, 3),
            kafka.response("Heartbeat", 3, 4, error_code=27),
            kafka.produced(9, number=5, error=6),
        ),
    ),
    Sample((kafka.fetch_(12),), (kafka.fetched(12),)),
    Sample((kafka.fetch_(4),), (kafka.fetched(4),)),
    Sample((kafka.produce_(9),), (kafka.produced(9),)),
]


def told(span: Span) -> tuple[object, ...]:
    said = facts(span)
    outcome = said.get("error.type", said.get("messaging.batch.message_count"))
    return span.kind.name.lower(), span.name, outcome


def client(host: Host | None = None, **more) -> Socket:
    return (host or Host()).connect(server=("10.0.0.1", 9092), budgets=(16384, 16384), **more)


def play_pair(asked: bytes, answered: bytes = b"") -> Span:
    socket = client().asks(asked)
    if answered:
        socket.answers(answered)
    (span,) = play(socket.close().host).spans
    return span


def said_of(span: Span) -> dict[str, object]:
    return {key: value for key, value in facts(span).items() if key.startswith(("messaging.", "server.", "error."))}  # fmt: skip


def test_a_message_is_sent():
    batch = kafka.records(b"hunter2zebra", b"b", headers=(kafka.CONTEXT, ("other", b"hunter2")))
    span = play_pair(kafka.produce_(topics={"orders": [batch]}), kafka.produced())
    assert (span.name, span.kind.name, span.links) == ("send orders", "PRODUCER", (Link(*kafka.LINK),))  # fmt: skip
    assert said_of(span) == {
        "messaging.system": "kafka",
        "messaging.operation.name": "send",
        "messaging.operation.type": "send",
        "messaging.destination.name": "orders",
        "messaging.destination.partition.id": "3",
        "messaging.batch.message_count": 2,
        "messaging.client.id": "shop-1",
        "server.address": "10.0.0.1",
        "server.port": 9092,
    }
    assert "hunter2" not in repr(span)


def test_messages_are_polled():
    batch = kafka.records(b"hunter2zebra", b"b", b"c", headers=(kafka.CONTEXT,))
    span = play_pair(kafka.fetch_(), kafka.fetched(topics={"orders": batch}))
    assert (span.name, span.kind.name, span.links) == ("poll orders", "CLIENT", (Link(*kafka.LINK),))  # fmt: skip
    said = said_of(span)
    assert said["messaging.operation.type"] == "receive"
    assert said["messaging.batch.message_count"] == 3
    assert said["messaging.destination.partition.id"] == "3"


PRODUCE_VERSIONS = range(3, 14)
FETCH_VERSIONS = range(4, 19)


@pytest.mark.parametrize("version", PRODUCE_VERSIONS)
def test_produce_in_every_version(version):
    socket = client()
    socket.asks(kafka.request("Metadata", 12, 1, topics=[])).answers(kafka.metadata_(12))
    socket.asks(kafka.produce_(version, number=2)).answers(kafka.produced(version, number=2))
    socket.asks(kafka.produce_(version, number=3)).answers(kafka.produced(version, number=3, error=6))  # fmt: skip
    assert [told(span) for span in play(socket.host).spans[1:]] == [
        ("producer", "send orders", 1),
        ("producer", "send orders", "NOT_LEADER_OR_FOLLOWER"),
    ]


@pytest.mark.parametrize("version", FETCH_VERSIONS)
def test_fetch_in_every_version(version):
    socket = client()
    socket.asks(kafka.request("Metadata", 12, 1, topics=[])).answers(kafka.metadata_(12))
    socket.asks(kafka.fetch_(version, number=2)).answers(kafka.fetched(version, number=2))
    socket.asks(kafka.fetch_(version, number=3)).answers(kafka.fetched(version, number=3, error=1, topics={"orders": b""}))  # fmt: skip
    socket.asks(kafka.fetch_(version, number=4, topics=())).answers(kafka.fetched(version, number=4))  # fmt: skip
    socket.asks(kafka.fetch_(version, number=5, topics=())).answers(kafka.fetched(version, number=5, topics={}))  # fmt: skip
    assert [told(span) for span in play(socket.host).spans[1:]] == [
        ("client", "poll orders", 1),
        ("client", "poll orders", "OFFSET_OUT_OF_RANGE"),
        ("client", "poll orders", 1),
        ("client", "poll", 0),
    ]


def test_a_topic_whose_id_nobody_told_has_no_name():
    span = play_pair(kafka.produce_(13), kafka.produced(13))
    assert told(span) == ("producer", "send", 1)
    assert "messaging.destination.name" not in facts(span)


OTHERS = [
    ("Heartbeat", 4, {"group_id": "workers", "generation_id": 1, "member_id": "m"}, {"error_code": 27}, "REBALANCE_IN_PROGRESS"),
    ("Heartbeat", 0, {"group_id": "workers", "generation_id": 1, "member_id": "m"}, {"error_code": 0}, None),
    ("LeaveGroup", 1, {"group_id": "workers", "member_id": "m"}, {"error_code": 25}, "UNKNOWN_MEMBER_ID"),
    ("JoinGroup", 5, {"group_id": "workers", "session_timeout_ms": 9, "rebalance_timeout_ms": 9, "member_id": "", "protocol_type": "consumer", "protocols": []},
     {"error_code": 79, "members": []}, "MEMBER_ID_REQUIRED"),
    ("SyncGroup", 5, {"group_id": "workers", "generation_id": 1, "member_id": "m", "assignments": []}, {"error_code": 999, "assignment": b""}, "999"),
    ("OffsetFetch", 5, {"group_id": "workers", "topics": []}, {"topics": []}, None),
]  # fmt: skip


@pytest.mark.parametrize(("name", "version", "asked", "answered", "error"), OTHERS)
def test_other_requests_go_by_their_name_and_group(name, version, asked, answered, error):
    span = play_pair(
        kafka.request(name, version, **asked), kafka.response(name, version, **answered)
    )
    said = said_of(span)
    assert (span.name, said.get("error.type")) == (name, error)
    assert said["messaging.consumer.group.name"] == "workers"
    assert said["messaging.operation.name"] == name
    assert "messaging.operation.type" not in said


@pytest.mark.parametrize("version", range(2, 11))
def test_commits(version):
    kind = kafka.MESSAGES["OffsetCommitRequest"].OffsetCommitRequestTopic
    answer = kafka.MESSAGES["OffsetCommitResponse"].OffsetCommitResponseTopic
    asked = kind(
        version=version, **kafka.named(version, "orders", 10),
        partitions=[kind.OffsetCommitRequestPartition(version=version, partition_index=3, committed_offset=5)],
    )  # fmt: skip
    answered = answer(
        version=version, **kafka.named(version, "orders", 10),
        partitions=[answer.OffsetCommitResponsePartition(version=version, partition_index=3, error_code=22)],
    )  # fmt: skip
    socket = client()
    socket.asks(kafka.request("Metadata", 12, 1, topics=[])).answers(kafka.metadata_(12))
    socket.asks(kafka.request("OffsetCommit", version, 2, group_id="workers", member_id="m", topics=[asked]))  # fmt: skip
    socket.answers(kafka.response("OffsetCommit", version, 2, topics=[answered]))
    span = play(socket.host).spans[1]
    said = said_of(span)
    assert (span.name, said["error.type"]) == ("commit orders", "ILLEGAL_GENERATION")
    assert said["messaging.operation.type"] == "settle"
    assert said["messaging.destination.partition.id"] == "3"


def test_of_several_topics_none_is_told():
    batch = kafka.records(b"a")
    span = play_pair(kafka.produce_(topics={"orders": [batch, batch], "carts": [batch]}), kafka.produced())  # fmt: skip
    assert told(span) == ("producer", "send", 3)
    assert "messaging.destination.partition.id" not in facts(span)


def test_a_topic_with_a_number_is_a_template():
    span = play_pair(kafka.produce_(topics={"user-7f3a9c": [kafka.records(b"a")]}), kafka.produced())  # fmt: skip
    assert span.name == "send user-{id}"
    assert facts(span)["messaging.destination.template"] == "user-{id}"


def test_the_brokers_own_side():
    socket = Host().accept(port=9092, budgets=(16384, 16384))
    socket.received(kafka.produce_()).sent(kafka.produced())
    (span,) = play(socket.host).spans
    assert told(span) == ("server", "send orders", 1)
    assert "messaging.operation.type" not in facts(span)
    run = Run(reports_database_servers=False).take(socket.host.records).finish()
    assert run.spans == []


@pytest.mark.parametrize("order", list(permutations((1, 2, 3))))
def test_responses_in_any_order(order):
    socket = client()
    socket.asks(b"".join(kafka.produce_(number=n, topics={f"t{'x' * n}": [kafka.records(b"a")]}) for n in (1, 2, 3)))  # fmt: skip
    for number in order:
        socket.answers(kafka.produced(number=number, error=number))
    run = play(socket.close().host)
    assert [span.name for span in run.spans] == [f"send t{'x' * number}" for number in order]
    assert run.counts == {"captured": 3, "spans": 3}


def test_a_request_without_acknowledgement_ends_with_itself():
    socket = client().asks(kafka.produce_(acks=0, number=1)).asks(kafka.produce_(acks=0, number=2))
    socket.asks(kafka.fetch_(number=3)).answers(kafka.fetched(number=3))
    run = play(socket.close().host)
    assert [told(span) for span in run.spans] == [
        ("producer", "send orders", 1),
        ("producer", "send orders", 1),
        ("client", "poll orders", 1),
    ]


def test_handshake_and_authentication_are_part_of_no_exchange():
    socket = client()
    socket.asks(kafka.request("ApiVersions", 3, 1, client_software_name="x", client_software_version="1"))  # fmt: skip
    socket.answers(kafka.response("ApiVersions", 3, 1, error_code=0, api_keys=[]))
    socket.asks(kafka.request("SaslAuthenticate", 2, 2, auth_bytes=b"hunter2zebra"))
    socket.answers(kafka.response("SaslAuthenticate", 2, 2, error_code=0, auth_bytes=b"hunter2zebra"))  # fmt: skip
    socket.asks(kafka.fetch_(number=3)).answers(kafka.fetched(number=3))
    run = play(socket.close().host)
    assert [span.name for span in run.spans] == ["poll orders"]
    assert run.counts == {"captured": 1, "spans": 1}


def test_bare_tokens_mute():
    handshake = b"\0\0\0\x16\0\x11\0\0\0\0\0\x01\0\x06shop-1\0\x05PLAIN"
    socket = client().asks(handshake[:3] + bytes([len(handshake) - 4]) + handshake[4:])
    run = play(socket.host)
    assert run.ledger.connections["muted_authentication"] == 1


def test_joined_in_the_middle():
    socket = Host().join(port=9092)
    socket.received(kafka.produce_(number=8)).sent(kafka.produced(number=7))
    socket.sent(kafka.produced(number=8))
    run = play(socket.close().host)
    assert [told(span) for span in run.spans] == [("server", "send orders", 1)]
    assert run.counts == {"captured": 2, "spans": 1, "unparsed": {"request_not_seen": 1}}


def test_an_id_that_is_pending_is_refused():
    socket = client().asks(kafka.produce_() + kafka.produce_())
    assert play(socket.close().host).counts == {"captured": 2, "unparsed": {"garbage": 2}}


def test_large_batches_are_walked_over():
    socket = client()
    batch = kafka.records(*[b"x" * 1000] * 60, headers=(kafka.CONTEXT,))
    for number in (1, 2):
        socket.asks(kafka.produce_(number=number, topics={"orders": [batch]}))
        socket.answers(kafka.produced(number=number))
        socket.asks(kafka.fetch_(number=number + 10))
        socket.answers(kafka.fetched(number=number + 10, topics={"orders": batch}))
    run = play(socket.close().host)
    assert [told(span) for span in run.spans] == [
        ("producer", "send orders", 60),
        ("client", "poll orders", 60),
    ] * 2
    assert all(span.links == (Link(*kafka.LINK),) for span in run.spans)


def test_bounds():
    protocol = Kafka()
    reading = Reading(protocol, "request")
    for number in range(3 * MAX_ASIDE):
        reading.feed(whole(kafka.request("ApiVersions", 0, number))[0])
    assert len(protocol._aside) == MAX_ASIDE
    for number in range(MAX_TOPICS + 50):
        protocol.shared[number.to_bytes(16, "big")] = b"a"
    reading = Reading(protocol, "response", [request_of()])
    reading.feed(whole(kafka.metadata_(12))[0])
    assert len(protocol.shared) == MAX_TOPICS
    assert protocol.shared[kafka.TOPIC_ID] == b"orders"


def request_of():
    reading = Reading(Kafka(), "request")
    reading.feed(whole(kafka.request("Metadata", 12, 1, topics=[]))[0])
    return reading.messages[0]


def test_pipelined_batches_beyond_what_is_captured_are_counted_and_the_next_ones_are_read():
    """So a producer works: several requests of 100 KB in a turn, of which the first 16 KB are captured."""
    socket = client()
    batch = kafka.records(*[b"x" * 1000] * 60)
    socket.asks(kafka.request("Metadata", 5, 100, topics=[])).answers(kafka.metadata_(5, 100))
    for first in (1, 6, 11):
        numbers = range(first, first + 5)
        for number in numbers:
            socket.asks(kafka.produce_(number=number, topics={"orders": [batch]}))
        for number in numbers:
            socket.answers(kafka.produced(number=number))
    run = play(socket.close().host)
    assert [told(span) for span in run.spans[1:]] == [("producer", "send orders", 60)] * 3
    assert run.counts == {"captured": 16, "spans": 4, "unparsed": {"request_not_seen": 12}}
    assert run.outside.muted == []


def test_responses_beyond_what_is_captured_are_given_up_and_the_next_ones_are_read():
    host = Host()
    socket = host.connect(server=("10.0.0.1", 9092), budgets=(2048, 16384))
    batch = kafka.records(*[b"x" * 1000] * 6)
    for first in (1, 6, 11):
        numbers = range(first, first + 3)
        socket.asks(b"".join(kafka.fetch_(number=number) for number in numbers))
        for number in numbers:
            socket.answers(kafka.fetched(number=number, topics={"orders": batch}))
    run = play(socket.close().host)
    assert [told(span) for span in run.spans] == [("client", "poll orders", 6)] * 3
    assert run.counts == {"captured": 9, "spans": 3, "unparsed": {"gap": 6}}


def test_an_answer_that_nobody_wanted_comes_before_its_request_is_whole():
    data = kafka.produce_(acks=0, number=1, topics={"orders": [kafka.records(b"x" * 3000)]})
    socket = client().asks(data[:2000]).answers(kafka.produced(number=1)).asks(data[2000:])
    socket.asks(kafka.fetch_(number=3)).answers(kafka.fetched(number=3))
    run = play(socket.close().host)
    assert [span.name for span in run.spans] == ["send orders", "poll orders"]
