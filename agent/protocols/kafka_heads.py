"""How Kafka's messages begin: what the first bytes of one direction are.

A request says what it is. A response has a correlation id, and then what only its request tells: it is recognized where
it begins with the names of topics, as those to Produce and Fetch do.

A private sibling of the Kafka protocol, and no protocol itself: it registers nothing.
"""

from __future__ import annotations

import re
from typing import Final

from agent.errors import Gap, ProtocolError
from agent.protocols import MAX_CLASSIFY, Verdict
from agent.protocols.kafka_messages import APIS, MAX_VERSION, PRODUCE
from agent.protocols.kafka_records import Fields

MAX_FIRST: Final = 1 << 24
"""Bytes of a message by which a connection is recognized."""
MAX_NAME: Final = 249
"""Of a topic (Topic.java); the same for a client's id is enough."""
MAX_COUNT: Final = 1024
"""Topics in a response by which a connection is recognized."""
_CLIENT = re.compile(rb"[\x20-\x7e]*")
_TOPIC = re.compile(rb"[A-Za-z0-9._\-]*")


def classify(head: bytes) -> Verdict:
    """What the first bytes of one direction are."""
    if head[:1] > b"\0":
        return Verdict.NO
    is_all = len(head) >= MAX_CLASSIFY
    is_request = _is_request(head)
    if is_request:
        return Verdict.REQUEST
    size = int.from_bytes(head[:4], "big")
    if len(head) >= 4:
        is_all = is_all or len(head) >= size + 4
    if is_request is None:
        return Verdict.REQUEST if is_all and len(head) > 14 else Verdict.MORE
    shapes = [_has_topics(head, at) for at in (8, 12, 18)]
    shapes += [_has_compact_topics(head, at) for at in (9, 19)]
    if True in shapes:
        return Verdict.RESPONSE
    return Verdict.MORE if None in shapes and not is_all else Verdict.NO


def _is_request(head: bytes) -> bool | None:
    """None: it is too little to tell."""
    if len(head) < 4:
        return None
    size = int.from_bytes(head[:4], "big")
    key, version = head[4:6], head[6:8]
    if not 10 <= size <= MAX_FIRST or key[:1] > b"\0" or version > bytes((0, MAX_VERSION)):
        return False
    if len(key) == 2 and key[1] not in APIS:
        return False
    if len(head) < 14:
        return None
    return _is_body(head, size)


def _is_body(head: bytes, size: int) -> bool | None:
    """The client's id, and of Produce what follows."""
    length = int.from_bytes(head[12:14], "big", signed=True)
    if length == -1:
        length = 0
    elif not 0 < length <= min(MAX_NAME, size - 10):
        return False
    name = head[14 : 14 + length]
    if _CLIENT.fullmatch(name) is None or size <= 10:
        return False
    if head[5] == PRODUCE:
        # A response whose correlation id is small looks so, too, up to there.
        return _is_produce(head[14 + length :], head[7])
    return True if len(name) >= min(length, 8) else None


def _is_produce(body: bytes, version: int) -> bool | None:
    """Of how many topics; before that are tags and a transaction's id, acks, and a timeout."""
    is_flexible = version >= APIS[PRODUCE][1]
    fields = Fields(body, is_flexible=is_flexible)
    try:
        fields.tags()
        if version >= 3:
            fields.string()
        fields.skip(6)
        return 0 < fields.array() <= MAX_COUNT
    except Gap:
        return None
    except ProtocolError:
        return False


def _has_topics(head: bytes, at: int) -> bool | None:
    """An array at `at`, whose first element begins with a topic's name."""
    count, length = head[at : at + 4], head[at + 4 : at + 6]
    size = int.from_bytes(head[:4], "big")
    if len(length) < 2:
        return None if count == b"\0\0"[: len(count)] or count[:2] == b"\0\0" else False
    wanted = int.from_bytes(length, "big")
    name = head[at + 6 : at + 6 + wanted]
    if not 0 < int.from_bytes(count, "big") <= MAX_COUNT or not 0 < wanted <= MAX_NAME:
        return False
    return _is_topic(name, wanted, size - at - 2)


def _has_compact_topics(head: bytes, at: int) -> bool | None:
    """The same of a flexible version: behind the header's tags, of which there are none."""
    if head[8:9] > b"\0":
        return False
    size = int.from_bytes(head[:4], "big")
    if len(head) < at + 2:
        return None
    count, wanted = head[at] - 1, head[at + 1] - 1
    if not 0 < count < 127 or not 0 < wanted < 127:
        return False
    return _is_topic(head[at + 2 : at + 2 + wanted], wanted, size - at + 2)


def _is_topic(name: bytes, wanted: int, left: int) -> bool | None:
    if wanted < 3 or wanted >= left or _TOPIC.fullmatch(name) is None:
        return False
    return True if len(name) >= min(wanted, 8) else None
