"""OTLP over HTTP/1.1: one POST of protobuf per batch on a connection that is kept alive.

https://opentelemetry.io/docs/specs/otlp/#otlphttp

Once the status is there the batch's fate is known: 2xx took it, 429, 502, 503 and 504 ask for another try, everything
else is final. A failure before the status is one of the connection and may be tried again. A kept-alive connection
that the receiver has closed meanwhile is no failure: the request is repeated on a new one at once.
"""

from __future__ import annotations

import email.utils
import http.client
import ssl
import time
from datetime import UTC
from typing import TYPE_CHECKING, Final

from agent import __version__
from agent.errors import ExportError
from agent.export import otlp, response
from agent.export.compress import gzip
from agent.export.exporter import Batch, Outcome
from agent.export.settings import Compression, Otlp
from agent.export.text import printable
from agent.export.tls import context_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent.spans.span import Span

RETRYABLE: Final = frozenset({429, 502, 503, 504})
"""OTLP: "all other 4xx or 5xx response status codes MUST NOT be retried"."""


class HttpExporter:
    """Sends batches to one receiver."""

    def __init__(self, settings: Otlp) -> None:
        self.name = settings.name
        self.timeout_s = settings.reach.timeout_s
        self.poll_s = None
        self._path = settings.path
        self._is_gzip = settings.reach.compression is Compression.GZIP
        self._headers = {
            "User-Agent": f"zerospan/{__version__}",
            **dict(settings.reach.headers),
            "Content-Type": "application/x-protobuf",
        }
        if self._is_gzip:
            self._headers["Content-Encoding"] = "gzip"
        self._connection: http.client.HTTPConnection
        if settings.is_tls:
            self._connection = http.client.HTTPSConnection(
                settings.host, settings.port, context=context_of(settings.reach)
            )
        else:
            self._connection = http.client.HTTPConnection(settings.host, settings.port)

    def prepare(self, spans: Sequence[Span]) -> Batch:
        """Encode the spans."""
        body = otlp.encode(spans)
        return Batch(count=len(spans), size_bytes=len(body), body=body)

    def send(self, batch: Batch, *, timeout_s: float) -> Outcome:
        """POST the batch and read the answer."""
        try:
            answer = self._post(gzip(batch.body) if self._is_gzip else batch.body, timeout_s)
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            raise _connection_error(error) from error
        body = self._read_body(answer)
        if 200 <= answer.status < 300:
            return response.outcome(body, batch.count)
        raise ExportError(
            f"the receiver answered {answer.status} {printable(answer.reason)}",
            cause=f"http_{answer.status}",
            retry=answer.status in RETRYABLE,
            retry_after_s=retry_after_s(answer.getheader("Retry-After"), now_unix_s=time.time()),
        )

    def poll(self) -> Outcome:
        """Nothing is held back."""
        return Outcome()

    def close(self) -> Outcome:
        """Close the connection."""
        self._connection.close()
        return Outcome()

    def _post(self, body: bytes, timeout_s: float) -> http.client.HTTPResponse:
        connection = self._connection
        connection.timeout = timeout_s
        if connection.sock is None:
            return self._try_post(body)
        connection.sock.settimeout(timeout_s)
        try:
            return self._try_post(body)
        except ConnectionError:  # closed while it was idle; RemoteDisconnected is one too
            connection.close()
            return self._try_post(body)

    def _try_post(self, body: bytes) -> http.client.HTTPResponse:
        self._connection.request("POST", self._path, body, self._headers)
        return self._connection.getresponse()

    def _read_body(self, answer: http.client.HTTPResponse) -> bytes:
        # A body that breaks off changes nothing: the status has spoken, and sending again would double the spans.
        try:
            body = answer.read(response.MAX_ANSWER)
        except (OSError, http.client.HTTPException):
            body = b""
        if not answer.isclosed():
            self._connection.close()
        return body


def _connection_error(error: Exception) -> ExportError:
    text = printable(str(error) or type(error).__name__)
    if isinstance(error, TimeoutError):
        return ExportError("the receiver did not answer in time", cause="timeout", retry=True)
    if isinstance(error, ssl.SSLCertVerificationError):
        return ExportError(
            f"the receiver's certificate is not trusted: {text}", cause="tls", retry=False
        )
    if isinstance(error, OSError):
        return ExportError(f"no connection: {text}", cause="unreachable", retry=True)
    return ExportError(f"the answer is not HTTP: {text}", cause="bad_answer", retry=True)


def retry_after_s(value: str | None, *, now_unix_s: float) -> float | None:
    """Seconds that a Retry-After header (RFC 9110 §10.2.3) asks for; None without one, or without sense."""
    if value is None:
        return None
    value = value.strip()
    if value.isascii() and value.isdigit():
        return float(value[:9])
    try:
        date = email.utils.parsedate_to_datetime(value)
        return max(0.0, date.replace(tzinfo=date.tzinfo or UTC).timestamp() - now_unix_s)
    except (ValueError, OverflowError):
        return None
