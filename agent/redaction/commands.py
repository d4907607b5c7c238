"""Keys, commands and documents of stores that have no query language: names and patterns stay, values go.

    key        user:1234 → user:{id}
    command    SET user:1234 hello → SET user:{id} ?
    document   {"name": "x", "age": {"$gt": 3}} → {"name": ?, "age": {"$gt": ?}}

A word in a key is one that people write: letters, at most two digits at its end. All else is `{id}`, so that spans of
one kind share a text. Which arguments of a command are keys is known from tables; of a command that is in none of them
no argument stays.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Final

from agent.redaction.clean import clean
from agent.redaction.secrets import mask

MAX_KEY: Final = 128
"""Bytes of a key that are looked at: Redis users are advised to stay below, memcached has 250 at most."""
MAX_PARTS: Final = 16
"""Parts of a key that leave."""
MAX_KEYS: Final = 8
"""Patterns of keys in one command's text; the rest of a long MGET hardly has others."""
MAX_WORDS: Final = 64
"""Words of a command that are looked at."""
MAX_FIELDS: Final = 32
"""Fields of a document, at each level, that leave."""
MAX_DEPTH: Final = 6
"""Levels of a document that leave."""

ID: Final = "{id}"

_UUID = re.compile(r"[0-9A-Fa-f]{8}(?:-?[0-9A-Fa-f]{4}){3}-?[0-9A-Fa-f]{12}")
_PART = re.compile(r"([^:/|.,;#@\s_\-{}\[\]]+)")
_WORD = re.compile(
    r"[A-Z]?[a-z]{1,20}(?:[A-Z][a-z]{2,19}){0,4}\d{0,2}|[A-Z]{1,12}\d{0,2}|\*|\$[a-zA-Z]{1,20}|"
)
_IDS = re.compile(r"(?:\{id\}[\-_.]?){2,}")
_NAME = re.compile(r"[A-Za-z]{1,20}(?:[._][A-Za-z_]{1,24})?")


def _words(names: str) -> frozenset[str]:
    return frozenset(names.split())


# https://redis.io/docs/latest/commands/, by where their keys are.
_FIRST = _words(
    "APPEND BITCOUNT BITFIELD BITFIELD_RO BITPOS DECR DECRBY DUMP EXPIRE EXPIREAT EXPIRETIME GEOADD GEODIST GEOHASH GEOPOS "
    "GEORADIUS GEORADIUS_RO GEORADIUSBYMEMBER GEORADIUSBYMEMBER_RO GEOSEARCH GET GETBIT GETDEL GETEX GETRANGE GETSET "
    "HDEL HEXISTS HEXPIRE HGET HGETALL HGETDEL HGETEX HINCRBY HINCRBYFLOAT HKEYS HLEN HMGET HMSET HPERSIST HPEXPIRE "
    "HPTTL HRANDFIELD HSCAN HSET HSETEX HSETNX HSTRLEN HTTL HVALS INCR INCRBY INCRBYFLOAT LINDEX LINSERT LLEN LPOP "
    "LPOS LPUSH LPUSHX LRANGE LREM LSET LTRIM MOVE PERSIST PEXPIRE PEXPIREAT PEXPIRETIME PFADD PSETEX PTTL PUBLISH "
    "RESTORE RPOP RPUSH RPUSHX SADD SCARD SET SETBIT SETEX SETNX SETRANGE SISMEMBER SMEMBERS SMISMEMBER SORT SORT_RO "
    "SPOP SPUBLISH SRANDMEMBER SREM SSCAN STRLEN SUBSTR TTL TYPE XACK XADD XAUTOCLAIM XCLAIM XDEL XLEN XPENDING "
    "XRANGE XREVRANGE XSETID XTRIM ZADD ZCARD ZCOUNT ZINCRBY ZLEXCOUNT ZMSCORE ZPOPMAX ZPOPMIN ZRANDMEMBER ZRANGE "
    "ZRANGEBYLEX ZRANGEBYSCORE ZRANK ZREM ZREMRANGEBYLEX ZREMRANGEBYRANK ZREMRANGEBYSCORE ZREVRANGE ZREVRANGEBYLEX "
    "ZREVRANGEBYSCORE ZREVRANK ZSCAN ZSCORE"
)
_ALL = _words(
    "DEL EXISTS MGET PFCOUNT PFMERGE PSUBSCRIBE PUNSUBSCRIBE SDIFF SDIFFSTORE SINTER SINTERSTORE SSUBSCRIBE SUBSCRIBE "
    "SUNION SUNIONSTORE SUNSUBSCRIBE TOUCH UNLINK UNSUBSCRIBE WATCH"
)
_ALL_BUT_LAST = _words("BLPOP BRPOP BZPOPMAX BZPOPMIN")
_EVERY_OTHER = _words("MSET MSETNX")
_TWO = _words(
    "BLMOVE BRPOPLPUSH COPY GEOSEARCHSTORE LCS LMOVE RENAME RENAMENX RPOPLPUSH SMOVE ZRANGESTORE"
)
_AFTER_COUNT = _words("LMPOP SINTERCARD ZDIFF ZINTER ZINTERCARD ZMPOP ZUNION")
_AFTER_SECOND_COUNT = _words("BLMPOP BZMPOP EVAL EVAL_RO EVALSHA EVALSHA_RO FCALL FCALL_RO")
_STORE_AFTER_COUNT = _words("ZDIFFSTORE ZINTERSTORE ZUNIONSTORE")
_SUBCOMMAND = _words(
    "ACL CLIENT CLUSTER COMMAND CONFIG DEBUG FUNCTION LATENCY MEMORY MODULE OBJECT PUBSUB SCRIPT SENTINEL SLOWLOG XGROUP XINFO"
)
_KEY_AFTER_SUBCOMMAND = _words("OBJECT XGROUP XINFO")
_STREAMS = _words("XREAD XREADGROUP")
_FIRST_NAMES = frozenset(name.encode("ascii") for name in _FIRST)
_SPECIAL_NAMES = frozenset(name.encode("ascii") for name in _SUBCOMMAND | _STREAMS)
_ALL_NAMES = frozenset(name.encode("ascii") for name in _ALL)

