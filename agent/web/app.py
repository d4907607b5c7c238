"""The routes: which path is answered by what. The only module that knows the framework."""

from __future__ import annotations

import logging
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

import bottle

from agent.errors import AgentError, QueryError, StoreError
from agent.show.as_json import compact
from agent.web import api, jaeger, tempo
from agent.web.asked import BadRequest, NotFound
from agent.web.guard import Guard
from agent.web.readers import TooLong

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from agent.web.readers import Readers, Timed
    from agent.web.settings import WebSettings

logger = logging.getLogger(__name__)

JSON: Final = "application/json"
PROTOBUF: Final = "application/protobuf"
TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
JAEGER_AT: Final = ("", "/jaeger")

Answer = "Callable[..., bytes]"


def make_app(settings: WebSettings, readers: Readers) -> Guard:
    """A WSGI application."""
    app = bottle.Bottle()
    app.catchall = True
    app.default_error_handler = _error
    routes = _Routes(app, readers)
    _assets(app)
    routes.json("/api/v1/traces", lambda reader, asked: api.traces(reader, asked))
    routes.json("/api/v1/traces/<id_>", lambda reader, _, id_: api.trace(reader, id_))
    routes.json("/api/v1/query", lambda reader, asked: api.query(reader, asked))
    routes.json("/api/v1/findings", lambda reader, asked: api.findings(reader, asked))
    routes.json("/api/v1/services", lambda reader, asked: api.red(reader, asked))
    routes.json("/api/v1/map", lambda reader, asked: api.edges(reader, asked))
    routes.json("/api/v1/status", lambda reader, _: api.status(reader, settings.board))
    for prefix in JAEGER_AT:
        _jaeger(routes, f"{prefix}/api")
    _tempo(app, routes)
    return Guard(app, token=settings.token, is_loopback=settings.is_loopback)


class _Routes:
    """Adds routes that read the store."""

    def __init__(self, app: Any, readers: Readers) -> None:
        self._app = app
        self._readers = readers

    def json(self, path: str, make: Callable[..., Any]) -> None:
        """`make(reader, parameters, …)` gives a value of JSON's types."""
        self.add(path, lambda reader, asked, **more: (JSON, compact(make(reader, asked, **more))))

    def add(self, path: str, make: Callable[..., tuple[str, bytes]]) -> None:
        """`make(reader, parameters, …)` gives a type and what is sent."""

        def respond(**more: str) -> bytes:
            try:
                with self._readers.reader() as reader:
                    kind, body = make(reader, _parameters(), **more)
            except AgentError as error:
                return _told(error)
            bottle.response.content_type = kind
            return body

        self._app.route(path, "GET", respond)


def _jaeger(routes: _Routes, at: str) -> None:
    routes.json(f"{at}/services", lambda reader, _: jaeger.services(reader))
    routes.json(
        f"{at}/services/<service:path>/operations",
        lambda reader, _, service: jaeger.operation_names(reader, service),
    )
    routes.json(
        f"{at}/operations", lambda reader, asked: jaeger.operations_with_kind(reader, asked)
    )
    routes.json(
        f"{at}/traces",
        lambda reader, asked: jaeger.traces(reader, asked, bottle.request.query.getall("tag")),
    )
    routes.json(f"{at}/traces/<id_>", lambda reader, _, id_: jaeger.trace(reader, id_))
    routes.json(f"{at}/dependencies", lambda reader, asked: jaeger.graph(reader, asked))


def _tempo(app: Any, routes: _Routes) -> None:
    app.route("/tempo/ready", "GET", lambda: _text("ready\n"))
    app.route("/tempo/api/echo", "GET", lambda: _text("echo"))
    routes.json("/tempo/api/status/buildinfo", lambda *_: tempo.BUILD)
    routes.json("/tempo/api/search", lambda reader, asked: tempo.search_traces(reader, asked))
    routes.add(
        "/tempo/api/traces/<id_>",
        lambda reader, _, id_: _either(reader, id_, tempo.trace_json, tempo.trace_protobuf),
    )
    routes.add(
        "/tempo/api/v2/traces/<id_>",
        lambda reader, _, id_: _either(reader, id_, tempo.trace_v2_json, tempo.trace_v2_protobuf),
    )
    routes.json("/tempo/api/search/tags", lambda reader, asked: tempo.tag_names(reader, asked))
    routes.json(
        "/tempo/api/v2/search/tags", lambda reader, asked: tempo.tag_names_v2(reader, asked)
    )
    routes.json(
        "/tempo/api/search/tag/<tag:path>/values",
        lambda reader, asked, tag: tempo.tag_values(reader, tag, asked),
    )
    routes.json(
        "/tempo/api/v2/search/tag/<tag:path>/values",
        lambda reader, asked, tag: tempo.tag_values_v2(reader, tag, asked),
    )


def _either(
    reader: Timed,
    id_: str,
    as_text: Callable[[Timed, str], bytes],
    as_protobuf: Callable[[Timed, str], bytes],
) -> tuple[str, bytes]:
    """In the form that the request accepts."""
    if PROTOBUF in bottle.request.headers.get("Accept", ""):
        return PROTOBUF, as_protobuf(reader, id_)
    return JSON, as_text(reader, id_)


def _assets(app: Any) -> None:
    """The page's files, read once: no path of a request ever becomes a path of the disk."""
    for one in files("agent.web").joinpath("assets").iterdir():
        kind = TYPES.get("." + one.name.rpartition(".")[2])
        if kind is not None:
            _asset(app, "/" if one.name == "index.html" else f"/{one.name}", kind, one.read_bytes())


def _asset(app: Any, path: str, kind: str, content: bytes) -> None:
    def respond() -> bytes:
        bottle.response.content_type = kind
        return content

    app.route(path, "GET", respond)


def _parameters() -> Mapping[str, str]:
    """The request's, the last of each name."""
    return {name: bottle.request.query.getunicode(name, "") for name in bottle.request.query}


def _text(text: str) -> bytes:
    bottle.response.content_type = "text/plain; charset=utf-8"
    return text.encode()


def _told(error: AgentError) -> bytes:
    """An error as JSON."""
    status = 500
    for kind, number in ((QueryError, 400), (BadRequest, 400), (NotFound, 404), (TooLong, 503), (StoreError, 503)):  # fmt: skip
        if isinstance(error, kind):
            status = number
    bottle.response.status = status
    bottle.response.content_type = JSON
    message = str(error)
    return compact(
        {
            "error": message,
            "column": error.column if isinstance(error, QueryError) else None,
            # Jaeger's form, for its data source.
            "data": None,
            "errors": [{"code": status, "msg": message}],
        }
    )


def _error(error: Any) -> bytes:
    """What bottle found: no such path, or a bug of ours."""
    if error.exception is not None:
        logger.error("a request failed", exc_info=error.exception)
    bottle.response.content_type = JSON
    return compact({"error": str(error.status_line)})
