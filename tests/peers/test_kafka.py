"""kafka-python and a scripted broker: the spans are what was produced, polled and committed."""

from __future__ import annotations

import warnings
from collections import Counter
from typing import Any

import pytest

from agent.spans.span import Link
from tests.peers.kafka_peer import NAMES, Broker
from tests.peers.peer import Peer, replay
from tests.protocols.kafka_bytes import CONTEXT, LINK
from tests.scenario import Run, facts

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # how it reads its own files
    from kafka import KafkaConsumer, KafkaProducer, TopicPartition
    from kafka.errors import MessageSizeTooLargeError

SECRET = b"hunter2zebra"


def produce(port: int, **options: Any) -> None:
    producer: Any = KafkaProducer(
        bootstrap_servers=f"127.0.0.1:{port}", client_id="shop", enable_idempotence=False, linger_ms=20, retries=0, **options
    )  # fmt: skip
    sent = [producer.send("orders", value=SECRET, key=SECRET, headers=[CONTEXT]) for _ in range(3)]
    producer.flush(10)
    assert [each.get(10).topic for each in sent] == ["orders"] * 3
    if options.get("acks") != 0:
        with pytest.raises(MessageSizeTooLargeError):
            producer.send("orders", value=SECRET).get(10)
    producer.close(10)


def consume(port: int, group: str | None) -> None:
    consumer: Any = KafkaConsumer(
        bootstrap_servers=f"127.0.0.1:{port}", client_id="worker", group_id=group, auto_offset_reset="earliest",
        enable_auto_commit=False, fetch_max_wait_ms=50,
    )  # fmt: skip
    if group is None:
        consumer.assign([TopicPartition("orders", 0)])
    else:
        consumer.subscribe(["orders"])
    found: list[Any] = []
    while len(found) < 3:
        for records in consumer.poll(200).values():
            found += records
    assert [each.value for each in found[:3]] == [SECRET] * 3
    if group is not None:
        consumer.commit()
    consumer.close()


def told(run: Run) -> Counter[tuple[object, ...]]:
    said: Counter[tuple[object, ...]] = Counter()
    for span in run.spans:
        known = facts(span)
        assert known["messaging.system"] == "kafka"
        if span.name.split()[0] in ("send", "poll", "commit") and known.get("messaging.batch.message_count") != 0:  # fmt: skip
            outcome = known.get("error.type", known.get("messaging.batch.message_count"))
            said[
                span.kind.name,
                span.name,
                outcome,
                known.get("messaging.client.id"),
                len(span.links),
            ] += 1
            assert all(link == Link(*LINK) for link in span.links)  # fmt: skip
    return said


def checked(peer: Peer, broker: Broker, kind: str | None = None) -> Counter[tuple[object, ...]]:
    """Alike however it is cut; all requests but the handshakes are spans."""
    first = told(replay(peer))
    for is_server in (False, True):
        for cut in (0, 1, 60):
            run = replay(peer, is_server=is_server, cut=cut)
            if not is_server:
                assert told(run) == first
            assert len(run.spans) == len([name for name in broker.served if name != "ApiVersions"])
            assert set(run.counts) == {"captured", "spans"}
            assert SECRET.decode() not in repr(run.spans)
    return first


@pytest.mark.parametrize("produce_version", [3, 7, 8, 9])
@pytest.mark.filterwarnings("ignore")
def test_what_is_produced(produce_version):
    broker = Broker({"Produce": produce_version})
    broker.errors = [0, 10]
    with Peer(broker) as peer:
        broker.port = peer.port
        produce(peer.port, acks="all")
    assert checked(peer, broker) == {
        ("PRODUCER", "send orders", 3, "shop", 1): 1,
        ("PRODUCER", "send orders", "MESSAGE_TOO_LARGE", "shop", 0): 1,
    }


@pytest.mark.filterwarnings("ignore")
def test_what_nobody_acknowledges():
    broker = Broker()
    with Peer(broker) as peer:
        broker.port = peer.port
        produce(peer.port, acks=0)
    first = checked(peer, broker)
    assert set(first) == {("PRODUCER", "send orders", 3, "shop", 1)}


@pytest.mark.parametrize("fetch_version", [4, 7, 11, 12])
@pytest.mark.parametrize("group", [None, "workers"])
@pytest.mark.filterwarnings("ignore")
def test_what_is_consumed(fetch_version, group):
    broker = Broker({"Fetch": fetch_version})
    with Peer(broker) as peer:
        broker.port = peer.port
        produce(peer.port, acks=0)
        consume(peer.port, group)
    first = checked(peer, broker)
    assert first.pop(("PRODUCER", "send orders", 3, "shop", 1)) == 1
    commits = first.pop(("CLIENT", "commit orders", None, "worker", 0), 0)
    assert commits == broker.served.count("OffsetCommit")
    assert (commits > 0) is (group is not None)
    assert set(first) == {("CLIENT", "poll orders", 3, "worker", 1)}
    run = replay(peer)
    names = {span.name.split()[0] for span in run.spans}
    assert names <= {*NAMES.values(), "send", "poll", "commit"}
    for span in run.spans:
        if span.name in ("JoinGroup", "Heartbeat", "LeaveGroup", "commit orders"):
            assert facts(span)["messaging.consumer.group.name"] == "workers"
