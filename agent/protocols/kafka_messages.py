"""Kafka's requests and responses: how they are framed, and what is read of one.

https://kafka.apache.org/protocol.html

    request    size (4 bytes), API's key, its version (2 bytes each), correlation id (4 bytes), client's id, body
    response   size, correlation id, body

Kept are topics, partitions, groups, the client's id, how many records there are, trace contexts in their headers, and
the first error. Keys, values and other headers of records, and all of an authentication are walked over.

No protocol by itself: `kafka.py` has the conversation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from agent.errors import Gap, ProtocolError
from agent.protocols.captured import read_beginning
from agent.protocols.kafka_records import MAX_LINKS, Fields, Link, records_of

if TYPE_CHECKING:
    from collections.abc import MutableMapping

    from agent.stream import Read, Stream

PRODUCE, FETCH, METADATA, OFFSET_COMMIT, OFFSET_FETCH = 0, 1, 3, 8, 9
FIND_COORDINATOR, JOIN_GROUP, HEARTBEAT, LEAVE_GROUP, SYNC_GROUP = 10, 11, 12, 13, 14
SASL_HANDSHAKE, API_VERSIONS, SASL_AUTHENTICATE, TXN_OFFSET_COMMIT = 17, 18, 36, 28
NEVER: Final = 99

APIS: Final = {
    PRODUCE: ("Produce", 9), FETCH: ("Fetch", 12), 2: ("ListOffsets", 6), METADATA: ("Metadata", 9),
    4: ("LeaderAndIsr", 4), 5: ("StopReplica", 2), 6: ("UpdateMetadata", 6), 7: ("ControlledShutdown", 3),
    OFFSET_COMMIT: ("OffsetCommit", 8), OFFSET_FETCH: ("OffsetFetch", 6), FIND_COORDINATOR: ("FindCoordinator", 3),
    JOIN_GROUP: ("JoinGroup", 6), HEARTBEAT: ("Heartbeat", 4), LEAVE_GROUP: ("LeaveGroup", 4),
    SYNC_GROUP: ("SyncGroup", 4), 15: ("DescribeGroups", 5), 16: ("ListGroups", 3),
    SASL_HANDSHAKE: ("SaslHandshake", NEVER), API_VERSIONS: ("ApiVersions", 3), 19: ("CreateTopics", 5),
    20: ("DeleteTopics", 4), 21: ("DeleteRecords", 2), 22: ("InitProducerId", 2), 23: ("OffsetForLeaderEpoch", 4),
    24: ("AddPartitionsToTxn", 3), 25: ("AddOffsetsToTxn", 3), 26: ("EndTxn", 3), 27: ("WriteTxnMarkers", 1),
    TXN_OFFSET_COMMIT: ("TxnOffsetCommit", 3), 29: ("DescribeAcls", 2), 30: ("CreateAcls", 2), 31: ("DeleteAcls", 2),
    32: ("DescribeConfigs", 4), 33: ("AlterConfigs", 2), 34: ("AlterReplicaLogDirs", 2), 35: ("DescribeLogDirs", 2),
    SASL_AUTHENTICATE: ("SaslAuthenticate", 2), 37: ("CreatePartitions", 2), 38: ("CreateDelegationToken", 2),
    39: ("RenewDelegationToken", 2), 40: ("ExpireDelegationToken", 2), 41: ("DescribeDelegationToken", 2),
    42: ("DeleteGroups", 2), 43: ("ElectLeaders", 2), 44: ("IncrementalAlterConfigs", 1),
    45: ("AlterPartitionReassignments", 0), 46: ("ListPartitionReassignments", 0), 47: ("OffsetDelete", NEVER),
    48: ("DescribeClientQuotas", 1), 49: ("AlterClientQuotas", 1), 50: ("DescribeUserScramCredentials", 0),
    51: ("AlterUserScramCredentials", 0), 55: ("DescribeQuorum", 0), 57: ("UpdateFeatures", 0),
    60: ("DescribeCluster", 0), 61: ("DescribeProducers", 0), 65: ("DescribeTransactions", 0),
    66: ("ListTransactions", 0), 68: ("ConsumerGroupHeartbeat", 0), 69: ("ConsumerGroupDescribe", 0),
    71: ("GetTelemetrySubscriptions", 0), 72: ("PushTelemetry", 0), 74: ("ListConfigResources", 0),
    75: ("DescribeTopicPartitions", 0),
}  # fmt: skip
"""By key: name, and from which version on it is flexible."""
MAX_VERSION: Final = 30
"""18 is the highest so far."""
MAX_MESSAGE: Final = 1 << 30
"""socket.request.max.bytes is 100 MB; a response may be longer."""
MAX_BODY: Final = 16 * 1024
"""Bytes of a message that are looked at."""
MAX_CLIENT: Final = 1024
MAX_TOPICS: Final = 2
"""That are kept: of several none is told."""

ERRORS: Final = {
    -1: "UNKNOWN_SERVER_ERROR", 1: "OFFSET_OUT_OF_RANGE", 2: "CORRUPT_MESSAGE", 3: "UNKNOWN_TOPIC_OR_PARTITION",
    5: "LEADER_NOT_AVAILABLE", 6: "NOT_LEADER_OR_FOLLOWER", 7: "REQUEST_TIMED_OUT", 8: "BROKER_NOT_AVAILABLE",
    9: "REPLICA_NOT_AVAILABLE", 10: "MESSAGE_TOO_LARGE", 12: "OFFSET_METADATA_TOO_LARGE", 13: "NETWORK_EXCEPTION",
    14: "COORDINATOR_LOAD_IN_PROGRESS", 15: "COORDINATOR_NOT_AVAILABLE", 16: "NOT_COORDINATOR",
    17: "INVALID_TOPIC_EXCEPTION", 18: "RECORD_LIST_TOO_LARGE", 19: "NOT_ENOUGH_REPLICAS",
    20: "NOT_ENOUGH_REPLICAS_AFTER_APPEND", 21: "INVALID_REQUIRED_ACKS", 22: "ILLEGAL_GENERATION",
    23: "INCONSISTENT_GROUP_PROTOCOL", 24: "INVALID_GROUP_ID", 25: "UNKNOWN_MEMBER_ID", 26: "INVALID_SESSION_TIMEOUT",
    27: "REBALANCE_IN_PROGRESS", 28: "INVALID_COMMIT_OFFSET_SIZE", 29: "TOPIC_AUTHORIZATION_FAILED",
    30: "GROUP_AUTHORIZATION_FAILED", 31: "CLUSTER_AUTHORIZATION_FAILED", 32: "INVALID_TIMESTAMP",
    35: "UNSUPPORTED_VERSION", 36: "TOPIC_ALREADY_EXISTS", 37: "INVALID_PARTITIONS",
    38: "INVALID_REPLICATION_FACTOR", 40: "INVALID_CONFIG", 41: "NOT_CONTROLLER", 42: "INVALID_REQUEST",
    44: "POLICY_VIOLATION", 45: "OUT_OF_ORDER_SEQUENCE_NUMBER", 46: "DUPLICATE_SEQUENCE_NUMBER",
    47: "INVALID_PRODUCER_EPOCH", 48: "INVALID_TXN_STATE", 51: "CONCURRENT_TRANSACTIONS",
    53: "TRANSACTIONAL_ID_AUTHORIZATION_FAILED", 56: "KAFKA_STORAGE_ERROR", 59: "UNKNOWN_PRODUCER_ID",
    70: "FETCH_SESSION_ID_NOT_FOUND", 71: "INVALID_FETCH_SESSION_EPOCH", 74: "FENCED_LEADER_EPOCH",
    75: "UNKNOWN_LEADER_EPOCH", 76: "UNSUPPORTED_COMPRESSION_TYPE", 79: "MEMBER_ID_REQUIRED",
    82: "FENCED_INSTANCE_ID", 87: "INVALID_RECORD", 89: "THROTTLING_QUOTA_EXCEEDED", 90: "PRODUCER_FENCED",
    100: "UNKNOWN_TOPIC_ID",
}  # fmt: skip
"""https://kafka.apache.org/protocol.html#protocol_error_codes: those that are met; of others the number is told."""
_TOP_ERROR: Final = {
    FIND_COORDINATOR: 1, JOIN_GROUP: 2, HEARTBEAT: 1, LEAVE_GROUP: 1, SYNC_GROUP: 1, 22: 0, 25: 0, 26: 0,
}  # fmt: skip
"""APIs whose response begins with an error, from this version on behind how long the client is throttled."""
_GROUPS: Final = frozenset((OFFSET_COMMIT, JOIN_GROUP, HEARTBEAT, LEAVE_GROUP, SYNC_GROUP))
"""APIs whose request begins with a group; OffsetFetch does up to version 7."""


