"""The demo, seen from the host: boot a guest, run the scene in it, leave nothing behind.

python -m demo [--kernel 6.12] [--no-faults] [--stay]
"""

from __future__ import annotations

import argparse
import compileall
import signal
import socket
import sys
import tempfile
import time
from pathlib import Path

from demo.build import build
from deploy.guest import CHECKOUT, SERIES, Guest, GuestError, Machine, port_to

DEADLINE_S = 900.0
PAGE_PORT = 4320
"""Of the page, in the guest and, where it is free, here."""


def page_port() -> int:
    """A port of this machine that is free: the page's own, or any."""
    for port in (PAGE_PORT, 0):
        with socket.socket() as found:
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                found.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(found.getsockname()[1])
    raise GuestError("no port is free")


def main() -> int:
    """Give the scene's exit status; 130 after Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m demo", description=__doc__)
    parser.add_argument("--kernel", choices=SERIES, default=SERIES[0])
    parser.add_argument("--no-faults", action="store_true", help="a shop that is well")
    parser.add_argument("--stay", action="store_true", help="until Ctrl-C, after the story")
    arguments = parser.parse_args()
    series = arguments.kernel
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    for name in ("agent", "demo"):
        compileall.compile_dir(CHECKOUT / name, quiet=1)
    build()
    print(f"Booting a guest with kernel {series}; without KVM this takes about 20 s.", flush=True)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="zerospan-demo-") as scratch:
        port = page_port()
        options = port_to(PAGE_PORT, port)
        machine = Machine(series=series, scratch=Path(scratch), qemu_options=options)
        flags = {
            "--color": sys.stdout.isatty(),
            "--no-faults": arguments.no_faults,
            "--stay": arguments.stay,
        }
        scene = [
            sys.executable,
            "-m",
            "demo.scene",
            *(flag for flag, is_on in flags.items() if is_on),
            *("--page", f"http://127.0.0.1:{port}"),
        ]
        try:
            with Guest(machine, scene, output=sys.stdout.buffer) as guest:
                if not guest.wait(None if arguments.stay else DEADLINE_S):
                    print(f"demo: not over after {DEADLINE_S:.0f} s", file=sys.stderr)
                    return 1
                status = guest.exit_status
        except KeyboardInterrupt:
            print("\ndemo: interrupted; the guest is gone")
            return 130
    print(f"\nThe guest is gone; the demo took {time.monotonic() - began:.0f} s.")
    return status


if __name__ == "__main__":
    try:
        sys.exit(main())
    except GuestError as error:
        sys.exit(f"demo: {error}")
