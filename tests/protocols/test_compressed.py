"""The beginning of what was compressed: against the libraries, from any part of the bytes, and from bad ones."""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable
from typing import Any

import lz4.block
import pytest
import snappy
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from agent.protocols import compressed
from agent.protocols.compressed import from_lz4, from_snappy, from_zlib, from_zstd

WORDS = [b"find", b"orders", b"hunter2", b"\0\0\0\0", b"select * from "]


def text(seed: int, words: int) -> bytes:
    rng = random.Random(seed)
    return b"".join(rng.choice(WORDS) + rng.randbytes(rng.randint(0, 3)) for _ in range(words))


WAYS: dict[str, tuple[Callable[[bytes], bytes], Callable[[bytes, int], Any]]] = {
    "zlib": (zlib.compress, from_zlib),
    "snappy": (snappy.compress, from_snappy),
    "lz4": (lambda data: lz4.block.compress(data, store_size=False), from_lz4),
    "zstd": (zstandard.ZstdCompressor().compress, from_zstd),
}
every_way = pytest.mark.parametrize("way", WAYS)


@every_way
@pytest.mark.parametrize("size", [0, 1, 3, 40, 400, 40_000])
def test_what_the_library_compressed(way, size):
    pack, unpack = WAYS[way]
    for data in (text(size, size), b"a" * size, random.Random(size).randbytes(size)):
        assert unpack(pack(data), len(data) + 1) == data
        assert unpack(pack(data), 100) == data[:100]


@every_way
def test_a_part_gives_a_beginning(way):
    pack, unpack = WAYS[way]
    data = text(1, 200)
    packed = pack(data)
    for size in range(len(packed)):
        assert data.startswith(unpack(packed[:size], 4096))
    if way != "zstd":  # whose blocks are whole or not there
        assert unpack(packed[: len(packed) // 2], 4096)


@every_way
@given(data=st.binary(max_size=200), limit=st.integers(1, 300))
def test_any_bytes_give_no_more_than_is_wanted(way, data, limit):
    assert len(WAYS[way][1](data, limit)) <= limit


@every_way
@given(st.data())
def test_damage_gives_no_more_than_is_wanted(way, data):
    pack, unpack = WAYS[way]
    packed = bytearray(pack(text(2, 60)))
    for _ in range(data.draw(st.integers(1, 5))):
        packed[data.draw(st.integers(0, len(packed) - 1))] = data.draw(st.integers(0, 255))
    assert len(unpack(bytes(packed), 500)) <= 500


def test_a_size_that_lies_costs_nothing():
    assert from_lz4(b"\x1fa\1\0" + b"\xff" * 4000, 100) == b"a" * 100
    assert from_lz4(b"\xf0" + b"\xff" * 4000, 100) == b""
    assert from_snappy(b"\xff\xff\xff\xff\x0f\xfc\xff\xff\xff\xffab", 100) == b"ab"
    assert from_zstd(zstandard.ZstdCompressor().compress(bytes(1 << 26)), 100) == bytes(100)
    wide = zstandard.ZstdCompressor(level=22).compress(random.Random(1).randbytes(1 << 24))
    assert from_zstd(wide, 100) == b""


def test_offsets_that_lead_nowhere_end_it():
    assert from_snappy(b"\x10\x04ab\x01\x05", 100) == b"ab"
    assert from_snappy(b"\x10\x04ab\x02\x00\x00", 100) == b"ab"
    assert from_lz4(b"\x20ab\x05\x00", 100) == b"ab"


def test_without_the_package(monkeypatch):
    monkeypatch.setattr(compressed, "zstandard", None)
    assert from_zstd(b"anything", 10) is None