@dataclass(slots=True)
class Batches:
    """What is known of the records in a request or response."""

    topics: tuple[bytes, ...] = ()
    """At most MAX_TOPICS. Of a response: those of which records came."""
    partitions: int = 0
    partition: int = -1
    """The one, or the last one."""
    records: int | None = 0
    """None: not known."""
    links: tuple[Link, ...] = ()

    def add_topic(self, name: bytes) -> None:
        """A topic takes part."""
        if name and name not in self.topics and len(self.topics) < MAX_TOPICS:
            self.topics += (name,)

    def add_records(self, size: int, data: bytes) -> None:
        """So many bytes of batches, which begin with `data`."""
        count, links = records_of(size, data)
        if count is None or self.records is None:
            self.records = None
        else:
            self.records += count
        self.links = (*self.links, *links)[:MAX_LINKS]


@dataclass(slots=True)
class Request:
    """A request."""

    id: int
    api: int
    version: int
    client: bytes
    """The name that the client gave itself; cut."""
    batches: Batches
    group: bytes = b""
    is_answered: bool = True
    """Not so where a producer wants no acknowledgement."""
    size: int = 0
    is_truncated: bool = False
    carrier: None = None

    @property
    def is_flexible(self) -> bool:
        """Whether this version of the API is."""
        return self.version >= APIS[self.api][1]


