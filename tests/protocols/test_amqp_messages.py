"""AMQP's frames, methods and content headers."""

from __future__ import annotations

from functools import partial

import pytest

from agent.errors import Gap, ProtocolError
from agent.protocols import Verdict
from agent.protocols.amqp_messages import (
    MAX_FRAME,
    Arguments,
    Content,
    Frame,
    Head,
    Method,
    classify,
    find,
    read_content,
    read_frame_end,
    read_frame_head,
    read_method,
    table,
)
from tests.protocols import amqp_bytes as amqp
from tests.protocols.messages import read_all, three_ways
from tests.wire import holed, whole


def test_heads_of_frames():
    data = amqp.frame(3, 7, b"x" * 300)[:7]
    assert three_ways(lambda: read_frame_head, data) == [Head(Frame.BODY, 7, 300)]
    for wrong in (b"\x04" + data[1:], b"\x01\0\1" + amqp.number(MAX_FRAME + 1, 4), b"\x08\0\0\0\0\0\1"):  # fmt: skip
        assert read_all(read_frame_head, whole(wrong)) == [ProtocolError]


def test_ends_of_frames():
    assert three_ways(lambda: read_frame_end, b"\xce") == [None]
    assert read_all(read_frame_end, holed(b"\xce", 0, 1)) == [None]
    assert read_all(read_frame_end, whole(b"\xcf")) == [ProtocolError]


def method_of(data: bytes):
    return partial(read_method, head=Head(Frame.METHOD, 1, len(data) - 8)), data[7:-1]


def test_methods():
    reader, rest = method_of(amqp.ack(5))
    ((method, arguments),) = read_all(reader, whole(rest))
    assert (method, arguments.number(8), arguments.number(1)) == (Method.ACK, 5, 0)
    with pytest.raises(ProtocolError):
        arguments.number(1)
    ((method, arguments),) = read_all(reader, holed(rest, 6, 9))
    with pytest.raises(Gap):
        arguments.number(8)
    reader, rest = method_of(amqp.START_OK)
    assert read_all(reader, whole(rest))[0][0] is None


def test_methods_that_are_none():
    reader, rest = method_of(amqp.method(11, 1))
    assert read_all(reader, whole(rest)) == [ProtocolError]
    reader = partial(read_method, head=Head(Frame.METHOD, 1, 3))
    assert read_all(reader, whole(b"abc")) == [ProtocolError]
    assert Arguments(b"\2ab", is_whole=True).text() == b"ab"


def header_of(data: bytes):
    size = int.from_bytes(data[3:7], "big")
    return partial(read_content, head=Head(Frame.HEADER, 1, size)), data[7 : 7 + size]


def test_content_headers():
    headers = amqp.table(password=b"hunter2", traceparent=amqp.TRACEPARENT)
    reader, rest = header_of(amqp.content(b"12345", headers=headers))
    expected = Content(5, {"traceparent": amqp.TRACEPARENT.decode()}, is_truncated=False)
    assert three_ways(lambda: reader, rest) == [expected]
    assert read_all(reader, holed(rest, 40, 50))[0].is_truncated
    assert read_all(reader, holed(rest, 3, 50)) == [Gap]
    reader, rest = header_of(amqp.content())
    assert read_all(reader, whole(rest)) == [Content(7, None, is_truncated=False)]
    short = partial(read_content, head=Head(Frame.HEADER, 1, 3))
    assert read_all(short, whole(b"abc")) == [ProtocolError]
    huge = amqp.number(60) + amqp.number(0) + b"\xff" * 8 + amqp.number(0)
    reader = partial(read_content, head=Head(Frame.HEADER, 1, len(huge)))
    assert read_all(reader, whole(huge)) == [ProtocolError]


def test_tables():
    kinds = b"".join(
        amqp.text(b"k") + value
        for value in (b"t\1", b"b\1", b"s\0\1", b"I\0\0\0\1", b"l" + bytes(8), b"d" + bytes(8), b"D" + bytes(5), b"V",
                      b"A\0\0\0\2t\1", b"F\0\0\0\0", b"x\0\0\0\1a", b"T" + bytes(8), b"S\0\0\0\3abc")
    )  # fmt: skip
    rest = kinds + amqp.table(Traceparent=b"00-a")[4:]
    data = amqp.number(len(rest), 4) + rest
    assert table(data) == {"traceparent": "00-a"}
    for size in range(len(data)):
        assert table(data[:size]) is None
    unknown = amqp.text(b"k") + b"?" + rest
    assert table(amqp.number(len(unknown), 4) + unknown) is None


@pytest.mark.parametrize(
    ("head", "verdict"),
    [
        (amqp.PREFACE, Verdict.REQUEST),
        (amqp.PREFACE[:6], Verdict.MORE),
        (b"AMQP\3\1\0\0", Verdict.NO),
        (b"AMQP\1\1\0\x09", Verdict.NO),
        (amqp.publish(), Verdict.REQUEST),
        (amqp.HEARTBEAT + amqp.publish(), Verdict.REQUEST),
        (amqp.deliver(), Verdict.RESPONSE),
        (amqp.HEARTBEAT, Verdict.MORE),
        (amqp.HEARTBEAT * 8, Verdict.NO),
        (amqp.ack(), Verdict.NO),
        (amqp.ack()[:9], Verdict.MORE),
        (amqp.get()[:-1] + b"\0", Verdict.NO),
        (amqp.content(), Verdict.NO),
        (amqp.START, Verdict.NO),
        (b"\1\0\0\0\x0e", Verdict.NO),
    ],
)
def test_classification(head, verdict):
    assert classify(head) is verdict


def test_the_next_method_after_a_gap():
    assert find(amqp.ack()) == 0
    assert find(b"ter2\xce" + amqp.publish()) == 5
    assert find(b"ter2" + amqp.ack()) == -1
    assert find(amqp.ack()[:-1]) == -1
    assert find(amqp.frame(3, 1, b"x") + amqp.ack()) == 9
