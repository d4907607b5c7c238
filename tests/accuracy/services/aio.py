"""A service on aiohttp, server and client: a task per connection."""

from __future__ import annotations

import os

import aiohttp
from aiohttp import web

from tests.accuracy.services import tasks


class Client:
    """Two sessions: one of them keeps no connections."""

    def __init__(self) -> None:
        self._keeping = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        self._closing = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, force_close=True)
        )

    async def fresh(self, port: int, path: str, number: str) -> str:
        return await self._ask(self._closing, port, path, number)

    async def pooled(self, port: int, path: str, number: str) -> str:
        return await self._ask(self._keeping, port, path, number)

    async def _ask(self, session: aiohttp.ClientSession, port: int, path: str, number: str) -> str:
        fields = {"X-Request-Id": number}
        async with session.get(f"http://127.0.0.1:{port}{path}", headers=fields) as answer:
            text: str = await answer.text()
            return text


class Service:
    """The application."""

    client: Client

    async def start(self, _application: web.Application) -> None:
        """Open the sessions: that needs a running loop."""
        self.client = Client()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request, and do what is left."""
        shape, number = request.match_info["shape"], request.match_info["number"]
        response = web.Response(text=await tasks.answer(self.client, shape, number))
        await response.prepare(request)
        await response.write_eof()
        tasks.finish(self.client, shape, number)
        return response


def application() -> web.Application:
    """Give the application."""
    service = Service()
    made = web.Application()
    made.on_startup.append(service.start)
    made.router.add_get("/{shape}/{number}", service.handle)
    return made


if __name__ == "__main__":
    web.run_app(application(), host="127.0.0.1", port=int(os.environ["PORT"]), access_log=None)