@dataclass(slots=True)
class Response:
    """A response."""

    id: int
    batches: Batches
    error: int = 0
    """The first one; 0 for none."""
    size: int = 0
    is_truncated: bool = False


def read_message(stream: Stream, least: int) -> Read[tuple[int, bytes]]:
    """The size of a message without its own four bytes, and the captured beginning of that; which is consumed."""
    size = int.from_bytes((yield from stream.read(4)), "big")
    if not least <= size <= MAX_MESSAGE:
        raise ProtocolError(f"a message of {size} bytes")
    return size, (yield from read_beginning(stream, size, MAX_BODY))


def header_of(data: bytes) -> tuple[int, int, int]:
    """Key, version and correlation id."""
    if len(data) < 10:
        raise Gap("a request's beginning was not captured")
    api, version = int.from_bytes(data[:2], "big"), int.from_bytes(data[2:4], "big")
    if api not in APIS or version > MAX_VERSION:
        raise ProtocolError(f"no API {api} of version {version}")
    return api, version, int.from_bytes(data[4:8], "big", signed=True)


def request_of(data: bytes, names: MutableMapping[bytes, bytes]) -> Request:
    """The request that begins with `data`; `names` has topics by their ids."""
    api, version, number = header_of(data)
    fields = Fields(data[8:], is_flexible=False)
    request = Request(number, api, version, b"", Batches())
    try:
        client = fields.string()
        if len(client) > MAX_CLIENT:
            raise ProtocolError("a client with a long name")
        request.client = client[:256]
        fields.is_flexible = request.is_flexible
        fields.tags()
        _read_request(fields, request, names)
    except Gap:
        request.is_truncated = True
        if api == PRODUCE:
            request.batches.records = None
    return request


def _read_request(fields: Fields, request: Request, names: MutableMapping[bytes, bytes]) -> None:
    api, version = request.api, request.version
    if api == PRODUCE:
        _read_produce(fields, request, names)
    elif api == FETCH:
        _read_fetch(fields, request, names)
    elif api in _GROUPS or (api == OFFSET_FETCH and version < 8):
        request.group = fields.string()
        if api == OFFSET_COMMIT:
            _read_commit(fields, request, names)
    elif api == TXN_OFFSET_COMMIT:
        fields.string()
        request.group = fields.string()


def _topic(fields: Fields, names: MutableMapping[bytes, bytes], *, has_id: bool) -> bytes:
    """A topic's name; empty where its id is not known."""
    if not has_id:
        return fields.string()
    fields.skip(16)
    if fields.at > len(fields.data):
        raise Gap("a topic was not captured")
    return names.get(fields.data[fields.at - 16 : fields.at], b"")


def _read_produce(fields: Fields, request: Request, names: MutableMapping[bytes, bytes]) -> None:
    batches = request.batches
    if request.version >= 3:
        fields.string()  # the transaction
    request.is_answered = fields.integer(2) != 0
    fields.skip(4)
    for _ in range(fields.array()):
        batches.add_topic(_topic(fields, names, has_id=request.version >= 13))
        for _ in range(fields.array()):
            batches.partition = fields.integer(4)
            batches.partitions += 1
            batches.add_records(*fields.bytes_())
            fields.tags()
        fields.tags()


def _read_fetch(fields: Fields, request: Request, names: MutableMapping[bytes, bytes]) -> None:
    version, batches = request.version, request.batches
    fields.skip((version < 15) * 4 + 8 + (version >= 3) * 4 + (version >= 4) + (version >= 7) * 8)
    for _ in range(fields.array()):
        batches.add_topic(_topic(fields, names, has_id=version >= 13))
        for _ in range(fields.array()):
            batches.partition = fields.integer(4)
            batches.partitions += 1
            fields.skip((version >= 9) * 4 + 8 + (version >= 12) * 4 + (version >= 5) * 8 + 4)
            fields.tags()
        fields.tags()


