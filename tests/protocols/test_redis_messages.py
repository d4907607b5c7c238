"""Redis' messages, byte by byte from the protocol's specification."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import ProtocolError
from agent.protocols import Verdict
from agent.protocols.redis_messages import (
    MAX_DEPTH,
    MAX_WORD,
    MAX_WORDS,
    Command,
    Kind,
    Reply,
    classify,
    read_command,
    read_reply,
    resync,
)
from agent.stream import EndOfStream
from tests.protocols.messages import read_all, three_ways
from tests.wire import cut, holed, whole


def array(*words: bytes) -> bytes:
    return b"*%d\r\n" % len(words) + b"".join(
        b"$%d\r\n%s\r\n" % (len(word), word) for word in words
    )


COMMANDS = {
    array(b"GET", b"user:1"): (b"GET", b"user:1"),
    array(b"set", b"k", b"a\r\nb", b""): (b"set", b"k", b"a\r\nb", b""),
    array(b"AUTH", b"joe", b"hunter2"): (b"AUTH",),
    array(b"HELLO", b"3", b"AUTH", b"joe", b"hunter2"): (b"HELLO",),
    array(b"config", b"set", b"requirepass", b"hunter2"): (b"config", b"set"),
    b"*0\r\n": (),
    b"*-1\r\n": (),
}


@pytest.mark.parametrize(("data", "words"), COMMANDS.items())
def test_command(data, words):
    (command,) = three_ways(lambda: read_command, data)
    assert (command.words, command.size, command.is_inline) == (words, len(data), False)


def test_commands_in_a_pipeline():
    data = b"".join(COMMANDS)
    assert [command.words for command in three_ways(lambda: read_command, data)] == [
        *COMMANDS.values()
    ]


def test_inline():
    data = b'\r\nPING\r\nSET a "b c"\r\nAUTH hunter2\n'
    assert three_ways(lambda: read_command, data) == [
        Command((b"PING",), 1, 6, is_inline=True),
        Command((b"SET", b"a", b'"b', b'c"'), 4, 13, is_inline=True),
        Command((b"AUTH",), 2, 13, is_inline=True),
    ]


def test_long_words_are_cut_and_many_counted():
    (command,) = read_all(read_command, whole(array(b"MSET", *[b"x" * 1000] * 100)))
    assert command.count == 101
    assert command.words == (b"MSET", *[b"x" * MAX_WORD] * (MAX_WORDS - 1))


def test_a_value_that_was_not_captured():
    data = array(b"SET", b"k", b"v" * 1000)
    whole_one = read_all(read_command, whole(data))[0]
    at = data.index(b"vvv")
    (command,) = read_all(read_command, holed(data, at + 4, len(data)))
    assert command == Command((b"SET", b"k", b"vvvv"), 3, len(data), is_truncated=True)
    assert whole_one.size == command.size


def test_a_hole_that_hides_a_size_ends_with_the_turn():
    data = array(b"MSET", b"k", b"v" * 1000, b"l", b"w")
    pieces = holed(data, 40, len(data))
    (command,) = read_all(read_command, pieces, is_closed=True)
    assert (command.words[:2], command.count, command.size, command.is_end_guessed) == (
        (b"MSET", b"k"),
        5,
        len(data),
        True,
    )


REPLIES = {
    b"+OK\r\n": Reply(Kind.STRING, 5, 2),
    b"-ERR unknown command 'foo'\r\n": Reply(Kind.ERROR, 28, error="ERR"),
    b"-WRONGTYPE Operation against a key\r\n": Reply(Kind.ERROR, 36, error="WRONGTYPE"),
    b"-MOVED 3999 127.0.0.1:6381\r\n": Reply(Kind.ERROR, 28, error="MOVED", redirection="127.0.0.1:6381"),
    b"-hunter2\r\n": Reply(Kind.ERROR, 10, error="ERR"),
    b":1000\r\n": Reply(Kind.NUMBER, 7),
    b"$5\r\nhe\r\no\r\n": Reply(Kind.STRING, 11, 5),
    b"$0\r\n\r\n": Reply(Kind.STRING, 6, 0),
    b"$-1\r\n": Reply(Kind.NULL, 5),
    b"*-1\r\n": Reply(Kind.NULL, 5),
    b"*0\r\n": Reply(Kind.ARRAY, 4, 0),
    b"*3\r\n:1\r\n*1\r\n$1\r\na\r\n-ERR x\r\n": Reply(Kind.ARRAY, 27, 3),
    # RESP3
    b"_\r\n": Reply(Kind.NULL, 3),
    b"#t\r\n": Reply(Kind.NUMBER, 4),
    b",1.23\r\n": Reply(Kind.NUMBER, 7),
    b"(3492890328409238509324850943850943825024385\r\n": Reply(Kind.NUMBER, 46),
    b"!21\r\nSYNTAX invalid syntax\r\n": Reply(Kind.ERROR, 28, error="SYNTAX"),
    b"=15\r\ntxt:Some string\r\n": Reply(Kind.STRING, 22, 15),
    b"%2\r\n+a\r\n:1\r\n+b\r\n*0\r\n": Reply(Kind.MAP, 20, 2),
    b"~1\r\n+a\r\n": Reply(Kind.ARRAY, 8, 1),
    b">2\r\n+invalidate\r\n*1\r\n+a\r\n": Reply(Kind.ARRAY, 25, 2, is_push=True),
    b"|1\r\n+ttl\r\n:3600\r\n$1\r\na\r\n": Reply(Kind.STRING, 24, 1),
    # RESP2's subscribers
    array(b"message", b"channel", b"text"): Reply(Kind.ARRAY, 40, 3, push=b"message"),
    b"*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:2\r\n": Reply(Kind.ARRAY, 30, 3, push=b"subscribe", subscriptions=2),
    b">3\r\n$11\r\nunsubscribe\r\n_\r\n:0\r\n": Reply(Kind.ARRAY, 29, 3, is_push=True, push=b"unsubscribe"),
    array(b"a", b"message", b"text"): Reply(Kind.ARRAY, len(array(b"a", b"message", b"text")), 3),
}  # fmt: skip


@pytest.mark.parametrize(("data", "reply"), REPLIES.items())
def test_reply(data, reply):
    assert three_ways(lambda: read_reply, data) == [reply]
    for size in range(len(data)):
        assert read_all(read_reply, whole(data[:size])) == []


def test_replies_in_a_pipeline():
    assert three_ways(lambda: read_reply, b"".join(REPLIES)) == [*REPLIES.values()]


def test_a_reply_that_was_not_captured_whole():
    data = b"$1000\r\n" + b"x" * 1000 + b"\r\n+OK\r\n"
    assert read_all(read_reply, holed(data, 20, 1009)) == [
        Reply(Kind.STRING, 1009, 1000),
        Reply(Kind.STRING, 5, 2),
    ]
    data = b"*100\r\n" + b"$3\r\nabc\r\n" * 100
    assert read_all(read_reply, holed(data, 30, len(data)), is_closed=True) == [
        Reply(Kind.ARRAY, len(data), 100, is_truncated=True)
    ]


@pytest.mark.parametrize(
    "data",
    [b"x\r\n", b"$a\r\n", b"$-2\r\n", b"$99999999999\r\n", b"*1\n", b"*1\r\n" * (MAX_DEPTH + 2)],
)
def test_what_is_no_reply(data):
    assert read_all(read_reply, whole(data)) == [ProtocolError]


@pytest.mark.parametrize(
    "data", [b"\x16\x03\x01\x00\r\n", b"*1\r\n:1\r\n", b"*9999999\r\n", b"*1\r\n$-1\r\n", b"\xff\n"]
)
def test_what_is_no_command(data):
    assert read_all(read_command, whole(data)) == [ProtocolError]


def test_classify():
    for data in COMMANDS:
        if data[:2] not in (b"*0", b"*-"):
            assert classify(data[:64]) is Verdict.REQUEST
            whole_at = data.index(b"\r\n", data.index(b"\r\n$") + 2) + 2
            for size in range(whole_at):
                assert classify(data[:size]) is Verdict.MORE
    for data in REPLIES:
        assert classify(data) is not Verdict.REQUEST or data.startswith(b"*3\r\n$")
    assert classify(b"$5\r\nhello\r\n") is Verdict.RESPONSE
    assert classify(b"-WRONGTYPE x") is Verdict.RESPONSE
    assert classify(b"*2\r\n$6\r\nuser:1\r\n") is Verdict.RESPONSE


@pytest.mark.parametrize(
    "head",
    [b"GET / HTTP/1.1\r\n", b"\x16\x03\x01", b"SSH-2.0-x", b"220 mail ESMTP", b"PING\r\n", b"INFO {", b"+OK POP3 ready\r\n",
     b"-ERR 'Unknown Protocol'\r\n", b"PRI * HTTP/2.0\r\n", b"*x", b"$\r\n", b"\x00\x00\x00\x08\x04\xd2\x16\x2f"],
)  # fmt: skip
def test_classify_refuses_others(head):
    assert classify(head) is Verdict.NO


def test_resync():
    assert resync(b"lue\r\n*2\r\n$3\r\nGET\r\n$1\r\nk\r\n") == 5
    assert resync(b"xx\r\n+OK\r\n") == 4
    assert resync(b"nothing here\r\n") is None


@given(
    st.lists(
        st.sampled_from([*REPLIES, b"*2\r\n", b"\r\n", b"$3\r\n", b"abc", b"%1\r\n", b"|1\r\n"]),
        max_size=6,
    ).map(b"".join)
    | st.binary(max_size=60),
    st.lists(st.integers(1, 60), max_size=4),
)
def test_any_bytes_are_taken(data, places):
    for reader in (read_reply, read_command):
        expected = read_all(reader, whole(data), is_closed=True)
        assert read_all(reader, cut(data, places), is_closed=True) == expected
    classify(data[:64])
    resync(data)


@given(st.sampled_from([*REPLIES]), st.integers(0, 30), st.integers(1, 30))
def test_holes_raise_only_protocol_errors(data, start, size):
    result = read_all(
        read_reply,
        holed(data * 2, min(start, len(data)), min(start + size, 2 * len(data))),
        is_closed=True,
    )
    assert all(isinstance(item, Reply) or issubclass(item, ProtocolError) for item in result)
    assert EndOfStream in result or result
