"""A Kafka broker by script: one topic, one partition, one consumer group. Messages are made by `kafka_bytes`."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from tests.peers.peer import Line
from tests.protocols import kafka_bytes as kafka

NAMES = {
    0: "Produce", 1: "Fetch", 2: "ListOffsets", 3: "Metadata", 8: "OffsetCommit", 9: "OffsetFetch",
    10: "FindCoordinator", 11: "JoinGroup", 12: "Heartbeat", 13: "LeaveGroup", 14: "SyncGroup", 18: "ApiVersions",
    22: "InitProducerId",
}  # fmt: skip
NEWEST = {"Produce": 9, "Fetch": 12, "ListOffsets": 5, "Metadata": 12, "OffsetCommit": 8, "OffsetFetch": 5,
          "FindCoordinator": 2, "JoinGroup": 5, "Heartbeat": 3, "LeaveGroup": 3, "SyncGroup": 4, "ApiVersions": 3}  # fmt: skip
"""Versions that the broker has, all from 0."""


class Broker:
    """`port` must be set before somebody connects: brokers say where they are."""

    def __init__(self, versions: dict[str, int] | None = None) -> None:
        self.versions = {**NEWEST, **(versions or {})}
        self.port = 0
        self.log: list[bytes] = []
        """Batches that were produced."""
        self.errors: list[int] = []
        """What the next Produce requests are answered."""
        self._lock = threading.Lock()
        self.served: list[str] = []

    def __call__(self, line: Line) -> None:
        while True:
            data = line.read(int.from_bytes(line.read(4), "big"))
            name = NAMES[int.from_bytes(data[:2], "big")]
            version, number = int.from_bytes(data[2:4], "big"), int.from_bytes(data[4:8], "big")
            said = kafka.MESSAGES[f"{name}Request"].decode(data, version=version, header=True)
            answer: Callable[[int, Any], dict[str, Any] | bytes | None]
            answer = getattr(self, f"_{name.lower()}")
            with self._lock:
                self.served.append(name)
                fields = answer(version, said)
            if isinstance(fields, dict):
                fields = kafka.response(name, version, number, **fields)
            if fields is not None:
                line.write(fields[:4] + number.to_bytes(4, "big") + fields[8:])

    def _apiversions(self, version: int, said: Any) -> dict[str, Any]:
        kind = kafka.MESSAGES["ApiVersionsResponse"].ApiVersion
        keys = {name: key for key, name in NAMES.items()}
        each = [
            kind(version=version, api_key=keys[name], min_version=0, max_version=newest)
            for name, newest in self.versions.items()
        ]
        return {"error_code": 0, "api_keys": each, "throttle_time_ms": 0}

    def _metadata(self, version: int, said: Any) -> bytes:
        return kafka.metadata_(version, host="127.0.0.1", port=self.port)

    def _produce(self, version: int, said: Any) -> bytes | None:
        batches = [bytes(part.records) for topic in said.topic_data for part in topic.partition_data]  # fmt: skip
        error = self.errors.pop(0) if self.errors else 0
        if not error:
            self.log += batches
        if said.acks == 0:
            return None
        partition = said.topic_data[0].partition_data[0].index
        kind = kafka.MESSAGES["ProduceResponse"].TopicProduceResponse
        part = kind.PartitionProduceResponse(
            version=version, index=partition, error_code=error, base_offset=0, record_errors=[], error_message=None
        )  # fmt: skip
        each = kind(version=version, name="orders", partition_responses=[part])
        return kafka.response("Produce", version, responses=[each])

    def _fetch(self, version: int, said: Any) -> bytes:
        kind = kafka.MESSAGES["FetchResponse"].FetchableTopicResponse
        offset = said.topics[0].partitions[0].fetch_offset if said.topics else 99
        batch = self.log[0] if offset == 0 and self.log else b""
        part = kind.PartitionData(
            version=version, partition_index=0, error_code=0, high_watermark=3, last_stable_offset=3,
            log_start_offset=0, aborted_transactions=None, preferred_read_replica=-1, records=batch,
        )  # fmt: skip
        each = [kind(version=version, topic="orders", partitions=[part])] if said.topics else []
        return kafka.response("Fetch", version, error_code=0, session_id=0, responses=each)

    def _listoffsets(self, version: int, said: Any) -> dict[str, Any]:
        kind = kafka.MESSAGES["ListOffsetsResponse"].ListOffsetsTopicResponse
        part = kind.ListOffsetsPartitionResponse(
            version=version, partition_index=0, error_code=0, offset=0, timestamp=-1, leader_epoch=0, old_style_offsets=[0]
        )  # fmt: skip
        return {"topics": [kind(version=version, name="orders", partitions=[part])]}

    def _findcoordinator(self, version: int, said: Any) -> dict[str, Any]:
        return {"error_code": 0, "node_id": 1, "host": "127.0.0.1", "port": self.port}

    def _joingroup(self, version: int, said: Any) -> dict[str, Any]:
        protocol = said.protocols[0]
        kind = kafka.MESSAGES["JoinGroupResponse"].JoinGroupResponseMember
        member = kind(version=version, member_id="member-1", metadata=protocol.metadata)
        return {
            "error_code": 0, "generation_id": 1, "protocol_name": protocol.name, "leader": "member-1",
            "member_id": "member-1", "members": [member],
        }  # fmt: skip

    def _syncgroup(self, version: int, said: Any) -> dict[str, Any]:
        return {"error_code": 0, "assignment": bytes(said.assignments[0].assignment)}

    def _offsetfetch(self, version: int, said: Any) -> dict[str, Any]:
        kind = kafka.MESSAGES["OffsetFetchResponse"].OffsetFetchResponseTopic
        part = kind.OffsetFetchResponsePartition(
            version=version, partition_index=0, committed_offset=0, metadata="", error_code=0
        )
        return {
            "topics": [kind(version=version, name="orders", partitions=[part])],
            "error_code": 0,
        }

    def _offsetcommit(self, version: int, said: Any) -> dict[str, Any]:
        kind = kafka.MESSAGES["OffsetCommitResponse"].OffsetCommitResponseTopic
        part = kind.OffsetCommitResponsePartition(version=version, partition_index=0, error_code=0)
        return {"topics": [kind(version=version, name="orders", partitions=[part])]}

    def _heartbeat(self, version: int, said: Any) -> dict[str, Any]:
        return {"error_code": 0}

    def _leavegroup(self, version: int, said: Any) -> dict[str, Any]:
        return {"error_code": 0, "members": []}
