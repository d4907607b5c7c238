"""OTLP over HTTP: POST /v1/traces, binary or JSON, whole or gzipped. A WSGI application, and its server.

A browser cannot be made to send spans here: no page may set these content types for another site without being allowed to,
and on a loopback address the Host header must name this host (DNS rebinding).
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Final

from agent.receive import answers
from agent.receive.channel import Closed
from agent.receive.intake import MAX_REQUEST, Answer, Fate, Intake, TooLarge, unzip
from agent.web.guard import names_this_host, shows
from agent.wsgi import WsgiServer

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.receive.settings import Place

PATH: Final = "/v1/traces"
PROTOBUF: Final = "application/x-protobuf"
JSON: Final = "application/json"


class Refusal(Exception):  # noqa: N818  # what it is
    """A request that is not read."""

    def __init__(self, status: str, code: int, message: str, *, cause: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.cause = cause
        """As the ledger has it; empty: it is no delivery, and is not counted."""


class App:
    """A WSGI application."""

    def __init__(self, intake: Intake, *, token: str, is_loopback: bool) -> None:
        self._intake = intake
        self._token = token
        self._is_loopback = is_loopback

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> list[bytes]:
        """A request."""
        kind = environ.get("CONTENT_TYPE", "").partition(";")[0].strip().lower()
        is_json = kind == JSON
        headers = [("Content-Type", JSON if is_json else PROTOBUF)]
        try:
            status, body = self._answer(environ, kind)
        except Refusal as refusal:
            if refusal.cause:
                self._count(refusal.cause)
            status = refusal.status
            write = answers.status_json if is_json else answers.status
            body = write(refusal.code, refusal.message)
        if status.startswith(("429", "503")):
            headers.append(("Retry-After", str(answers.RETRY_S)))
        if status.startswith("405"):
            headers.append(("Allow", "POST"))
        start(status, [*headers, ("Content-Length", str(len(body)))])
        return [body]

    def _answer(self, environ: dict[str, Any], kind: str) -> tuple[str, bytes]:
        self._check(environ, kind)
        body = _body(environ)
        is_json = kind == JSON
        take = self._intake.take_json if is_json else self._intake.take_protobuf
        try:
            answer: Answer = take(body)
        except Closed:
            raise Refusal("503 Service Unavailable", answers.UNAVAILABLE, "zerospan ends") from None
        write = answers.status_json if is_json else answers.status
        match answer.fate:
            case Fate.TAKEN:
                respond = answers.response_json if is_json else answers.response
                return "200 OK", respond(answer.rejected, answer.message)
            case Fate.GARBAGE:
                return "400 Bad Request", write(answers.INVALID_ARGUMENT, answer.message)
            case Fate.FULL:
                return "429 Too Many Requests", write(answers.RESOURCE_EXHAUSTED, answer.message)

    def _check(self, environ: dict[str, Any], kind: str) -> None:
        invalid = answers.INVALID_ARGUMENT
        if self._is_loopback and not names_this_host(environ):
            raise Refusal("403 Forbidden", 7, "the Host header does not name this host")
        if environ.get("PATH_INFO") != PATH:
            raise Refusal("404 Not Found", 12, f"only {PATH} is received here")
        if environ["REQUEST_METHOD"] != "POST":
            raise Refusal("405 Method Not Allowed", invalid, "spans are sent with POST")
        if self._token and not shows(environ.get("HTTP_AUTHORIZATION", ""), self._token):
            raise Refusal("401 Unauthorized", 16, "show the token as `Authorization: Bearer`", cause="unauthorized")  # fmt: skip
        if kind not in (PROTOBUF, JSON):
            raise Refusal("415 Unsupported Media Type", invalid, f"neither {PROTOBUF} nor {JSON}", cause="not_otlp")  # fmt: skip

    def _count(self, cause: str) -> None:
        try:
            self._intake.refuse(cause)
        except Closed:
            return


def _body(environ: dict[str, Any]) -> bytes:
    """The body, unfolded. The server has read all of it, and not more than MAX_REQUEST."""
    body: bytes = environ["wsgi.input"].read()
    coding = environ.get("HTTP_CONTENT_ENCODING", "").strip().lower()
    if coding in ("", "identity"):
        return body
    if coding != "gzip":
        raise Refusal("415 Unsupported Media Type", answers.INVALID_ARGUMENT, "only gzip is unfolded here", cause="not_otlp")  # fmt: skip
    try:
        return unzip(body)
    except TooLarge:
        raise Refusal("413 Content Too Large", answers.INVALID_ARGUMENT, f"beyond {MAX_REQUEST} bytes", cause="too_large") from None  # fmt: skip
    except ValueError as error:
        raise Refusal("400 Bad Request", answers.INVALID_ARGUMENT, str(error), cause="not_otlp") from None  # fmt: skip


class HttpServer:
    """Listens from the moment it is made. ConfigError if it cannot."""

    def __init__(self, place: Place, intake: Intake, *, token: str) -> None:
        app = App(intake, token=token, is_loopback=place.is_loopback)
        failing = "OTLP cannot be received"
        self._server = WsgiServer(
            app, place.host, place.port, max_body=MAX_REQUEST, failing=failing
        )
        self.port = self._server.port

    def start(self) -> None:
        """Serve, in a thread."""
        threading.Thread(target=self._server.run, name="OTLP over HTTP", daemon=True).start()

    def close(self) -> None:
        """Stop."""
        self._server.close()
