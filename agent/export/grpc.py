"""OTLP over gRPC: one unary call per batch, bytes in and bytes out, no generated code.

https://opentelemetry.io/docs/specs/otlp/#otlpgrpc

grpcio costs 18 MB of memory and 60 ms: this module is the only one that imports it, and is imported only where gRPC
is asked for. The channel is made by the first batch, in the worker's thread, since grpcio starts threads of its own.
It reconnects by itself; with `Retry` deciding when to try again, its own retries are off and its back-off is short.

grpcio compresses at zlib's level 6, 7 µs a span: over HTTP, gzip is ten times cheaper.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import grpc

from agent import __version__
from agent.errors import ExportError
from agent.export import otlp, response, tls
from agent.export.exporter import Batch, Outcome
from agent.export.settings import Compression, Otlp
from agent.export.text import printable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from agent.spans.span import Span

METHOD: Final = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"

RETRYABLE: Final = frozenset(
    {
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.OUT_OF_RANGE,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DATA_LOSS,
    }
)
"""OTLP's table. RESOURCE_EXHAUSTED only "if the server signals that the recovery is possible", with a RetryInfo."""

_OPTIONS: Final = (
    ("grpc.enable_retries", 0),
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.min_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 2000),
    ("grpc.max_receive_message_length", response.MAX_ANSWER),
    ("grpc.primary_user_agent", f"zerospan/{__version__}"),
)


class GrpcExporter:
    """Sends batches to one receiver."""

    def __init__(self, settings: Otlp) -> None:
        self.name = settings.name
        self.timeout_s = settings.reach.timeout_s
        self.poll_s = None
        self._target = settings.authority
        self._credentials = _credentials(settings) if settings.is_tls else None
        self._metadata = settings.reach.headers
        self._compression = (
            grpc.Compression.Gzip
            if settings.reach.compression is Compression.GZIP
            else grpc.Compression.NoCompression
        )
        self._channel: grpc.Channel | None = None

    def prepare(self, spans: Sequence[Span]) -> Batch:
        """Encode the spans."""
        body = otlp.encode(spans)
        return Batch(count=len(spans), size_bytes=len(body), body=body)

    def send(self, batch: Batch, *, timeout_s: float) -> Outcome:
        """Call Export and wait for the answer."""
        if self._channel is None:
            self._channel = self._open()
        export: grpc.UnaryUnaryMultiCallable[bytes, bytes] = self._channel.unary_unary(METHOD)
        try:
            answer = export(
                batch.body,
                timeout=timeout_s,
                metadata=self._metadata,
                compression=self._compression,
            )
        except grpc.RpcError as error:
            raise _export_error(error) from error
        return response.outcome(answer, batch.count)

    def poll(self) -> Outcome:
        """Nothing is held back."""
        return Outcome()

    def close(self) -> Outcome:
        """Close the channel."""
        if self._channel is not None:
            self._channel.close()
        return Outcome()

    def _open(self) -> grpc.Channel:
        if self._credentials is None:
            return grpc.insecure_channel(self._target, _OPTIONS)
        return grpc.secure_channel(self._target, self._credentials, _OPTIONS)


def _credentials(settings: Otlp) -> grpc.ChannelCredentials:
    reach = settings.reach
    tls.context_of(reach)  # grpcio would tell of a bad file only by calls that fail
    return grpc.ssl_channel_credentials(
        root_certificates=_pem(reach.certificate, "CERTIFICATE"),
        private_key=_pem(reach.client_key, "CLIENT_KEY"),
        certificate_chain=_pem(reach.client_certificate, "CLIENT_CERTIFICATE"),
    )


def _pem(path: Path | None, suffix: str) -> bytes | None:
    return None if path is None else tls.read(path, suffix)


def _export_error(error: grpc.RpcError) -> ExportError:
    code = error.code()
    delay_s = None
    for entry in error.trailing_metadata() or ():
        if entry.key == "grpc-status-details-bin" and isinstance(entry.value, bytes):
            delay_s = response.retry_delay_s(entry.value)
    return ExportError(
        f"the call ended with {code.name}: {printable(error.details() or '')}",
        cause=f"grpc_{code.name.lower()}",
        retry=code in RETRYABLE
        or (code is grpc.StatusCode.RESOURCE_EXHAUSTED and delay_s is not None),
        retry_after_s=delay_s,
    )
