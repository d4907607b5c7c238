"""A service on asyncio's streams: a task per connection."""

from __future__ import annotations

import asyncio
import contextlib
import os

from tests.accuracy.services import tasks

client = tasks.Streams()


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer the requests of a connection, one after the other."""
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
        while head := await reader.readuntil(b"\r\n\r\n"):
            _, shape, number = head.split()[1].decode().split("/")
            writer.write(tasks.response(await tasks.answer(client, shape, number)))
            await writer.drain()
            tasks.finish(client, shape, number)
    writer.close()


async def main() -> None:
    server = await asyncio.start_server(serve, "127.0.0.1", int(os.environ["PORT"]), backlog=512)
    await server.serve_forever()


if __name__ == "__main__":
    tasks.choose_loop()
    asyncio.run(main())
