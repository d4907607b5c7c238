"""The hot path of Redis gives what the readers would, or None."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent import redaction
from agent.protocols.redis_batches import Batch, together
from agent.protocols.redis_messages import Command, Kind, Reply, read_command, read_reply
from agent.protocols.redis_shortcut import (
    MAX_KNOWN,
    MAX_SEEN,
    RedisShortcut,
    command_at,
    replies_in,
    reply_at,
)
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
    assert RedisShortcut().request(data) == (None if is_unusual else expected)


@pytest.mark.parametrize(
    "data", [b"", b"PING\r\n", array(*[b"x"] * 65), array(b"SET", b"k", b"x" * 257)[:-1], array(b"SUBSCRIBE", b"a"), array(b"client", b"reply", b"off")]
)  # fmt: skip
def test_others_are_left_to_the_readers(data):
    assert command_at(data) is None
    assert RedisShortcut().request(data) is None


def joined(commands: list[Command]) -> Command | Batch:
    """What a session makes of commands that came together."""
    if len(commands) == 1:
        return commands[0]
    batch = Batch.of([commands[0].words], 1)
    for command in commands[1:]:
        batch.add(command)
    return batch


def answered(replies: list[Reply]) -> Reply:
    """And of replies to a batch."""
    total = None
    for reply in replies:
        total = together(total, reply)
    assert total is not None
    return total


KEYS = (
    st.sampled_from([b"k", b"user:", b"user:1:cart", b"7", b"", b"a:b:", b"\r\n:", b":\r\n"])
    | st.integers(0, 1200).map(lambda n: b"user:%d" % n)
    | st.integers(0, 99).map(lambda n: b"v%d:user" % n)
)
VALUES = KEYS | st.sampled_from([b"x" * 300, b"1" * 300, b"1", b"22"])
ASKED = st.lists(
    st.tuples(
        st.sampled_from([b"GET", b"set", b"MGET", b"INCR", b"LRANGE", b"MSET", b"zzz", b"SET2"]),
        KEYS,
        VALUES,
    ).map(lambda words: array(*words[: 2 + (words[0] not in (b"GET", b"INCR"))])),
    min_size=1,
    max_size=4,
).map(b"".join)


def read_again(shortcut: RedisShortcut, data: bytes) -> Command | Batch | None:
    """As the readers would; of a pattern that came before, with words on which the text does not depend."""
    quick = shortcut.request(data)
    expected = joined(read_all(read_command, whole(data)))
    if isinstance(quick, Batch) or quick is None:
        assert quick == expected
    else:
        assert isinstance(expected, Command)
        assert (quick.count, quick.size) == (expected.count, expected.size)
        assert redaction.shape(quick.words) == redaction.shape(expected.words)
        assert quick.shape in (None, redaction.shape(expected.words))
    return quick


@given(st.lists(ASKED, min_size=1, max_size=12), st.data())
def test_what_is_kept_is_taken_for_its_likes_alone(asked, data):
    shortcut = RedisShortcut()
    for one in asked:
        for _ in range(3):
            read_again(shortcut, one)
    digit = st.integers(0, 9).map(lambda n: b"%d" % n)
    for one in asked:
        places = [at for at in range(len(one)) if one[at : at + 1].isdigit()]
        at = data.draw(st.sampled_from(places))
        other = one[:at] + data.draw(digit) + one[at + 1 :]
        if all(isinstance(c, Command) for c in read_all(read_command, whole(other))):
            quick = shortcut.request(other)
            commands = read_all(read_command, whole(other))
            if quick is not None and sum(command.size for command in commands) == len(other):
                read_again(shortcut, other)


def test_commands_that_differ_in_the_last_number_of_their_key_are_read_once():
    shortcut = RedisShortcut()
    found = [
        shortcut.request(b"".join(array(b"GET", b"k:%03d" % (n + m)) for m in range(16)))
        for n in range(0, 160, 16)
    ]
    assert found[0] == found[9] == Batch(((b"GET", b"k:0"),), 16)
    assert found[2] is found[9] is not found[1]


def test_a_size_that_differs_is_seen():
    shortcut = RedisShortcut()
    for _ in range(3):
        shortcut.request(array(b"GET", b"k:1") * 2)
    lying = array(b"GET", b"k:1").replace(b"$3\r\nk", b"$4\r\nk") + array(b"GET", b"k:1")
    assert shortcut.request(lying) is None


def test_what_is_kept_has_a_bound():
    shortcut = RedisShortcut()
    for n in range(3 * MAX_KNOWN):
        for _ in range(3):
            shortcut.request(array(b"GET", b"k" * n))
    assert len(shortcut._known) == MAX_KNOWN
    for n in range(3 * MAX_SEEN):
        shortcut.request(array(b"GET", b"l" * (n % 250), b"m" * (n // 250)))
    assert len(shortcut._seen) <= MAX_SEEN


@given(
    st.lists(
        st.sampled_from([*REPLIES, b"$3\r\nabc\r\n", b":12\r\n", b"-ERR x\r\n", b"*0\r\n"]),
        min_size=1,
        max_size=5,
    ),
    st.integers(1, 5),
    st.binary(max_size=3),
    st.integers(0, 8),
)
def test_no_replies_are_read_differently(replies, repeated, extra, cut):
    data = b"".join(replies * repeated) + extra
    data = data[: len(data) - cut] if extra else data
    count = len(replies) * repeated
    quick = RedisShortcut().response(data, len(data), Batch((), count))
    if quick is not None:
        assert answered(read_all(read_reply, whole(data))) == quick
    usual = all(reply[:1] in b"+:$-" for reply in replies)
    if not extra and usual:
        assert quick is not None
    assert RedisShortcut().response(data, len(data) + 1, Batch((), count)) is None


def test_replies_to_a_batch_that_are_read_at_once():
    for data, count, expected in (
        (b"+OK\r\n" * 3, 3, Reply(Kind.BATCH, 15, 3)),
        (b":1\r\n:10\r\n+OK\r\n", 3, Reply(Kind.BATCH, 14, 3)),
        (array(b"a", b"b") + b"$-1\r\n*-1\r\n_\r\n", 4, Reply(Kind.BATCH, 31, 4)),
        (b"+OK\r\n-WRONGTYPE x\r\n-ERR y\r\n", 3, Reply(Kind.BATCH, 27, 3, "WRONGTYPE", failures=2)),
    ):  # fmt: skip
        assert replies_in(data, count) == expected
        assert replies_in(data, count + 1) is None
        assert replies_in(data[:-1], count) is None
    hundred = array(*[b"abc"] * 100)
    assert replies_in(hundred * 16, 16) == Reply(Kind.BATCH, 16 * len(hundred), 16)
    assert replies_in(hundred + b"+OK\r\n", 2) == Reply(Kind.BATCH, len(hundred) + 5, 2)
    mixed = array(*[b"x" * n for n in range(300)]).replace(b"$7\r\nxxxxxxx", b"$-1")
    assert replies_in(mixed + b"+OK\r\n", 2) == Reply(Kind.BATCH, len(mixed) + 5, 2)
    assert replies_in(array(b"message", b"a", b"b") + b"+OK\r\n", 2) is None
    assert replies_in(b"*1\r\n*0\r\n" + b"+OK\r\n", 2) is None


@given(WORDS, st.binary(max_size=8), st.integers(0, 40))
def test_no_command_is_read_differently(words, extra, cut):
    for data in (array(*words), array(*words) + extra, array(*words)[:cut], extra):
        quick, first = RedisShortcut().request(data), command_at(data)
        if quick is not None:
            assert joined(read_all(read_command, whole(data))) == quick
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
