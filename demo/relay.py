"""The way from the machine that runs the guest to the page in it.

QEMU passes connections to a port of that machine on to the guest's network card (deploy/guest.py, `port_to`); the page listens
on the guest's loopback address alone, as everywhere. So this program takes what arrives at the card, and passes it on.

    python -m demo.relay PORT
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Final

from deploy.guest import GUEST_ADDRESS

CHUNK: Final = 65536


def configure() -> None:
    """Give the card its address."""
    (name,) = (path.name for path in Path("/sys/class/net").iterdir() if path.name != "lo")
    for words in (
        ("address", "add", f"{GUEST_ADDRESS}/24", "dev", name),
        ("link", "set", name, "up"),
    ):
        subprocess.run(["ip", *words], check=True)


def serve(address: str, port: int) -> None:
    """Pass every connection on to the same port of the loopback address, for ever."""
    with socket.create_server((address, port)) as listening:
        while True:
            near, _ = listening.accept()
            threading.Thread(target=join, args=(near, port), daemon=True).start()


def join(near: socket.socket, port: int) -> None:
    """Copy both ways until both are over."""
    with near, contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)) as far:
        back = threading.Thread(target=copy, args=(far, near), daemon=True)
        back.start()
        copy(near, far)
        back.join()


def copy(source: socket.socket, target: socket.socket) -> None:
    """Until the source's end, which becomes the target's."""
    with contextlib.suppress(OSError):
        while data := source.recv(CHUNK):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


if __name__ == "__main__":
    configure()
    serve(GUEST_ADDRESS, int(sys.argv[1]))
