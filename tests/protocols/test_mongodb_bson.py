"""BSON: fields, what is missing, and shapes without values."""

from __future__ import annotations

import bson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import ProtocolError
from agent.protocols import mongodb_bson as ours
from tests.protocols import mongodb_bytes as mongo

ALL = {
    "double": 1.5, "string": "x", "document": {"a": 1}, "array": [1, 2], "binary": b"xy", "oid": bson.ObjectId(),
    "true": True, "date": bson.DatetimeMS(5), "null": None, "regex": bson.Regex("a.*", "i"),
    "dbref": bson.DBRef("c", bson.ObjectId()), "code": bson.Code("f()"), "scope": bson.Code("f()", {"a": 1}),
    "int": 5, "timestamp": bson.Timestamp(1, 2), "long": 1 << 40, "decimal": bson.Decimal128("1.5"),
    "min": bson.MinKey(), "max": bson.MaxKey(),
}  # fmt: skip
"""Every type that the library writes."""


def test_every_type_is_walked_over():
    found = ours.document(bson.encode(ALL))
    assert [each.name.decode() for each in found.fields] == list(ALL)
    assert found.is_whole


def test_values():
    data = bson.encode(ALL)
    said = ours.document(data)
    for name, value in (("double", 1.5), ("int", 5), ("long", 1 << 40), ("true", 1)):
        assert ours.number(data, said.get(name.encode())) == value
    assert ours.number(data, said.get(b"string")) is None
    assert ours.number(data, said.get(b"nothing")) is None
    assert ours.string(data, said.get(b"string"), 10) == b"x"
    assert ours.string(data, said.get(b"int"), 10) == b""


def test_every_prefix_gives_the_first_fields():
    data = bson.encode(ALL)
    names = [name.encode() for name in ALL]
    for size in range(len(data)):
        found = ours.document(data[:size])
        assert not found.is_whole
        assert [each.name for each in found.fields] == names[: len(found.fields)]
        # Of a field that is cut nothing is told.
        last = found.fields[-1] if found.fields else None
        if last is not None and last.stop > size:
            assert ours.number(data[:size], last) is None
            assert ours.string(data[:size], last, 10) == b""


def test_shapes_have_no_values():
    data = bson.encode({"a": ALL, "user:77": [1, "x", {"b": 1}, {"b": 2}], 'q"\\': 1})
    assert ours.shape_of(data, ours.document(data).fields) == (
        '{"a": {"double": "?", "string": "?", "document": {"a": "?"}, "array": ["?"], "binary": "?", "oid": "?", '
        '"true": "?", "date": "?", "null": "?", "regex": "?", "dbref": {"$ref": "?", "$id": "?"}, "code": "?", '
        '"scope": "?", "int": "?", "timestamp": "?", "long": "?", "decimal": "?", "min": "?", "max": "?"}, '
        '"user:{id}": ["?", {"b": "?"}], "{id}": "?"}'
    )


def test_shapes_are_bounded():
    deep: dict[str, object] = {"x": 1}
    for _ in range(60):
        deep = {"a": deep}
    data = mongo.bson(deep)
    assert ours.shape_of(data, ours.document(data).fields).count("a") <= ours.MAX_DEPTH + 1
    wide = mongo.bson({"a": {"x" * n: n for n in range(1, 20)} | {str(n): n for n in range(90)}})
    (each,) = ours.document(wide).fields
    assert ours.shape(wide, each).count("?") == ours.MAX_SHOWN


@pytest.mark.parametrize(
    "data",
    [
        b"\x04\0\0\0",
        b"\xff\xff\xff\xff",
        b"\x06\0\0\0\0\0",
        b"\x08\0\0\0\x10ab\0",
        b"\x0c\0\0\0\x99a\0\1\0\0\0\0",
        b"\x0c\0\0\0\x02a\0\xff\xff\xff\xff\0",
        b"\x0c\0\0\0\x02a\0\x7f\0\0\0\0",
    ],
)
def test_what_cannot_be(data):
    with pytest.raises(ProtocolError):
        ours.document(data)


@given(st.data())
def test_damage_raises_protocol_errors_only(data):
    raw = bytearray(bson.encode({"a": ALL, "b": [ALL]}))
    for _ in range(data.draw(st.integers(1, 6))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    try:
        said = ours.document(bytes(raw))
        ours.shape_of(bytes(raw), said.fields)
    except ProtocolError:
        pass
