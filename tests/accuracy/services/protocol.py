"""A service on an asyncio protocol, as ASGI servers are built: a task per request, made when its bytes arrive."""

from __future__ import annotations

import asyncio
import os
from typing import cast

from tests.accuracy.services import tasks

client = tasks.Streams()


class Service(asyncio.Protocol):
    """One connection."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # of uvloop's it is no subclass
        self.data = b""

    def data_received(self, data: bytes) -> None:
        self.data += data
        while b"\r\n\r\n" in self.data:
            head, _, self.data = self.data.partition(b"\r\n\r\n")
            _, shape, number = head.split()[1].decode().split("/")
            task = asyncio.create_task(self.answer(shape, number))
            tasks.background.add(task)
            task.add_done_callback(tasks.background.discard)

    async def answer(self, shape: str, number: str) -> None:
        """Do a request's work, and respond."""
        body = await tasks.answer(client, shape, number)
        self.transport.write(tasks.response(body))
        tasks.finish(client, shape, number)


async def main() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Service, "127.0.0.1", int(os.environ["PORT"]), backlog=512)
    await server.serve_forever()


if __name__ == "__main__":
    tasks.choose_loop()
    asyncio.run(main())
