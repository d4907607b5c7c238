"""A Cassandra server by script: it greets, says that it is alone, and answers statements. Frames are `cassandra_bytes`'."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Mapping

import lz4.block
import snappy

from tests.peers.peer import Line
from tests.protocols import cassandra_bytes as cql

SUPPORTED = {"CQL_VERSION": ["3.4.6"], "COMPRESSION": ["lz4", "snappy"], "PROTOCOL_VERSIONS": ["4/v4", "5/v5"]}  # fmt: skip
WAYS: dict[str, tuple[Callable[[bytes], bytes], Callable[[bytes], bytes]]] = {
    "lz4": (
        lambda data: cql.integer(len(data)) + lz4.block.compress(data, store_size=False),
        lambda data: lz4.block.decompress(
            data[4:], uncompressed_size=int.from_bytes(data[:4], "big")
        ),
    ),
    "snappy": (snappy.compress, snappy.uncompress),
}
TEXT, IDENTIFIER, ADDRESS = b"\0\x0d", b"\0\x0c", b"\0\x10"
Answer = Callable[[str, int, int], bytes]
"""Of a statement, its stream and its version."""

HOST = {
    "key": (TEXT, b"local"), "cluster_name": (TEXT, b"test"), "data_center": (TEXT, b"dc1"), "rack": (TEXT, b"r1"),
    "release_version": (TEXT, b"4.1.0"), "partitioner": (TEXT, b"org.apache.cassandra.dht.Murmur3Partitioner"),
    "host_id": (IDENTIFIER, uuid.UUID(int=7).bytes), "rpc_address": (ADDRESS, bytes((127, 0, 0, 1))),
    "broadcast_address": (ADDRESS, bytes((127, 0, 0, 1))),
}  # fmt: skip


class Server:
    """One cluster of one host; `answers` has what statements that begin so are answered."""

    def __init__(self, answers: Mapping[str, Answer]) -> None:
        self._answers = answers
        self._prepared: dict[bytes, str] = {}
        self.system: list[str] = []
        """What the driver asked for itself."""

    def __call__(self, line: Line) -> None:
        wire = Wire(line)
        way = ""
        while True:
            head = wire.read(9)
            version, stream, opcode = head[0], int.from_bytes(head[2:4], "big"), head[4]
            body = wire.read(int.from_bytes(head[5:], "big"))
            if version < 5 and head[1] & 1:
                body = WAYS[way][1](body)
            if opcode == cql.STARTUP:
                way = next((name for name in WAYS if cql.short(name) in body), "")
            if opcode == cql.OPTIONS:
                wire.write(supported(stream, version))
            elif opcode == cql.STARTUP:
                wire.write(cql.answer(cql.READY, stream=stream, version=version))
                wire.begin_segments(version, is_lz4=b"COMPRESSION" in body)
            elif opcode == 11:
                wire.write(cql.answer(cql.READY, stream=stream, version=version))
            else:
                answer = self._answer(opcode, body, stream, version)
                if version < 5 and way:
                    squeezed = WAYS[way][0](answer[9:])
                    answer = answer[:1] + b"\1" + answer[2:5] + cql.long(squeezed)
                wire.write(answer)

    def _answer(self, opcode: int, body: bytes, stream: int, version: int) -> bytes:
        if opcode == cql.PREPARE:
            text = text_of(body)
            number = hashlib.md5(text.encode()).digest()
            self._prepared[number] = text
            return cql.prepared(number, stream, version)
        if opcode == cql.EXECUTE:
            text = self._prepared[body[2:18]]
        elif opcode == cql.BATCH:
            return cql.void(stream, version)
        else:
            text = text_of(body)
        if "system." in text:
            self.system.append(text)
            return one(HOST, stream, version) if "system.local" in text else one(HOST, stream, version, is_there=False)  # fmt: skip
        for begin, answer in self._answers.items():
            if text.startswith(begin):
                return answer(text, stream, version)
        raise AssertionError(text)


class Wire:
    """A connection with and without segments."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._header = 0
        self._buffer = b""

    def begin_segments(self, version: int, *, is_lz4: bool) -> None:
        if version == 5:
            self._header = 5 if is_lz4 else 3

    def read(self, size: int) -> bytes:
        if not self._header:
            return self._line.read(size)
        while len(self._buffer) < size:
            bits = int.from_bytes(self._line.read(self._header + 3)[: self._header], "little")
            payload = self._line.read((bits & 0x1FFFF) + 4)[:-4]
            whole = bits >> 17 & 0x1FFFF if self._header == 5 else 0
            self._buffer += lz4.block.decompress(payload, uncompressed_size=whole) if whole else payload  # fmt: skip
        data, self._buffer = self._buffer[:size], self._buffer[size:]
        return data

    def write(self, data: bytes) -> None:
        if self._header == 3:
            data = cql.segment(data)
        elif self._header == 5:
            packed = lz4.block.compress(data, store_size=False)
            data = cql.lz4_segment(data, packed if len(packed) < len(data) else data)
        self._line.write(data)


def text_of(body: bytes) -> str:
    return body[4 : 4 + int.from_bytes(body[:4], "big")].decode()


def supported(stream: int, version: int) -> bytes:
    body = len(SUPPORTED).to_bytes(2, "big")
    for key, values in SUPPORTED.items():
        body += cql.short(key) + len(values).to_bytes(2, "big") + b"".join(map(cql.short, values))
    return cql.answer(cql.SUPPORTED, body, stream=stream, version=version)


def one(row: Mapping[str, tuple[bytes, bytes]], stream: int, version: int, *, is_there: bool = True) -> bytes:  # fmt: skip
    columns = [cql.column(kind, name) for name, (kind, _) in row.items()]
    body = cql.integer(2) + cql.integer(1) + cql.integer(len(row))
    body += cql.short("system") + cql.short("local") + b"".join(columns)
    body += cql.integer(int(is_there))
    if is_there:
        body += b"".join(cql.long(value) for _, value in row.values())
    return cql.answer(cql.RESULT, body, stream=stream, version=version)