def _read_commit(fields: Fields, request: Request, names: MutableMapping[bytes, bytes]) -> None:
    version = request.version
    if version >= 1:
        fields.skip(4)
        fields.string()
    if version >= 7:
        fields.string()
    fields.skip(8 * (2 <= version <= 4))
    for _ in range(fields.array()):
        request.batches.add_topic(_topic(fields, names, has_id=version >= 10))
        for _ in range(fields.array()):
            request.batches.partition = fields.integer(4)
            request.batches.partitions += 1
            fields.skip(8 + (version >= 6) * 4 + (version == 1) * 8)
            fields.string()
            fields.tags()
        fields.tags()


def response_of(data: bytes, request: Request, names: MutableMapping[bytes, bytes]) -> Response:
    """The response to `request` that begins with `data`, from its correlation id on; topics' ids go into `names`."""
    response = Response(request.id, Batches())
    fields = Fields(data[4:], is_flexible=request.is_flexible)
    reader = _READERS.get(request.api)
    try:
        if reader is not None:
            fields.tags()
            reader(fields, request.version, response, names)
        elif request.api in _TOP_ERROR:
            fields.tags()
            fields.skip(4 * (request.version >= _TOP_ERROR[request.api]))
            if request.api != FIND_COORDINATOR or request.version < 4:
                response.error = fields.integer(2)
    except Gap:
        response.is_truncated = True
        if request.api == FETCH:
            response.batches.records = None
    return response


def _read_produced(
    fields: Fields, version: int, response: Response, names: MutableMapping[bytes, bytes]
) -> None:
    for _ in range(fields.array()):
        _topic(fields, names, has_id=version >= 13)
        for _ in range(fields.array()):
            fields.skip(4)
            response.error = response.error or fields.integer(2)
            fields.skip(8 + (version >= 2) * 8 + (version >= 5) * 8)
            if version >= 8:
                for _ in range(fields.array()):
                    fields.skip(4)
                    fields.string()
                    fields.tags()
                fields.string()
            fields.tags()
        fields.tags()


def _read_fetched(
    fields: Fields, version: int, response: Response, names: MutableMapping[bytes, bytes]
) -> None:
    batches = response.batches
    fields.skip(4 * (version >= 1))
    if version >= 7:
        response.error = fields.integer(2)
        fields.skip(4)
    for _ in range(fields.array()):
        topic = _topic(fields, names, has_id=version >= 13)
        for _ in range(fields.array()):
            partition, error = fields.integer(4), fields.integer(2)
            response.error = response.error or error
            fields.skip(8 + (version >= 4) * 8 + (version >= 5) * 8)
            if version >= 4:
                for _ in range(fields.array()):
                    fields.skip(16)
                    fields.tags()
            fields.skip(4 * (version >= 11))
            size, data = fields.bytes_()
            if size:
                batches.add_topic(topic)
                batches.partition = partition
                batches.partitions += 1
                batches.add_records(size, data)
            fields.tags()
        fields.tags()


def _read_committed(
    fields: Fields, version: int, response: Response, names: MutableMapping[bytes, bytes]
) -> None:
    fields.skip(4 * (version >= 3))
    for _ in range(fields.array()):
        _topic(fields, names, has_id=version >= 10)
        for _ in range(fields.array()):
            fields.skip(4)
            response.error = response.error or fields.integer(2)
            fields.tags()
        fields.tags()


def _read_metadata(
    fields: Fields, version: int, response: Response, names: MutableMapping[bytes, bytes]
) -> None:
    """Topics' names by their ids, which later requests go by. A topic's own error is no error of the request."""
    del response
    if version < 10:
        return
    fields.skip(4)
    for _ in range(fields.array()):
        fields.skip(4)
        fields.string()
        fields.skip(4)
        fields.string()
        fields.tags()
    fields.string()
    fields.skip(4)
    for _ in range(fields.array()):
        fields.skip(2)
        name = fields.string()
        fields.skip(16)
        number = fields.data[fields.at - 16 : fields.at]
        fields.skip(1)
        if name and len(number) == 16:
            names[number] = name[:256]
        for _ in range(fields.array()):
            fields.skip(14)
            for _ in range(3):
                fields.skip(4 * fields.array())
            fields.tags()
        fields.skip(4)
        fields.tags()


_READERS: Final = {
    PRODUCE: _read_produced,
    FETCH: _read_fetched,
    OFFSET_COMMIT: _read_committed,
    TXN_OFFSET_COMMIT: _read_committed,
    METADATA: _read_metadata,
}
