"""Keys, commands and documents: names stay, values go."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.redaction.commands import MAX_FIELDS, command, document, free_digits, key, shape


@pytest.mark.parametrize(
    ("raw", "pattern"),
    [
        (b"user:1234", "user:{id}"),
        (b"counter", "counter"),
        (b"session:9f8a7c6d5e4b", "session:{id}"),
        (b"cache:v1:product_42:price", "cache:v1:product_{id}:price"),
        (b"user:3b241101-e2bb-4255-8caf-4136c566a962:x", "user:{id}:x"),
        (b"2024-01-31", "{id}"),
        (b"userProfile/7", "userProfile/{id}"),
        (b"{user}:cart", "{user}:cart"),
        (b"joe@example.com", "REDACTED"),
        (b"AKIAIOSFODNN7EXAMPLE", "{id}"),
        (b"\xff\xfe", "{id}"),
        (b"a\x00\x1bb", "{id}"),
        (b"", ""),
        (b"x" * 100, "{id}"),
    ],
)
def test_key(raw, pattern):
    assert key(raw) == pattern


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (b"GET user:1", "GET user:{id}"),
        (b"set user:1 secret EX 30", "set user:{id} ?"),
        (b"MGET a:1 a:2 b:1", "MGET a:{id} b:{id}"),
        (b"MSET a:1 x b:2 y", "MSET a:{id} ? b:{id} ?"),
        (b"HSET h:1 field value", "HSET h:{id} ?"),
        (b"BLPOP q:1 q:2 30", "BLPOP q:{id} ?"),
        (b"EVAL script 2 k:1 l:2 arg", "EVAL ? k:{id} l:{id} ?"),
        (b"EVAL script x k:1", "EVAL ?"),
        (b"ZUNIONSTORE d 2 a b WEIGHTS 1 2", "ZUNIONSTORE ? a b ?"),
        (b"LMPOP 2 a b LEFT", "LMPOP ? a b ?"),
        (b"RENAME a:1 b:2", "RENAME a:{id} b:{id}"),
        (b"BITOP AND d a", "BITOP ? d a"),
        (b"XREAD COUNT 2 STREAMS s:1 t:2 0 0", "XREAD STREAMS s:{id} t:{id} ?"),
        (b"XREAD COUNT 2", "XREAD ?"),
        (b"AUTH joe hunter2", "AUTH ?"),
        (b"HELLO 3 AUTH joe hunter2", "HELLO ?"),
        (b"CONFIG SET requirepass hunter2", "CONFIG SET ?"),
        (b"ACL SETUSER joe on >hunter2", "ACL SETUSER ?"),
        (b"OBJECT ENCODING k:1", "OBJECT ENCODING k:{id}"),
        (b"CLIENT 12", "CLIENT ?"),
        (b"JSON.SET doc:1 . {}", "JSON.SET ?"),
        (b"PING", "PING"),
        (b"PUBLISH news:1 text", "PUBLISH news:{id} ?"),
        (b"hunter2 x", "?"),
        (b"", ""),
    ],
)
def test_redis(line, text):
    assert command(line.split()) == text


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (b"get user:1 user:2", "get user:{id}"),
        (b"gat 60 user:1", "gat ? user:{id}"),
        (b"set user:1 0 60 5", "set user:{id} ?"),
        (b"mg user:1 v", "mg user:{id} ?"),
        (b"flush_all", "flush_all"),
        (b"verbosity 1", "verbosity ?"),
    ],
)
def test_memcached(line, text):
    assert command(line.split(), "memcached") == text


def test_document():
    found = {"find": "users", "filter": {"name": "x", "$or": [{"a": 1}, {"a": 2}, 3]}, "u:12": None}
    assert (
        document(found) == '{"find": ?, "filter": {"name": ?, "$or": [{"a": ?}, ?]}, "u:{id}": ?}'
    )
    deep: dict[str, object] = {}
    for _ in range(100):
        deep = {"a": deep}
    assert document(deep).count("a") < 10
    assert document({f"k{'x' * n}": n for n in range(15)} | {str(n): n for n in range(99)}).count("?") == MAX_FIELDS  # fmt: skip


SECRET = "hunter2zebra9"
NAMES = st.sampled_from(["GET", "SET", "MSET", "EVAL", "XADD", "AUTH", "HELLO", "CONFIG", "SORT", "ZADD", "FOO", "JSON.SET", "get", "mg"])  # fmt: skip


@given(NAMES, st.lists(st.sampled_from([b"k:1", b"2", SECRET.encode(), b"x", b"a:" + SECRET.encode()]), max_size=8))  # fmt: skip
def test_no_value_leaves_a_command(name, words):
    for system in ("redis", "memcached"):
        assert SECRET not in command([name.encode(), *words], system)


@given(st.recursive(st.just(SECRET), lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3)))  # fmt: skip
def test_no_value_leaves_a_document(value):
    assert SECRET not in document({"a": value, SECRET: value})


@given(st.lists(st.binary(max_size=40), max_size=12))
def test_any_words_are_taken(words):
    text = command(words)
    assert text.isprintable() or "\ufffd" in text or not text.isascii()
    text.encode()


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        ((b"get", b"user:12"), (b"get", b"user:0")),
        ((b"SET", b"a:b:7", b"x", b"EX", b"1"), (b"SET", b"a:b:0", b"?")),
        ((b"MGET", b"a:1", b"12", b"b:x"), (b"MGET", b"a:0", b"12", b"b:x")),
        ((b"FOO", b"a:1"), (b"FOO", b"?")),
        ((b"MSET", b"a:1", b"x", b"a:2", b"y"), (b"MSET", b"a:0", b"?", b"a:0", b"?")),
        ((b"EVAL", b"return 1", b"1", b"k:1", b"v"), (b"EVAL", b"?", b"1", b"k:0", b"?")),
        ((b"OBJECT", b"ENCODING", b"k:1"), (b"OBJECT", b"ENCODING", b"k:1")),
        ((b"GET",), (b"GET",)),
    ],
)
def test_shape(words, shown):
    assert shape(words) == shown


PARTS = st.sampled_from([b":", b"1", b"12", b"1234567", b"user", b"a9", b"-", b"{", b"3b241101e2bb42558caf4136c566a962", b"\xff", b"4111111111111111", b"x" * 120])  # fmt: skip


@given(
    NAMES | st.sampled_from(["DEL", "MSET", "EVAL", "ZUNION", "BITOP", "XREAD", "ZDIFFSTORE"]),
    st.lists(st.lists(PARTS, max_size=6).map(b"".join) | st.sampled_from([b"1", b"2"]), max_size=5),
)
def test_shape_has_the_same_text(name, words):
    line = (name.encode(), *words)
    assert command(shape(line)) == command(line)


@pytest.mark.parametrize(
    ("words", "free"),
    [
        ([b"GET", b"user:12"], [0, 2]),
        ([b"get", b"user:12:cart"], [0, 0]),
        ([b"SET", b"user:1", b"v12", b"EX", b"60"], [0, 1, 3, 2, 2]),
        ([b"GET", b"12"], [0, 0]),
        ([b"GET"], [0]),
        ([b"DEL", b"a:1", b"b", b"c:22"], [0, 1, 0, 2]),
        ([b"DEL", *[b"a:1"] * 70], [0, *[1] * 63, *[0] * 7]),
        ([b"LRANGE2", b"a:1", b"0"], [0, 0, 0]),
        ([b"MSET", b"a:1", b"x2", b"b:22", b"1"], [0, 1, 2, 2, 1]),
    ],
)
def test_digits_on_which_no_shape_depends(words, free):
    assert free_digits(words) == free
    other = [
        word[: len(word) - size] + word[len(word) - size :].translate(bytes.maketrans(b"12", b"35"))
        for word, size in zip(words, free, strict=True)
    ]
    assert shape(other) == shape(words)
