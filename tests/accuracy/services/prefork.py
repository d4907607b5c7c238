"""A service for gunicorn, as a WSGI application."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tests.accuracy.services import work


class Body:
    """A response's body; gunicorn closes it when it has sent all of it."""

    def __init__(self, shape: str, number: str, data: bytes) -> None:
        self.shape, self.number, self.data = shape, number, data

    def __iter__(self) -> Iterator[bytes]:
        yield self.data

    def close(self) -> None:
        work.finish(self.shape, self.number)


def application(environ: dict[str, str], start_response: Callable[..., object]) -> Body:
    """Answer one request."""
    _, shape, number = environ["PATH_INFO"].split("/")
    data = work.answer(shape, number).encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(data)))])
    return Body(shape, number, data)
