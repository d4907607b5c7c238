"""Two guests that share a wire, each with a zerospan: what they left when both are done."""

from __future__ import annotations

import compileall
import contextlib
import json
import socket
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from deploy.guest import CHECKOUT, Guest, GuestError, Machine
from tests.vm.harness_spans import ExportedSpan, load_spans
from tests.vm.servers.build import build

HOSTS: Final = {"back": "6.1", "front": "6.12"}
"""Side and kernel."""
MEETING_S: Final = 900.0
"""Two guests at once, on a busy machine without KVM."""


@dataclass(frozen=True, slots=True)
class Host:
    """What one of them left."""

    report: dict[str, Any]
    spans: list[ExportedSpan]


def _free_udp_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wire(number: int, mine: int, other: int) -> tuple[str, ...]:
    """QEMU's options for one end of the wire: frames travel in datagrams on this machine's loopback."""
    return (
        "-netdev",
        f"dgram,id=wire,local.type=inet,local.host=127.0.0.1,local.port={mine},"
        f"remote.type=inet,remote.host=127.0.0.1,remote.port={other}",
        "-device",
        f"virtio-net-pci,netdev=wire,mac=52:54:00:00:00:{number:02x}",
    )


def run_hosts(scratch: Path) -> dict[str, Host]:
    """Boot both, wait for both; raises GuestError with what they printed if one of them failed."""
    build()
    for directory in ("agent", "probes", "tests/vm"):
        compileall.compile_dir(CHECKOUT / directory, quiet=1)
    ports = [_free_udp_port(), _free_udp_port()]
    with contextlib.ExitStack() as stack:
        guests = {}
        for number, (side, series) in enumerate(HOSTS.items()):
            place = scratch / side
            place.mkdir()
            output = stack.enter_context((place / "console").open("wb"))
            machine = Machine(
                series=series,
                scratch=place,
                qemu_options=_wire(number + 1, ports[number], ports[1 - number]),
            )
            words = [sys.executable, "-m", "tests.vm.hosts.inside", side, str(place)]
            guests[side] = stack.enter_context(Guest(machine, words, output=output))
        end = time.monotonic() + MEETING_S
        for side, guest in guests.items():
            while not guest.wait(1.0):
                failed = [one for one, other in guests.items() if _has_failed(other)]
                if failed or time.monotonic() > end:
                    raise GuestError(_told(scratch, failed or [side]))
            if guest.exit_status:
                raise GuestError(_told(scratch, [side]))
    return {
        side: Host(
            json.loads((scratch / side / "report.json").read_text()),
            [
                span
                for exported in sorted((scratch / side).glob("spans-*.jsonl"))
                for span in load_spans(exported)
            ],
        )
        for side in HOSTS
    }


def _has_failed(guest: Guest) -> bool:
    return not guest.is_running and guest.exit_status != 0


def _told(scratch: Path, sides: list[str]) -> str:
    texts = [
        f"{side}: {(scratch / side / 'console').read_text(errors='replace')[-4000:]}"
        for side in sides
    ]
    return "\n".join(["a host failed, or took too long", *texts])
