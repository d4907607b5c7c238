"""OTLP receivers of our own, in this process, that do what they are told: answer, refuse, stall, hang up.

What a receiver does with each request is a list of answers; the last one is repeated.
"""

from __future__ import annotations

import concurrent.futures
import gzip
import http.server
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field

import grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

METHOD = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"


def until(condition, *, deadline_s: float = 10.0):
    """Wait for a condition; its value."""
    end = time.monotonic() + deadline_s
    while not (value := condition()):
        assert time.monotonic() < end, f"not within {deadline_s} s"
        time.sleep(0.005)
    return value


@dataclass
class Answer:
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    hangs_up: bool = False
    """Closes the connection instead of answering."""
    closes: bool = False
    """Closes the connection after answering, without saying so."""
    waits_for: threading.Event | None = None


@dataclass
class Request:
    path: str
    headers: dict[str, str]
    body: bytes
    connection: object

    @property
    def message(self) -> ExportTraceServiceRequest:
        is_gzip = self.headers.get("content-encoding") == "gzip"
        body = gzip.decompress(self.body) if is_gzip else self.body
        return ExportTraceServiceRequest.FromString(body)

    @property
    def spans(self):
        return spans_of(self.message)


def spans_of(request: ExportTraceServiceRequest):
    return [
        span
        for resource_spans in request.resource_spans
        for scope_spans in resource_spans.scope_spans
        for span in scope_spans.spans
    ]


class HttpReceiver:
    def __init__(self, *answers: Answer, tls=None, port: int = 0) -> None:
        self.requests: list[Request] = []
        self.answers = list(answers) or [Answer()]
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                receiver.requests.append(Request(self.path, headers, body, self.connection))
                answer = receiver.next_answer()
                if answer.waits_for is not None:
                    answer.waits_for.wait(20)
                if answer.hangs_up:
                    self.close_connection = True
                    return
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                if "Content-Length" not in answer.headers:
                    self.send_header("Content-Length", str(len(answer.body)))
                self.end_headers()
                self.wfile.write(answer.body)
                self.close_connection = self.close_connection or answer.closes

            def log_message(self, *_arguments):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request, client_address):
                pass  # a client that went away is what the tests are about

        self._server = Server(("127.0.0.1", port), Handler)
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def next_answer(self) -> Answer:
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class GrpcReceiver(grpc.GenericRpcHandler):
    """Each answer is a function of the call's context that gives the response's bytes, or aborts."""

    def __init__(self, *answers, credentials=None, port: int = 0) -> None:
        self.requests: list[bytes] = []
        self.metadata: list[dict[str, str]] = []
        self._answers = list(answers) or [lambda _context: b""]
        self._server = grpc.server(concurrent.futures.ThreadPoolExecutor(4), handlers=[self])
        if credentials is None:
            self.port = self._server.add_insecure_port(f"127.0.0.1:{port}")
        else:
            self.port = self._server.add_secure_port("127.0.0.1:0", credentials)
        self._server.start()

    def service(self, details):
        if details.method != METHOD:
            return None
        return grpc.unary_unary_rpc_method_handler(self._export)

    def _export(self, body, context):
        self.requests.append(body)
        self.metadata.append(dict(context.invocation_metadata()))
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        return answer(context)

    def close(self) -> None:
        self._server.stop(grace=None).wait()


@contextmanager
def running(receiver):
    try:
        yield receiver
    finally:
        receiver.close()
