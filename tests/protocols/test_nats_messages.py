"""NATS' lines, headers and subscriptions."""

from __future__ import annotations

import pytest

from agent.errors import Gap, ProtocolError
from agent.protocols.nats_messages import (
    MAX_HEADER,
    MAX_NAME,
    MAX_PAYLOAD,
    Subscriptions,
    error_of,
    find,
    is_verbose,
    read_end,
    read_headers,
    read_line,
    size_of,
    subject_of,
    wants_tls,
)
from tests.protocols.messages import read_all, three_ways
from tests.wire import holed, whole


def test_lines():
    data = b"PUB a 1\r\nPING\r\n"
    expected = [(b"PUB a 1\r\n", [b"PUB", b"a", b"1"]), (b"PING\r\n", [b"PING"])]
    assert three_ways(lambda: read_line, data) == expected
    assert read_all(read_line, whole(b"\r\n")) == [ProtocolError]
    assert read_all(read_line, whole(b"PING\n")) == [ProtocolError]
    assert read_all(read_line, holed(b"PUB a 1\r\n", 3, 5)) == [Gap]


@pytest.mark.parametrize("digits", [b"", b"-1", b"1x", b"9999999999", b"%d" % (MAX_PAYLOAD + 1)])
def test_sizes_that_are_none(digits):
    with pytest.raises(ProtocolError):
        size_of(digits)


def test_sizes():
    assert [size_of(b"0"), size_of(b"%d" % MAX_PAYLOAD)] == [0, MAX_PAYLOAD]


def test_headers():
    def reader(stream):
        return read_headers(stream, len(head))

    head = b"NATS/1.0 503 No Responders\r\nTraceParent:  00-a \r\nother: x\r\n\r\n"
    assert three_ways(lambda: reader, head) == [(503, {"traceparent": "00-a"}, True)]
    assert read_all(reader, holed(head, 30, 40))[0][2] is False
    head = b"NATS/1.0\r\n" + b"a: b\r\n" * MAX_HEADER
    assert read_all(reader, whole(head)) == [(0, None, True)]


def test_ends_of_payloads():
    def reader(stream):
        return read_end(stream, 2)

    assert three_ways(lambda: reader, b"ab\r\n") == [None]
    assert read_all(reader, holed(b"ab\r\n", 1, 4)) == [None]
    assert read_all(reader, whole(b"abcd\r\n")) == [ProtocolError]


@pytest.mark.parametrize(
    ("line", "error", "subject"),
    [
        (b"-ERR 'Permissions Violation for Publish to \"a.b\"'\r\n", "permissions_violation", b"a.b"),
        (b"-ERR 'Permissions Violation for Subscription to \"a\"'\r\n", "permissions_violation", None),
        (b"-ERR 'Maximum Payload Violation'\r\n", "maximum_payload_violation", b""),
        (b"-ERR 'Secure Connection - TLS Required'\r\n", "secure_connection_tls_required", None),
        (b"-ERR 'hunter2'\r\n", "_OTHER", None),
    ],
)  # fmt: skip
def test_errors(line, error, subject):
    assert (error_of(line), subject_of(line)) == (error, subject)


def test_what_is_looked_at_in_json():
    assert is_verbose(b'CONNECT {"pass":"x","verbose" : true}')
    assert not is_verbose(b'CONNECT {"verbose":false}')
    assert wants_tls(b'INFO {"tls_required":true}')
    assert not wants_tls(b'INFO {"tls_available":true}')


def test_the_next_line_after_a_gap():
    assert find(b"ter2\r\nPUB a 1\r\nx\r\n", is_server=False) == 6
    assert find(b"PUB a 1\r\n", is_server=False) == 0
    assert find(b"xPUB a 1\r\n", is_server=False) == -1
    assert find(b"r2\r\nMSG a 1 1\r\n", is_server=False) == -1
    assert find(b"r2\r\nMSG a 1 1\r\n", is_server=True) == 4
    assert find(b"r2\r\nPING\r\n", is_server=True) == 4


def test_subscriptions():
    known = Subscriptions()
    known.add(b"1", b"_INBOX.a.*", b"")
    known.add(b"2", b"orders.>", b"workers")
    known.add(b"3", b"exact.one", b"")
    heard = {
        subject: known.hears(subject)
        for subject in (b"_INBOX.a.7", b"_INBOX.a.7.8", b"_INBOX.b.7", b"orders", b"orders.a.b", b"exact.one", b"exact")
    }  # fmt: skip
    assert [subject for subject, is_heard in heard.items() if is_heard] == [
        b"_INBOX.a.7",
        b"orders.a.b",
        b"exact.one",
    ]
    assert (known.queue(b"2"), known.queue(b"9")) == (b"workers", b"")
    for sid in (b"1", b"2", b"3", b"9"):
        known.remove(sid)
    assert not any(known.hears(subject) for subject in heard)


def test_subscriptions_are_bounded():
    known = Subscriptions()
    for number in range(2 * Subscriptions.MAX):
        known.add(b"%d" % number, b"a.%d.*" % number, b"q")
    assert known.queue(b"%d" % (Subscriptions.MAX - 1)) == b"q"
    assert known.queue(b"%d" % Subscriptions.MAX) == b""
    assert known.hears(b"a.1.x")
    known = Subscriptions()
    known.add(b"1", b"a" * 2 * MAX_NAME, b"")
    assert not known.hears(b"a" * 2 * MAX_NAME)
    known = Subscriptions()
    for number in range(Subscriptions.MAX_PATTERNS + 1):
        known.add(b"%d" % number, b"a.%d.*" % number, b"q")
    assert not known.hears(b"a.%d.x" % Subscriptions.MAX_PATTERNS)
