"""What is not ours: the bank's gateway and a name server. zerospan is told to leave this process alone, as if it were
on other hosts.

While the file of `SILENCE` exists, the name server answers nothing: it is there, takes every query, and is silent, as
one is behind a firewall that drops what it does not like.

    outside.py GATEWAY_ADDRESS RESOLVER_ADDRESS SILENCE
"""

from __future__ import annotations

import socket
import struct
import sys
import threading
from pathlib import Path

from service import Service, serve_at

GATEWAY, RESOLVER, SILENCE = sys.argv[1], sys.argv[2], Path(sys.argv[3])
A, IN, TTL_S = 1, 1, 5
ANSWERED = 0x8180
"""QR, RD, RA (RFC 1035 §4.1.1)."""


class Gateway(Service):
    """Takes any charge."""

    def do_POST(self) -> None:
        self.answer({"charged": self.body()["cents"]})


def answer_to(query: bytes) -> bytes:
    """The gateway's address for a question for IPv4 addresses, no record for another (RFC 1035 §4.1)."""
    end = query.index(b"\0", 12) + 5
    (kind,) = struct.unpack_from("!H", query, end - 4)
    is_known = kind == A
    record = struct.pack("!HHHIH4s", 0xC00C, A, IN, TTL_S, 4, socket.inet_aton(GATEWAY))
    head = query[:2] + struct.pack("!HHHHH", ANSWERED, 1, int(is_known), 0, 0)
    return head + query[12:end] + (record if is_known else b"")


def resolve() -> None:
    """Answer, or be silent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind((RESOLVER, 53))
        while True:
            query, client = server.recvfrom(512)
            if not SILENCE.exists():
                server.sendto(answer_to(query), client)


if __name__ == "__main__":
    threading.Thread(target=resolve, daemon=True).start()
    serve_at((GATEWAY, 80), Gateway)
