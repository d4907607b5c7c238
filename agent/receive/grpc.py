"""OTLP over gRPC: TraceService/Export, its messages taken as bytes. One of two modules that know grpcio.

grpcio bounds a message, unfolded, to MAX_REQUEST and calls to CALLS at once, and answers what is beyond by itself
(RESOURCE_EXHAUSTED).
"""

from __future__ import annotations

import concurrent.futures
from typing import TYPE_CHECKING, Final, NoReturn

import grpc

from agent.errors import ConfigError
from agent.receive import answers
from agent.receive.channel import Closed
from agent.receive.intake import MAX_REQUEST, Fate, Intake
from agent.web.guard import shows

if TYPE_CHECKING:
    from agent.receive.settings import Place

SERVICE: Final = "opentelemetry.proto.collector.trace.v1.TraceService"
THREADS: Final = 4
CALLS: Final = 16
_OPTIONS: Final = (
    ("grpc.max_receive_message_length", MAX_REQUEST),
    ("grpc.max_metadata_size", 16 * 1024),
    ("grpc.so_reuseport", 0),  # a port that is taken is taken
)


class GrpcServer:
    """Listens from the moment it is made. ConfigError if it cannot."""

    def __init__(self, place: Place, intake: Intake, *, token: str) -> None:
        self._intake = intake
        self._token = token
        self._server = grpc.server(
            concurrent.futures.ThreadPoolExecutor(THREADS, "OTLP over gRPC"),
            options=_OPTIONS,
            maximum_concurrent_rpcs=CALLS,
        )
        # Without a deserializer the handler is given the message's bytes.
        export: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(
            self._export
        )
        handler = grpc.method_handlers_generic_handler(SERVICE, {"Export": export})
        self._server.add_generic_rpc_handlers((handler,))
        try:
            self.port = self._server.add_insecure_port(place.authority)
        except RuntimeError:
            self.port = 0
        if not self.port:
            raise ConfigError(
                f"OTLP cannot be received on {place.authority}: the port is taken, or the address is not of this host"
            )

    def start(self) -> None:
        """Serve, in threads of its own."""
        self._server.start()

    def close(self) -> None:
        """Stop."""
        self._server.stop(grace=None).wait()

    def _export(self, body: bytes, context: grpc.ServicerContext) -> bytes:
        try:
            if self._token and not shows(_authorization(context), self._token):
                self._intake.refuse("unauthorized")
                context.abort(grpc.StatusCode.UNAUTHENTICATED, "show the token in `authorization`")
            answer = self._intake.take_protobuf(body)
        except Closed:
            context.abort(grpc.StatusCode.UNAVAILABLE, "zerospan ends")
        if answer.fate is Fate.GARBAGE:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, answer.message)
        if answer.fate is Fate.FULL:
            _come_back(context, answer.message)
        return answers.response(answer.rejected, answer.message)


def _come_back(context: grpc.ServicerContext, message: str) -> NoReturn:
    context.set_trailing_metadata((("grpc-status-details-bin", answers.come_back(message)),))
    context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, message)


def _authorization(context: grpc.ServicerContext) -> str:
    for key, value in context.invocation_metadata():
        if key == "authorization" and isinstance(value, str):
            return value
    return ""
