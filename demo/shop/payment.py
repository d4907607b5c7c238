"""The shop's third service: POST /payments charges a card at the bank's gateway, which it knows by name.

It resolves the name for every payment and tries three times. The resolver's library waits as /etc/resolv.conf says:
three times three seconds. So where no resolver answers, a payment takes 27 s before it fails.
"""

from __future__ import annotations

import socket
from typing import Any

from service import Client, Service, serve

GATEWAY = "api.gateway.example"
ATTEMPTS = 3

clients: dict[str, Client] = {}


def charge(cents: int) -> dict[str, Any]:
    """One attempt; OSError if the gateway cannot be reached."""
    found = socket.getaddrinfo(GATEWAY, 80, type=socket.SOCK_STREAM)
    address = str(found[0][4][0])
    client = clients.setdefault(address, Client(address, 80))
    status, receipt = client.call("POST", "/charges", {"cents": cents}, host=GATEWAY)
    return {"status": status, "receipt": receipt}


class Payment(Service):
    """See the module's text."""

    def do_POST(self) -> None:
        cents = self.body()["cents"]
        error = ""
        for _ in range(ATTEMPTS):
            try:
                self.answer(charge(cents))
                return
            except OSError as failure:
                error = str(failure)
        self.answer({"error": error}, 503)


if __name__ == "__main__":
    serve(8003, Payment)
