"""Bytes that are of no protocol here, or of another one: claimed by none wrongly, wherever they are cut."""

from __future__ import annotations

import importlib
import random

import pytest

from agent.protocols import MAX_CLASSIFY, Verdict, load_all

PROTOCOLS = sorted(load_all().items())

CLIENT_HELLO = bytes.fromhex("1603010200010001fc0303") + bytes(range(0x20, 0x60)) * 3
OTHERS = {
    "tls 1.3": CLIENT_HELLO,
    "tls, server": bytes.fromhex("160303007a020000760303") + bytes(range(0x80, 0xC0)),
    "tls, data": bytes.fromhex("1703030040") + bytes(range(0x40, 0x80)),
    "sslv2": bytes.fromhex("802e0100020015000000100100800200800300800400800500800600400700c0")
    + bytes(32),
    "ssh": b"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n" + bytes(40),
    "smtp": b"220 mail.example.com ESMTP Postfix (Debian/GNU)\r\n",
    "smtp, client": b"EHLO client.example.com\r\nMAIL FROM:<a@b.example>\r\n",
    "ftp": b"220 (vsFTPd 3.0.3)\r\nUSER anonymous\r\n",
    "pop3": b"+OK Dovecot (Debian) ready.\r\n",
    "imap": b"* OK [CAPABILITY IMAP4rev1 SASL-IR LOGIN-REFERRALS] Dovecot ready.\r\n",
    "http/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes.fromhex("000012040000000000") + bytes(18),
    "http/2, server": bytes.fromhex("000012040000000000000300000064000400100000000600004000")
    + bytes(40),
    "rfb": b"RFB 003.008\n",
    "socks5": bytes.fromhex("050100") + bytes.fromhex("05010001c0a80001") + b"\x00\x50",
    "ldap": bytes.fromhex("300c020101600702010304008000") + bytes(50),
    "rdp": bytes.fromhex("0300002b26e00000000000") + b"Cookie: mstshash=user\r\n" + bytes(8),
    "smb": bytes.fromhex("00000054ff534d4272000000001801280000000000000000000000000000")
    + bytes(40),
    "smb2": bytes.fromhex("000000e4fe534d4240000100") + bytes(100),
    "bittorrent": b"\x13BitTorrent protocol" + bytes(8) + bytes(range(40)),
    "x11": b"l\0\x0b\0\0\0\x12\0\x10\0\0\0MIT-MAGIC-COOKIE-1" + bytes(30),
    "thrift": bytes.fromhex("0000002d80010001000000047069") + b"ng" + bytes(40),
    "tds": bytes.fromhex("1201002f0000010000001a00060100200001020021000103002200040400260001ff"),
    "oracle": bytes.fromhex("00c30000010000000139012c0c4120") + bytes(60),
    "zookeeper": bytes.fromhex("0000002d000000000000000000000000000075300000000000000000")
    + bytes(30),
    "gzip": bytes.fromhex("1f8b0800000000000003") + bytes(range(100, 160)),
    "elf": b"\x7fELF\x02\x01\x01" + bytes(60),
    "text": b"The quick brown fox jumps over the lazy dog, again and again and again.\n",
    "json": b'{"jsonrpc": "2.0", "method": "initialize", "params": {"a": 1}, "id": 1}\n',
    "zeros": bytes(80),
    "ones": b"\xff" * 80,
    "line feeds": b"\n" * 80,
}
CLAIMS = (Verdict.REQUEST, Verdict.RESPONSE, Verdict.GREETING)


def claims(head: bytes) -> list[str]:
    return [name for name, protocol in PROTOCOLS if protocol.classify(head) in CLAIMS]


@pytest.mark.parametrize("name", OTHERS)
def test_other_traffic_is_claimed_by_none_wherever_it_is_cut(name):
    data = OTHERS[name]
    for size in range(len(data) + 1):
        assert claims(data[:size]) == [], size
    # In the middle of a connection as well.
    for start in range(1, len(data)):
        assert len(claims(data[start : start + MAX_CLASSIFY])) <= 1


@pytest.mark.parametrize("name", [name for name, _ in PROTOCOLS])
def test_a_head_that_is_cut_is_claimed_by_its_own_protocol_only(name):
    samples = importlib.import_module(f"tests.protocols.test_{name}").SAMPLES
    for sample in samples:
        for message in (*sample.requests, *sample.responses):
            for size in range(min(len(message), 2 * MAX_CLASSIFY) + 1):
                assert set(claims(message[:size])) <= {name}, message[:size]


def test_random_bytes_are_claimed_by_none():
    rng = random.Random(1)
    for _ in range(4000):
        head = rng.randbytes(MAX_CLASSIFY)
        assert claims(head) == []
