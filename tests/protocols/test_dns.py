"""DNS messages (RFC 1035), in datagrams and over TCP."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.protocols import MAX_CLASSIFY, Datagram, Role, Verdict, load_all
from agent.protocols.dns import MAX_ANSWERS, Dns, Message, parse
from agent.protocols.pairing import Exchange, Failure
from tests.scenario import packed
from tests.wire import Result, Sample, read, three_ways


def name(text: str) -> bytes:
    """Labels, each with its size."""
    labels = [label.encode() for label in text.split(".") if label]
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


def query(
    text: str = "www.example.com", kind: int = 1, *, number: int = 7, extra: int = 0
) -> bytes:
    """A query as resolvers send it: recursion desired; `extra` empty additional records follow."""
    opt = b"\0" + struct.pack("!HHIH", 41, 1232, 0, 0)
    head = struct.pack("!HHHHHH", number, 0x0100, 1, 0, 0, extra)
    return head + name(text) + struct.pack("!HH", kind, 1) + opt * extra


def record(kind: int, data: bytes, owner: bytes = b"\xc0\x0c") -> bytes:
    """A resource record; its owner is the question's name."""
    return owner + struct.pack("!HHIH", kind, 1, 300, len(data)) + data


def answer(
    text: str = "www.example.com",
    kind: int = 1,
    *records: bytes,
    number: int = 7,
    code: int = 0,
    flags: int = 0x8180,
) -> bytes:
    """An answer to `query`."""
    head = struct.pack("!HHHHHH", number, flags | code, 1, len(records), 0, 0)
    return head + name(text) + struct.pack("!HH", kind, 1) + b"".join(records)


def framed(message: bytes) -> bytes:
    """RFC 1035 §4.2.2: over TCP its size comes first."""
    return len(message).to_bytes(2, "big") + message


def parsed(data: bytes) -> Message:
    """What must be a message."""
    message = parse(data)
    assert message is not None
    return message


SAMPLES = [
    Sample(
        requests=(framed(query()), framed(query("shop.example", 28, extra=1))),
        responses=(
            framed(answer("www.example.com", 1, record(1, bytes([10, 0, 0, 1])))),
            framed(
                answer("shop.example", 28, record(28, bytes(15) + b"\1"), record(28, bytes(16)))
            ),
        ),
    )
]


class TestMessages:
    def test_a_query(self):
        assert parsed(query()) == Message(7, "www.example.com", "A")
        assert parsed(query(kind=28, extra=1)) == Message(7, "www.example.com", "AAAA")

    def test_names_differ_in_case_only_for_machines(self):
        assert parsed(query("wWw.EXAMPLE.com")).key == parsed(query()).key

    def test_the_root(self):
        assert parsed(query("", 2)).name == "."

    def test_addresses_and_names_of_an_answer(self):
        data = answer(
            "a.example",
            1,
            record(5, name("b.example")),
            record(1, bytes([10, 1, 2, 3]), owner=name("b.example")),
            record(28, bytes(15) + b"\1"),
            record(16, b"\3txt"),
        )
        message = parsed(data)
        assert message.answers == ("b.example", "10.1.2.3", "::1")
        assert message.is_answer

    def test_answers_are_bounded(self):
        message = parsed(answer("a.example", 1, *[record(1, bytes(4))] * 50))
        assert len(message.answers) == MAX_ANSWERS

    def test_an_answer_that_was_captured_in_part_gives_what_there_is(self):
        data = answer("a.example", 1, *[record(1, bytes([10, 0, 0, n])) for n in range(5)])
        assert parsed(data[:-20]).answers == ("10.0.0.0", "10.0.0.1", "10.0.0.2")

    def test_response_codes_and_truncation(self):
        assert parsed(answer(code=3)).code == 3
        assert parsed(answer(flags=0x8380)).is_short

    def test_bytes_that_are_no_letters_are_written_out(self):
        data = query("x").replace(b"\1x", b"\4a.\xff\n")
        assert parsed(data).name == "a\\046\\255\\010"

    @pytest.mark.parametrize(
        "data",
        [
            b"",
            query()[:16],
            query()[:-1],
            struct.pack("!HHHHHH", 7, 0x0100, 2, 0, 0, 0) + query()[12:],
            struct.pack("!HHHHHH", 7, 0x2800, 1, 0, 0, 0) + query()[12:],
            struct.pack("!HHHHHH", 7, 0x0100, 1, 1, 0, 0) + query()[12:],
            struct.pack("!HHHHHH", 7, 0x0103, 1, 0, 0, 0) + query()[12:],
            query(kind=0),
            query(kind=4711),
            query()[:-2] + b"\x80\x01",
            query()[:12] + b"\xc0\x0c" + query()[-4:],
            query()[:12] + b"\x41a" + query()[-4:],
        ],
    )
    def test_what_is_none(self, data):
        assert parse(data) is None

    @given(st.binary(max_size=600))
    def test_bytes_from_anywhere(self, data):
        parse(data)
        parse(query()[:12] + data)
        parse(answer("a.example", 1, *[b"\xc0\x0c"] * 9)[:-18] + data)


def datagram(data: bytes) -> Datagram:
    found = Dns.datagram(data)
    assert found is not None
    return found


