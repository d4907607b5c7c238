"""Kafka's messages as they are on the wire, for tests: made by kafka-python's schemas, which are Kafka's own."""

from __future__ import annotations

import uuid
import warnings
from typing import Any

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # how it reads its own files
    from kafka.protocol import api_message
    from kafka.protocol.consumer import fetch, group, offsets
    from kafka.protocol.metadata import api_versions, find_coordinator, metadata
    from kafka.protocol.producer import produce
    from kafka.protocol.sasl import SaslAuthenticateRequest, SaslAuthenticateResponse
    from kafka.record.memory_records import MemoryRecordsBuilder

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
CONTEXT = ("traceparent", f"00-{TRACE}-{SPAN}-01".encode())
LINK = (bytes.fromhex(TRACE), bytes.fromhex(SPAN))
TOPIC_ID = bytes(range(16))

MESSAGES: dict[str, Any] = {
    name: kind
    for module in (fetch, group, offsets, api_versions, find_coordinator, metadata, produce)
    for name, kind in vars(module).items()
    if isinstance(kind, type) and issubclass(kind, api_message.ApiMessage)
} | {"SaslAuthenticateRequest": SaslAuthenticateRequest, "SaslAuthenticateResponse": SaslAuthenticateResponse}  # fmt: skip


def request(name: str, version: int, number: int = 1, client: str | None = "shop-1", **fields: Any) -> bytes:  # fmt: skip
    made = MESSAGES[f"{name}Request"](version=version, **fields)
    made.with_header(correlation_id=number, client_id=client)
    return bytes(made.encode(header=True, framed=True))


def response(name: str, version: int, number: int = 1, **fields: Any) -> bytes:
    made = MESSAGES[f"{name}Response"](version=version, **fields)
    made.with_header(correlation_id=number)
    return bytes(made.encode(header=True, framed=True))


def records(*values: bytes, headers: tuple[tuple[str, bytes], ...] = (), compression: int = 0) -> bytes:  # fmt: skip
    """One batch."""
    builder: Any = MemoryRecordsBuilder(magic=2, compression_type=compression, batch_size=1 << 20)
    for value in values:
        builder.append(timestamp=1, key=b"hunter2zebra", value=value, headers=list(headers))
    builder.close()
    return bytes(builder.buffer())


def named(version: int, topic: str, first_with_id: int, key: str = "name") -> dict[str, Any]:
    """How a topic is told in a version."""
    return {"topic_id": uuid.UUID(bytes=TOPIC_ID)} if version >= first_with_id else {key: topic}


def produce_(version: int = 7, *, topics: dict[str, list[bytes]] | None = None, acks: int = -1, **more) -> bytes:  # fmt: skip
    """`topics`: the batches of each, one for each partition."""
    kind = MESSAGES["ProduceRequest"].TopicProduceData
    data = [
        kind(
            version=version, **named(version, topic, 13),
            partition_data=[
                kind.PartitionProduceData(version=version, index=number + 3, records=batch)
                for number, batch in enumerate(batches)
            ],
        )
        for topic, batches in (topics or {"orders": [records(b"hunter2zebra")]}).items()
    ]  # fmt: skip
    return request("Produce", version, acks=acks, timeout_ms=1000, topic_data=data, transactional_id=None, **more)  # fmt: skip


def produced(version: int = 7, *, error: int = 0, topic: str = "orders", **more) -> bytes:
    kind = MESSAGES["ProduceResponse"].TopicProduceResponse
    partition = kind.PartitionProduceResponse(
        version=version, index=3, error_code=error, base_offset=7, record_errors=[], error_message="hunter2zebra"
    )  # fmt: skip
    each = kind(version=version, **named(version, topic, 13), partition_responses=[partition])
    return response("Produce", version, responses=[each], **more)


def fetch_(version: int = 11, *, topics: tuple[str, ...] = ("orders",), **more) -> bytes:
    kind = MESSAGES["FetchRequest"].FetchTopic
    data = [
        kind(
            version=version, **named(version, topic, 13, "topic"),
            partitions=[kind.FetchPartition(version=version, partition=3, fetch_offset=9, partition_max_bytes=1000)],
        )
        for topic in topics
    ]  # fmt: skip
    return request("Fetch", version, max_wait_ms=500, min_bytes=1, topics=data, forgotten_topics_data=[], **more)  # fmt: skip


def fetched(version: int = 11, *, topics: dict[str, bytes] | None = None, error: int = 0, top_error: int = 0, **more) -> bytes:  # fmt: skip
    kind = MESSAGES["FetchResponse"].FetchableTopicResponse
    data = [
        kind(
            version=version, **named(version, topic, 13, "topic"),
            partitions=[kind.PartitionData(version=version, partition_index=3, error_code=error, high_watermark=10,
                                           aborted_transactions=None, records=batch)],
        )
        for topic, batch in ({"orders": records(b"hunter2zebra")} if topics is None else topics).items()
    ]  # fmt: skip
    return response("Fetch", version, error_code=top_error, session_id=0, responses=data, **more)


def metadata_(version: int, number: int = 1, topic: str = "orders", host: str = "127.0.0.1", port: int = 9092) -> bytes:  # fmt: skip
    kind = MESSAGES["MetadataResponse"]
    broker = kind.MetadataResponseBroker(
        version=version, node_id=1, host=host, port=port, rack=None
    )
    place = kind.MetadataResponseTopic.MetadataResponsePartition(
        version=version, error_code=0, partition_index=0, leader_id=1, replica_nodes=[1], isr_nodes=[1], offline_replicas=[]
    )  # fmt: skip
    each = kind.MetadataResponseTopic(
        version=version, error_code=0, name=topic, topic_id=uuid.UUID(bytes=TOPIC_ID), is_internal=False, partitions=[place]
    )  # fmt: skip
    return response("Metadata", version, number, brokers=[broker], cluster_id="c", controller_id=1, topics=[each])  # fmt: skip
