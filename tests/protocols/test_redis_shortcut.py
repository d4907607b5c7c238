"""The hot path of Redis gives what the readers would, or None."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.protocols.redis_messages import Command, Kind, Reply, read_command, read_reply
from agent.protocols.redis_shortcut import RedisShortcut, command_at, reply_at
from tests.protocols.messages import read_all
from tests.protocols.test_redis_messages import COMMANDS, REPLIES, array
from tests.wire import Piece, whole

COMMAND = Command((b"GET",), 1, 1)
WORDS = st.lists(
    st.sampled_from([b"", b"GET", b"AUTH", b"a", b"\r\n", b"$1", b"x" * 256, b"x" * 300])
    | st.binary(max_size=6),
    min_size=1,
    max_size=5,
)
UNUSUAL = (b"AUTH", b"HELLO", b"config", b"*0", b"*-1")


@pytest.mark.parametrize("data", [*COMMANDS, array(*[b"x" * 256] * 64)])
def test_commands_of_common_shapes_are_taken(data):
    is_unusual = any(word in data for word in UNUSUAL)
    (expected,) = read_all(read_command, whole(data))
    assert command_at(data) == command_at(data + b"*1\r\n") == (None if is_unusual else expected)
    has_line_end = b"a\r\nb" in data
    assert RedisShortcut().request(data) == (None if is_unusual or has_line_end else expected)


@pytest.mark.parametrize(
    "data", [b"", b"PING\r\n", array(*[b"x"] * 65), array(b"SET", b"k", b"x" * 257), array(b"SUBSCRIBE", b"a"), array(b"client", b"reply", b"off")]
)  # fmt: skip
def test_others_are_left_to_the_readers(data):
    assert command_at(data) is None
    assert RedisShortcut().request(data) is None


@given(WORDS, st.binary(max_size=8), st.integers(0, 40))
def test_no_command_is_read_differently(words, extra, cut):
    for data in (array(*words), array(*words) + extra, array(*words)[:cut], extra):
        quick, first = RedisShortcut().request(data), command_at(data)
        if quick is not None:
            assert read_all(read_command, whole(data)) == [quick]
        if first is not None:
            assert read_all(read_command, whole(data))[0] == first


@given(
    st.lists(
        st.sampled_from([*REPLIES, b"$1", b"\r\n", b"a\r\n", b"$01\r\na\r\n"]), max_size=3
    ).map(b"".join),
    st.integers(0, 60),
    st.integers(0, 60),
)
def test_no_reply_is_read_differently(data, captured, more):
    data = data[:captured] if more else data
    quick, first = RedisShortcut().response(data, len(data) + more, COMMAND), reply_at(data)
    if quick is not None:
        rest = quick.size - len(data)
        assert rest >= more
        pieces = [*whole(data), *([Piece(b"", rest)] if rest else [])]
        assert read_all(read_reply, pieces) == [quick]
    if first is not None:
        assert read_all(read_reply, whole(data))[0] == first


def test_the_usual_replies_are_taken():
    for data, reply in REPLIES.items():
        if data[:1] in b"+:$-":
            assert RedisShortcut().response(data, len(data), COMMAND) == reply
            assert reply_at(data) == reply_at(data + b"+OK\r\n") == reply
    assert RedisShortcut().response(array(b"a", b"b"), 18, COMMAND) == Reply(Kind.ARRAY, 18, 2)
    long = RedisShortcut().response(b"$3000\r\nabc", 1000, COMMAND)
    assert long == Reply(Kind.STRING, 3009, 3000)
    assert reply_at(b"$3000\r\nabc") is None