_MEMCACHED = {
    **dict.fromkeys(_words("get gets"), "all"),
    **dict.fromkeys(_words("gat gats"), "rest"),
    **dict.fromkeys(
        _words("set add replace append prepend cas delete incr decr touch mg ms md ma me"), "first"
    ),
}


def key(raw: bytes | str) -> str:
    """The pattern of a key, at most about 16 words and as many `{id}`."""
    if isinstance(raw, bytes):
        try:
            raw = raw[:MAX_KEY].decode("utf-8")
        except UnicodeDecodeError:
            return ID
    text = _UUID.sub(ID, raw[:MAX_KEY])
    parts = _PART.split(text)[: 2 * MAX_PARTS]
    # Words are at odd places, what separates them at even ones.
    for index in range(1, len(parts), 2):
        if not _WORD.fullmatch(parts[index]) and not (
            parts[index] == "id" and parts[index - 1].endswith("{")
        ):
            parts[index] = ID
    return clean(_IDS.sub(ID, mask("".join(parts)).replace("\ufffd", "?")))


def command(words: Sequence[bytes], system: str = "redis") -> str:
    """A command's text: its name, the patterns of its keys, `?` for everything else.

    `words` are the command as it was sent, name first; `system` is db.system.name, redis or memcached.
    """
    if not words:
        return ""
    name = words[0][:64].decode("latin-1")
    if not _NAME.fullmatch(name):
        return "?"
    rest = words[1:MAX_WORDS]
    memcached = _MEMCACHED if system == "memcached" else None
    shown = _redis(name.upper(), rest) if memcached is None else _marked(rest, memcached.get(name))
    texts = [text for text, _ in groupby(shown)]
    return " ".join((name, *texts[: MAX_KEYS * 2]))


def shape(words: Sequence[bytes]) -> tuple[bytes, ...]:
    """A Redis command that has the same text, `command(shape(words)) == command(words)`, and repeats itself more.

    So texts can be kept by it: values are gone where it is cheap to know them, and a key's last number is always 0.
    """
    name = words[0].upper()
    count = len(words)
    if count > 1 and name in _FIRST_NAMES:
        first = _numbered(words[1])
        return (words[0], first) if count == 2 else (words[0], first, b"?")
    if name in _ALL_NAMES:
        return (words[0], *map(_numbered, words[1:MAX_WORDS]))
    if name in _SPECIAL_NAMES or len(name) > MAX_KEY:
        return tuple(words[:MAX_WORDS])
    rest = words[1:MAX_WORDS]
    places = _places(name.decode("latin-1"), rest)
    # What comes before keys says how many they are.
    return (
        words[0],
        *(
            _numbered(word)
            if at in places
            else word
            if at < places.start and word.isdigit()
            else b"?"
            for at, word in enumerate(rest)
        ),
    )


