"""Answers from asyncio, after calls of a backend: a task per request or per connection.

Of each request /orders/ID one call /items/ID is made by the task itself and one by another that it makes, after a sleep;
connections to the backend are kept, and shared by all.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
from typing import cast


class Backend:
    """Kept connections."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def ask(self, number: str) -> None:
        connection = self._idle.pop() if self._idle else None
        reader, writer = connection or await asyncio.open_connection("127.0.0.1", self._port)
        writer.write(f"GET /items/{number} HTTP/1.1\r\nHost: backend\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(int(head.lower().partition(b"content-length:")[2].split()[0]))
        self._idle.append((reader, writer))


class Service:
    """What is done for a request."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def answer(self, head: bytes) -> bytes:
        number = head.split()[1].decode().split("/")[-1]
        if number.isdigit():
            await self._backend.ask(number)
            await asyncio.create_task(self._later(number))
        body = json.dumps({"id": number}).encode()
        return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)

    async def _later(self, number: str) -> None:
        await asyncio.sleep(random.random() / 20)  # requests overtake one another
        await self._backend.ask(number)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A task per connection."""
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                writer.write(await self.answer(head))
        writer.close()


class PerRequest(asyncio.Protocol):
    """A task per request. Requests are not pipelined, and each comes in one piece."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._tasks: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        task = asyncio.get_running_loop().create_task(self._answer(data))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, head: bytes) -> None:
        self._transport.write(await self._service.answer(head))


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--backend", type=int, required=True)
    parser.add_argument("--per", choices=("request", "connection"), required=True)
    chosen = parser.parse_args()
    service = Service(Backend(chosen.backend))
    if chosen.per == "connection":
        server = await asyncio.start_server(service.serve, "127.0.0.1", chosen.port, backlog=512)
    else:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(
            lambda: PerRequest(service), "127.0.0.1", chosen.port, backlog=512
        )
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