class TestDatagrams:
    def test_a_query_and_its_answer_have_a_key_in_common(self):
        asked, answered = datagram(query()), datagram(answer())
        assert (asked.is_answer, answered.is_answer) == (False, True)
        assert asked.key == answered.key
        assert datagram(query(number=8)).key != asked.key

    def test_multicast_dns_is_another_protocol(self):
        assert Dns.datagram(query(number=0)) is None
        assert Dns.datagram(query()[:-2] + b"\x80\x01") is None


class TestClassify:
    @pytest.mark.parametrize(
        "data", [framed(query()), framed(query(extra=1)), framed(query("x" * 63))]
    )
    def test_whole_queries(self, data):
        assert Dns.classify(data) is Verdict.REQUEST
        for size in range(min(len(data), 60)):
            assert Dns.classify(data[:size]) in (Verdict.MORE, Verdict.REQUEST)

    def test_a_name_that_is_longer_than_what_decides(self):
        data = framed(query(".".join(["a" * 50] * 4)))
        assert Dns.classify(data[:MAX_CLASSIFY]) is Verdict.REQUEST
        assert Dns.classify(data[: MAX_CLASSIFY - 1]) is Verdict.MORE

    def test_an_answer(self):
        assert Dns.classify(framed(answer())) is Verdict.RESPONSE

    @pytest.mark.parametrize(
        "data",
        [
            b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(40),
            b"SSH-2.0-OpenSSH_9.2\r\n",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            b"*1\r\n$4\r\nPING\r\n",
            bytes(64),
            b"\0\4abcd",
        ],
    )
    def test_other_traffic(self, data):
        assert Dns.classify(data) is Verdict.NO

    def test_no_other_protocol_claims_it(self):
        for data in (framed(query()), framed(answer()), framed(query(kind=28, extra=1))):
            for protocol in load_all().values():
                assert protocol is Dns or protocol.classify(data[:64]) is Verdict.NO


class TestTcp:
    def test_queries_in_any_pieces(self):
        for pieces in three_ways(framed(query()) + framed(query("b.example", number=8))):
            result = read(Dns(), "request", pieces)
            assert result == Result(
                (Message(7, "www.example.com", "A"), Message(8, "b.example", "A"))
            )

    def test_an_answer_in_any_pieces(self):
        data = framed(answer("a.example", 1, record(1, bytes([10, 0, 0, 1]))))
        asked = Message(7, "a.example", "A")
        for pieces in three_ways(data):
            result = read(Dns(), "response", pieces, answering=[asked])
            assert [message.answers for message in result.messages] == [("10.0.0.1",)]

    def test_an_answer_to_another_query_is_refused(self):
        result = read(
            Dns(), "response", next(three_ways(framed(answer()))), answering=[Message(8, "x", "A")]
        )
        assert result.error is not None

    @given(st.binary(max_size=200))
    def test_bytes_from_anywhere(self, data):
        for pieces in three_ways(data):
            read(Dns(), "request", pieces)
            read(Dns(), "response", pieces)


class Connection:
    remote_address, remote_port = packed("10.0.0.53"), 53
    local_address, local_port = packed("0.0.0.0"), 40000


def described(role: Role, response: Message | None, failure: Failure | None = None):
    exchange = Exchange(Dns, role, Message(7, "shop.example", "A"), 1)
    exchange.connection, exchange.response, exchange.failure = Connection, response, failure
    description = Dns.describe(exchange)
    return description, {k: v for block in description.attributes for k, v in block.items}


class TestDescribe:
    def test_an_answer(self):
        answered = Message(7, "shop.example", "A", answers=("10.1.2.3",), is_answer=True)
        description, told = described(Role.CLIENT, answered)
        assert (description.name, description.error_type) == ("DNS A", None)
        assert told == {
            "network.protocol.name": "dns",
            "dns.question.name": "shop.example",
            "zerospan.dns.question.type": "A",
            "server.address": "10.0.0.53",
            "server.port": 53,
            "dns.answers": ("10.1.2.3",),
        }

    @pytest.mark.parametrize(("code", "error"), [(2, "SERVFAIL"), (3, "NXDOMAIN"), (15, "RCODE15")])
    def test_codes_are_errors(self, code, error):
        assert described(Role.CLIENT, Message(7, "x", "A", code))[0].error_type == error

    def test_no_answer(self):
        description, _ = described(Role.CLIENT, None, Failure.TIMEOUT)
        assert description.error_type == "EAI_AGAIN"
        assert description.status_message == "the resolver did not answer"
        assert described(Role.CLIENT, None, Failure.AGENT_EXIT)[0].error_type is None
        assert (
            described(Role.CLIENT, None, Failure.CLOSED_LOCALLY)[0].error_type
            == "connection_closed"
        )

    def test_a_server_that_is_bound_to_no_address_names_its_port(self):
        _, told = described(Role.SERVER, None)
        assert "server.address" not in told
        assert told["server.port"] == 40000

    def test_truncation_is_told(self):
        _, told = described(Role.CLIENT, Message(7, "x", "A", is_short=True))
        assert told["zerospan.dns.truncated"] is True