def free_digits(words: Sequence[bytes]) -> list[int]:
    """How many of the last bytes of each word the `shape` does not depend on, as long as they are digits where digits are now."""
    name = words[0].upper()
    if name in _FIRST_NAMES:
        return [0, *map(_last_number, words[1:2]), *map(len, words[2:])]
    if name in _ALL_NAMES:
        return [0, *map(_last_number, words[1:MAX_WORDS]), *([0] * len(words[MAX_WORDS:]))]
    if name == b"MSET" and len(words) <= MAX_WORDS:
        return [
            0,
            *((len(word) if at & 1 else _last_number(word)) for at, word in enumerate(words[1:])),
        ]
    return [0] * len(words)


def _last_number(word: bytes) -> int:
    """The bytes of what `_numbered` takes for a key's last number."""
    return len(word.rpartition(b":")[2]) if _numbered(word) is not word else 0


def _numbered(word: bytes) -> bytes:
    """A key without its last number."""
    head, colon, tail = word.rpartition(b":")
    return head + b":0" if colon and tail.isdigit() and len(word) <= MAX_KEY else word


def document(fields: Mapping[str, object], depth: int = MAX_DEPTH) -> str:
    """A document's shape: names stay as patterns, every value is `?`, lists show the first of their kinds."""
    shown = [
        f'"{key(name)}": {_shape(value, depth - 1)}'
        for name, value in list(fields.items())[:MAX_FIELDS]
    ]
    return f"{{{', '.join(shown)}}}"


def _shape(value: object, depth: int) -> str:
    if isinstance(value, Mapping):
        return document(value, depth) if depth > 0 else "?"
    if isinstance(value, list | tuple):
        kinds = (
            dict.fromkeys(_shape(item, depth - 1) for item in value[:MAX_FIELDS])
            if depth
            else {"?": None}
        )
        return f"[{', '.join(kinds)}]"
    return "?"


def _redis(name: str, words: Sequence[bytes]) -> list[str]:
    """The arguments of a Redis command as they may be shown."""
    if name in _SUBCOMMAND and words:
        sub = words[0][:32].decode("latin-1")
        if not _NAME.fullmatch(sub):
            return ["?"]
        return [sub, *_marked(words[1:], "first" if name in _KEY_AFTER_SUBCOMMAND else None)]
    if name in _STREAMS:
        return _streams(words)
    return _show(words, _places(name, words))


def _marked(words: Sequence[bytes], which: str | None) -> list[str]:
    count = len(words)
    places = {None: range(0), "first": range(1), "all": range(count), "rest": range(1, count)}
    return _show(words, places[which])


def _places(name: str, words: Sequence[bytes]) -> range:  # noqa: PLR0911  # a table
    """Which arguments are keys."""
    count = len(words)
    if name in _FIRST:
        return range(1)
    if name in _ALL:
        return range(count)
    if name in _ALL_BUT_LAST:
        return range(count - 1)
    if name in _EVERY_OTHER:
        return range(0, count, 2)
    if name in _TWO:
        return range(2)
    for names, at in ((_AFTER_COUNT, 0), (_AFTER_SECOND_COUNT, 1), (_STORE_AFTER_COUNT, 1)):
        if name in names and at < count and words[at].isdigit() and len(words[at]) < 6:
            return range(at + 1, min(count, at + 1 + int(words[at])))
    return range(1, count) if name == "BITOP" else range(0)


def _show(words: Sequence[bytes], places: range) -> list[str]:
    return [key(word) if index in places else "?" for index, word in enumerate(words)]


def _streams(words: Sequence[bytes]) -> list[str]:
    """XREAD [GROUP …] [COUNT …] STREAMS key … id …"""
    upper = [word[:8].upper() for word in words]
    at = upper.index(b"STREAMS") if b"STREAMS" in upper else len(words)
    keys = words[at + 1 :]
    shown = [key(word) for word in keys[: (len(keys) + 1) // 2]]
    return ["STREAMS", *shown, "?"] if shown else ["?"]
