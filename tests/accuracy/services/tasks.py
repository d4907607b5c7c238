"""The shapes of work for services on asyncio (tests/accuracy/cases.py says what each is), over any client."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine
from typing import Any, Protocol

BACKEND = int(os.environ["BACKEND"])
NEXT = int(os.environ.get("NEXT") or 0)

background: set[asyncio.Task[object]] = set()
"""asyncio keeps only weak references to tasks."""


class Client(Protocol):
    """How to make a request and give its answer."""

    def fresh(self, port: int, path: str, number: str) -> Coroutine[Any, Any, str]:
        """On a connection for this call alone."""

    def pooled(self, port: int, path: str, number: str) -> Coroutine[Any, Any, str]:
        """On any connection that nobody uses."""


async def answer(client: Client, shape: str, number: str) -> str:
    """Do the work of a request before its response; give the response's body."""
    paths = [f"/work/{number}/{call}" for call in range(3)]
    path = paths[0]
    answers = [number]
    match shape:
        case "one":
            answers = [await client.fresh(BACKEND, path, number)]
        case "pooled" | "inner":
            answers = [await client.pooled(BACKEND, path, number)]
        case "sequence":
            answers = [await client.pooled(BACKEND, each, number) for each in paths]
        case "fan":
            calls = (client.pooled(BACKEND, each, number) for each in paths)
            answers = await asyncio.gather(*calls)
        case "sleep":
            await asyncio.sleep(0.02)
            answers = [await client.pooled(BACKEND, path, number)]
        case "worker":
            answers = [await asyncio.create_task(client.pooled(BACKEND, path, number))]
        case "hops":
            answers = [await client.pooled(NEXT, f"/inner/{number}", number)]
    if set(answers) != {number}:
        raise RuntimeError(f"{shape} {number} was answered by {answers}")
    return number


def finish(client: Client, shape: str, number: str) -> None:
    """Do what is left after the response."""
    if shape == "after":
        task = asyncio.create_task(_later(client, number))
        background.add(task)
        task.add_done_callback(background.discard)


async def _later(client: Client, number: str) -> None:
    await asyncio.sleep(0.01)
    await client.pooled(BACKEND, f"/work/{number}/0", number)


class Streams:
    """A client on asyncio's streams."""

    def __init__(self) -> None:
        self._idle: dict[int, list[tuple[asyncio.StreamReader, asyncio.StreamWriter]]] = {}

    async def fresh(self, port: int, path: str, number: str) -> str:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        body = await self._ask(reader, writer, path, number)
        writer.close()
        return body

    async def pooled(self, port: int, path: str, number: str) -> str:
        idle = self._idle.setdefault(port, [])
        if idle:
            reader, writer = idle.pop()
        else:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
        body = await self._ask(reader, writer, path, number)
        idle.append((reader, writer))
        return body

    async def _ask(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str, number: str
    ) -> str:
        head = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Request-Id: {number}\r\n\r\n"
        writer.write(head.encode())
        await writer.drain()
        fields = await reader.readuntil(b"\r\n\r\n")
        length = int(fields.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
        return (await reader.readexactly(length)).decode()


def choose_loop() -> None:
    """Run on uvloop if LOOP says so."""
    if os.environ.get("LOOP") == "uvloop":
        import uvloop  # noqa: PLC0415  # not there for the services that do without

        uvloop.install()


def response(body: str) -> bytes:
    """Give a response's bytes."""
    return f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
