"""Real brokers and clients, natively: a proxy between them notes what they say, and the pipeline reads it.

with broker("nats-server", "-a", "127.0.0.1", "-p", PORT) as port, Recorder(port) as recorder:
    ...                               # a client talks to recorder.port
run = recorder.play(is_server=False)  # what a zerospan at the client's end would have made of it
"""

from __future__ import annotations

import os
import selectors
import socket
import subprocess
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.scenario import Host, Run, Socket, play

PORT = "{port}"
"""In a broker's words: its port."""


RABBITMQ = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
"""What the packaged script starts after it has become the user `rabbitmq`."""


def rabbitmq(directory: Path) -> dict[str, str]:
    """The environment of a node of its own, whose files are in `directory`."""
    (directory / "plugins").write_text("[].\n")
    return {
        **os.environ,
        "HOME": str(directory),
        "RABBITMQ_NODENAME": f"{directory.name}-{os.getpid()}@localhost",
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODE_PORT": PORT,
        "RABBITMQ_DIST_PORT": str(free_port()),
        "RABBITMQ_MNESIA_BASE": str(directory / "mnesia"),
        "RABBITMQ_LOG_BASE": str(directory / "log"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(directory / "plugins"),
        "RABBITMQ_PID_FILE": str(directory / "pid"),
    }


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


@contextmanager
def broker(
    *words: str | Path,
    deadline_s: float = 60,
    files: Mapping[Path, str] | None = None,
    env: Mapping[str, str] | None = None,
) -> Iterator[int]:
    """A broker that accepts connections at the port that this gives. `files` are its settings, by where they go."""
    port = free_port()
    for path, text in (files or {}).items():
        path.write_text(text.replace(PORT, str(port)))
    command = [str(word).replace(PORT, str(port)) for word in words]
    with subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={key: value.replace(PORT, str(port)) for key, value in (env or os.environ).items()},
    ) as process:
        try:
            until = time.monotonic() + deadline_s
            while True:
                assert process.poll() is None, f"{words[0]} has ended"
                assert time.monotonic() < until, f"{words[0]} does not listen"
                try:
                    socket.create_connection(("127.0.0.1", port), 1).close()
                    break
                except OSError:
                    time.sleep(0.05)
            yield port
        finally:
            process.terminate()
            process.wait()


class Recorder:
    """A proxy before `port`: connections, and what passed on each, in order. One thread, so the order is that of passing."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._server.getsockname()[1])
        self.said: list[tuple[int, bool, bytes]] = []
        """Connection, whether the client said it, what; empty at the end of a direction."""
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._server, selectors.EVENT_READ)
        self._sockets = [self._server]
        self._count = 0
        self._is_over = False
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Recorder:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._is_over = True
        self._thread.join()
        for each in self._sockets:
            each.close()
        self._selector.close()

    def _run(self) -> None:
        while not self._is_over:
            for key, _ in self._selector.select(0.02):
                if key.data is None:
                    self._accept()
                else:
                    self._pass(key.fileobj, *key.data)  # type: ignore[arg-type]

    def _accept(self) -> None:
        client, _ = self._server.accept()
        server = socket.create_connection(("127.0.0.1", self._target))
        self._sockets += [client, server]
        self._count += 1
        for source, target, is_client in ((client, server, True), (server, client, False)):
            data = (target, self._count, is_client)
            self._selector.register(source, selectors.EVENT_READ, data)

    def _pass(
        self, source: socket.socket, target: socket.socket, number: int, is_client: bool
    ) -> None:
        try:
            data = source.recv(65536)
        except ConnectionError:
            data = b""
        self.said.append((number, is_client, data))
        try:
            if data:
                target.sendall(data)
            else:
                self._selector.unregister(source)
                target.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # the other one has gone, too

    def play(self, *, is_server: bool, budgets: tuple[int, int] = (1 << 20, 1 << 20)) -> Run:
        """As seen from one end, by the same number of processes as connections."""
        host = Host()
        sockets: dict[int, Socket] = {}
        for number, is_client, data in self.said:
            if number not in sockets:
                more = {"process": 10 + number, "thread": 10 + number, "budgets": budgets}
                sockets[number] = host.accept(client=("10.0.0.9", 40000 + number), **more) if is_server else host.connect(port=40000 + number, **more)  # fmt: skip
            if data:
                (sockets[number].asks if is_client else sockets[number].answers)(data)
        for each in sockets.values():
            each.close()
        return play(host)


def wire(said: Iterable[bytes]) -> list[tuple[bool, bytes]]:
    """What was said, in order: whether the server said it, whose words begin with `<`, and what."""
    return [(each[:1] == b"<", each.removeprefix(b"<")) for each in said]
