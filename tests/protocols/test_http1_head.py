"""Heads of HTTP/1 messages, by the grammar of RFC 9112."""

from __future__ import annotations

import pytest

from agent.errors import Gap, ProtocolError
from agent.protocols import Verdict
from agent.protocols.http1_head import (
    LAST_CHUNK,
    METHODS,
    Framing,
    Head,
    Request,
    Response,
    carrier_of,
    classify_beginning,
    ending_of,
    first_value,
    framing_of,
    parse_chunk_size,
    parse_fields,
    parse_request_line,
    parse_status_line,
)


def head(**fields: bytes) -> Head:
    named = {name.replace("_", "-").encode(): [value] for name, value in fields.items()}
    return Head(named, 100, 100)


def test_methods_are_those_of_the_registry():
    assert len(METHODS) == 40
    assert b"PRI" not in METHODS


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"GET /a HTTP/1.1\r\n", Request("GET", b"/a", "1.1")),
        (b"M-X / HTTP/1.0\n", Request("M-X", b"/", "1.0")),
        (b"GET /a", Request("GET", b"/a", "")),
    ],
)
def test_request_line(line, expected):
    assert parse_request_line(line) == expected


@pytest.mark.parametrize(
    ("line", "error"),
    [(b"GET", Gap), (b"G\xffT / HTTP/1.1\n", ProtocolError), (b"", ProtocolError)],
)
def test_no_request_line(line, error):
    with pytest.raises(ProtocolError) as caught:
        parse_request_line(line)
    assert caught.type is error


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"HTTP/1.1 200 OK\r\n", Response(200, "1.1")),
        (b"HTTP/1.0 404\n", Response(404, "1.0")),
        (b"HTTP/1.1 500", Response(500, "1.1")),
    ],
)
def test_status_line(line, expected):
    assert parse_status_line(line) == expected


@pytest.mark.parametrize(
    ("line", "error"), [(b"HTTP/1.1 50", Gap), (b"HTTP/1.1 050\n", ProtocolError)]
)
def test_no_status_line(line, error):
    with pytest.raises(ProtocolError) as caught:
        parse_status_line(line)
    assert caught.type is error


def test_fields():
    block = b"Host: a\r\nX: y\r\nHOST:b\r\n c\r\nUpgrade\r\nContent-Length : 5\r\n\r\n"
    fields = parse_fields(block, is_crlf=True)
    assert fields == {b"host": [b"a", b"b c"], b"content-length": [b"invalid"]}
    assert (first_value(fields, b"host"), first_value(fields, b"upgrade")) == (b"a", None)
    assert carrier_of(fields) is None
    assert parse_fields(b"Host: a\n b\r\nHost: c\n\n", is_crlf=False) == {b"host": [b"a b", b"c"]}


@pytest.mark.parametrize(
    ("fields", "version", "default", "expected"),
    [
        ({}, "1.1", Framing.NONE, (Framing.NONE, None)),
        ({}, "1.1", Framing.CLOSE, (Framing.CLOSE, None)),
        ({"content_length": b"7"}, "1.1", Framing.CLOSE, (Framing.LENGTH, 7)),
        ({"transfer_encoding": b"a, chunked"}, "1.1", Framing.NONE, (Framing.CHUNKED, None)),
        ({"transfer_encoding": b"chunked"}, "1.0", Framing.NONE, (Framing.UNKNOWN, None)),
        ({"transfer_encoding": b"gzip"}, "1.1", Framing.NONE, (Framing.UNKNOWN, None)),
        ({"transfer_encoding": b"gzip"}, "1.1", Framing.CLOSE, (Framing.CLOSE, None)),
        ({"transfer_encoding": b"chunked, gzip"}, "1.1", Framing.CLOSE, (Framing.UNKNOWN, None)),
    ],
)
def test_framing(fields, version, default, expected):
    assert framing_of(head(**fields), version, default) == expected


def test_framing_of_a_cut_head_is_unknown():
    cut = Head({b"content-length": [b"7"]}, 100, None)
    assert framing_of(cut, "1.1", Framing.NONE) == (Framing.UNKNOWN, 7)


def test_ending():
    assert ending_of(head(transfer_encoding=b"gzip, Chunked")) == LAST_CHUNK
    assert ending_of(head()) == b""


@pytest.mark.parametrize(
    ("line", "size"), [(b"0\n", 0), (b"fF\r\n", 255), (b'1 \t;a="b"\r\n', 1), (b"00a\r\n", 10)]
)
def test_chunk_size(line, size):
    assert parse_chunk_size(line) == size


@pytest.mark.parametrize("line", [b"\r\n", b"g\r\n", b"1" * 16 + b"\n", b"0x1\n", b"1 2\n"])
def test_no_chunk_size(line):
    with pytest.raises(ProtocolError):
        parse_chunk_size(line)


@pytest.mark.parametrize(
    ("line", "verdict"),
    [
        (b"HTTP/1.", Verdict.MORE),
        (b"HTTP/1.1 404", Verdict.MORE),
        (b"HTTP/1.1 404 N", Verdict.RESPONSE),
        (b"HTTP/1.1 4O4", Verdict.NO),
        (b"POS", Verdict.MORE),
        (b"POST /x HTT", Verdict.MORE),
        (b"POST /x FTP", Verdict.NO),
        (b"POST \x01", Verdict.NO),
        (b"POSTS", Verdict.NO),
    ],
)
def test_beginning(line, verdict):
    assert classify_beginning(line) is verdict
