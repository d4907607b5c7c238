"""A throw-away virtual machine: a stock Debian kernel in QEMU, with this machine's files as its read-only root.

The guest is a process. It sees every file of the host, can write only to its own memory and to one scratch directory,
has no network but loopback unless it is given some, and is gone when its process is. No KVM is needed; without it everything in the guest runs
10 to 20 times slower than on the host, so deadlines are generous.

    python -m deploy.guest 6.1 -- uname -r          one command in a guest
    python -m deploy.guest 6.12 --scratch DIR -- …  the same, with a directory that both sides can write
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

CHECKOUT: Final = Path(__file__).resolve().parent.parent
INIT: Final = CHECKOUT / "deploy" / "guest-init.sh"
SERIES: Final = ("6.1", "6.12")
"""The oldest and the newest kernel series that we support."""

COUNTING: Final = ("-icount", "shift=0,sleep=off")
"""QEMU options that make the guest's clock count executed instructions, 1 ns each; for one CPU only."""

HOST_FILES: Final = (
    *("-fsdev", "local,id=host,path=/,security_model=none,readonly=on,multidevs=remap"),
    *("-device", "virtio-9p-pci,fsdev=host,mount_tag=host"),
)
"""The host's files once more: guest-init.sh mounts them with a cache, which the guest's root has not."""

GUEST_ADDRESS: Final = "10.0.2.15"
"""Of the card that `port_to` adds; QEMU's user network expects it there (https://www.qemu.org/docs/master/system/devices/net.html)."""


def port_to(guest_port: int, port: int) -> tuple[str, ...]:
    """QEMU's options by which a loopback port of this machine leads to one of the guest; nothing leads out of it."""
    forward = f"hostfwd=tcp:127.0.0.1:{port}-{GUEST_ADDRESS}:{guest_port}"
    return (
        *("-netdev", f"user,id=page,restrict=on,{forward}"),
        *("-device", "virtio-net-pci,netdev=page"),
    )


LAST_OUTPUT_S: Final = 5.0
"""How long the last output may take after the end of the guest."""


class GuestError(Exception):
    """There is no guest: its kernel is not here, or it did not come up."""


def find_kernel(series: str) -> Path:
    """Give the newest kernel image of a series such as "6.1", installed or unpacked by setup.sh."""
    pattern = f"boot/vmlinuz-{series}.*"
    found = [*Path("/").glob(pattern), *(CHECKOUT / ".cache" / "kernels" / series).glob(pattern)]
    if not found:
        raise GuestError(f"no kernel image of series {series}; run deploy/setup.sh test")
    return max(found, key=lambda path: [int(n) for n in re.findall(r"\d+", path.name)])


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What the guest is made of."""

    series: str
    scratch: Path
    """Directory that the guest may write."""
    cpus: int = 2
    memory: str = "2G"
    qemu_options: tuple[str, ...] = ()

    def command(self) -> list[str]:
        """Give the command that boots this machine and runs INIT in it."""
        qemu_options = shlex.join((*HOST_FILES, *self.qemu_options))
        return [
            *(sys.executable, str(Path(sys.executable).with_name("vng"))),
            *("--run", str(find_kernel(self.series)), "--disable-kvm", "--force-9p"),
            *("--cpus", str(self.cpus), "--memory", self.memory),
            *("--rwdir", str(self.scratch), "--cwd", str(CHECKOUT)),
            f"--qemu-opts={qemu_options}",
            *("--", shlex.join([str(INIT), str(self.scratch)])),
        ]


class Guest:
    """A running guest and the one command in it; use it as a context manager, so that it ends in every case."""

    def __init__(self, machine: Machine, argv: list[str], *, output: IO[bytes]) -> None:
        """Boot. `output` gets what the command prints."""
        self.machine = machine
        self._status = machine.scratch / "status"
        self._status.unlink(missing_ok=True)
        # By a file: what virtme-ng is told to run becomes part of the kernel's command line, which ends after 2 KB.
        (machine.scratch / "command").write_text(shlex.join(argv) + "\n")
        bin_directory = Path(sys.executable).parent
        path = f"{bin_directory}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        self._process = subprocess.Popen(
            machine.command(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=CHECKOUT,
            env={**os.environ, "PATH": path},
            start_new_session=True,
        )
        # Not `stdout=output`: QEMU opens /proc/self/fd/1 anew, and so would truncate a file that output goes to.
        self._copying = threading.Thread(target=self._copy, args=(output,), daemon=True)
        self._copying.start()

    def _copy(self, output: IO[bytes]) -> None:
        assert self._process.stdout is not None
        while data := os.read(self._process.stdout.fileno(), 65536):
            output.write(data)
            output.flush()

    @property
    def is_running(self) -> bool:
        """Whether the guest is up, or still booting."""
        return self._process.poll() is None

    def wait(self, timeout_s: float | None) -> bool:
        """Wait for the end of the guest, for ever with None; tell whether it came."""
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return False
        self._copying.join(LAST_OUTPUT_S)
        return True

    @property
    def exit_status(self) -> int:
        """The command's exit status; 255 if the guest ended without the command having ended."""
        try:
            return int(self._status.read_text())
        except (FileNotFoundError, ValueError):
            return 255

    def stop(self) -> None:
        """End the guest now: QEMU and what started it are one process group."""
        self._kill()
        if self._process.stdout is not None:
            self._copying.join(LAST_OUTPUT_S)
            self._process.stdout.close()

    def _kill(self) -> None:
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)
            if self.wait(5):
                break
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def __enter__(self) -> Guest:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.stop()


def main() -> int:
    """Run one command in a guest; give its exit status."""
    parser = argparse.ArgumentParser(prog="python -m deploy.guest", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("series", choices=SERIES, help="kernel series")
    parser.add_argument("--scratch", type=Path, help="directory that the guest may write")
    parser.add_argument("--memory", default="2G")
    parser.add_argument("--cpus", type=int, default=2)
    parser.add_argument("--counting", action="store_true", help="one CPU, clock in instructions")
    parser.add_argument("--timeout", type=float, default=3600, help="seconds")
    parser.add_argument("command", nargs="+")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with contextlib.ExitStack() as stack:
        scratch = arguments.scratch or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        scratch.mkdir(parents=True, exist_ok=True)
        machine = Machine(
            series=arguments.series,
            scratch=scratch.resolve(),
            cpus=1 if arguments.counting else arguments.cpus,
            memory=arguments.memory,
            qemu_options=COUNTING if arguments.counting else (),
        )
        guest = stack.enter_context(Guest(machine, arguments.command, output=sys.stdout.buffer))
        try:
            guest.wait(arguments.timeout)
        except KeyboardInterrupt:
            return 130
        return guest.exit_status


if __name__ == "__main__":
    try:
        sys.exit(main())
    except GuestError as error:
        sys.exit(f"guest: {error}")
