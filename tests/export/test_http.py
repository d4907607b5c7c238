"""OTLP over HTTP against a server in this process."""

from __future__ import annotations

import email.utils
import http.client
import socket
import threading
import time
from contextlib import closing

import pytest

from agent import __version__
from agent.errors import ExportError
from agent.export.exporter import Outcome
from agent.export.http import HttpExporter, retry_after_s
from agent.export.otlp import encode
from agent.export.settings import Compression, Otlp, Reach, Transport
from tests.export import sample
from tests.export.servers import Answer, HttpReceiver, running
from tests.export.test_response import partial_success

SPANS = [sample.span(1), sample.span(2, resource=sample.BACK)]


def exporter_to(port: int, **reach: object) -> HttpExporter:
    settings = Otlp(Transport.HTTP, "127.0.0.1", port, path="/in/traces", reach=Reach(**reach))  # type: ignore[arg-type]
    return HttpExporter(settings)


def send(exporter: HttpExporter, timeout_s: float = 5) -> Outcome:
    return exporter.send(exporter.prepare(SPANS), timeout_s=timeout_s)


def test_a_batch_is_posted_and_the_connection_kept():
    with running(HttpReceiver()) as receiver:
        headers = (("Authorization", "Bearer x"),)
        with closing(exporter_to(receiver.port, headers=headers)) as exporter:
            assert send(exporter) == Outcome(exported=2)
            assert send(exporter) == Outcome(exported=2)
            body = encode(SPANS)
            first, second = receiver.requests
            assert (first.path, first.body, second.body) == ("/in/traces", body, body)
            assert first.connection is second.connection
            del first.headers["host"]
            assert first.headers == {
                "accept-encoding": "identity",
                "authorization": "Bearer x",
                "content-length": str(len(body)),
                "content-type": "application/x-protobuf",
                "user-agent": f"zerospan/{__version__}",
            }


def test_gzip():
    with running(HttpReceiver()) as receiver:
        with closing(exporter_to(receiver.port, compression=Compression.GZIP)) as exporter:
            assert send(exporter) == Outcome(exported=2)
        (request,) = receiver.requests
        assert request.headers["content-encoding"] == "gzip"
        assert [span.span_id for span in request.spans] == [span.span_id for span in SPANS]


def test_partial_success():
    answer = Answer(body=partial_success(1, "too old"))
    with running(HttpReceiver(answer)) as receiver, closing(exporter_to(receiver.port)) as exporter:
        assert send(exporter) == Outcome(1, 1, "rejected", "too old")


@pytest.mark.parametrize(
    ("status", "retry"),
    [
        *((status, True) for status in (429, 502, 503, 504)),
        *((status, False) for status in (301, 400, 404, 413, 500)),
    ],
)
def test_refusals(status, retry):
    answer = Answer(status=status, headers={"Retry-After": "7"})
    with (
        running(HttpReceiver(answer)) as receiver,
        closing(exporter_to(receiver.port)) as exporter,
        pytest.raises(ExportError) as caught,
    ):
        send(exporter)
    error = caught.value
    assert (error.cause, error.retry, error.retry_after_s) == (f"http_{status}", retry, 7.0)
    assert str(error) == f"the receiver answered {status} {http.client.responses[status]}"


def test_a_connection_closed_while_idle_is_opened_again():
    with running(HttpReceiver(Answer(closes=True))) as receiver:
        with closing(exporter_to(receiver.port)) as exporter:
            for _ in range(3):
                assert send(exporter) == Outcome(exported=2)
        assert len(receiver.requests) == 3


def test_a_receiver_that_hangs_up_twice_is_unreachable_and_may_come_back():
    with (
        running(HttpReceiver(Answer(hangs_up=True), Answer())) as receiver,
        closing(exporter_to(receiver.port)) as exporter,
    ):
        with pytest.raises(ExportError) as caught:
            send(exporter)
        assert (caught.value.cause, caught.value.retry) == ("unreachable", True)
        assert send(exporter) == Outcome(exported=2)


def test_nobody_listens():
    with closing(socket.socket()) as bound:
        bound.bind(("127.0.0.1", 0))
        with (
            closing(exporter_to(bound.getsockname()[1])) as exporter,
            pytest.raises(ExportError, match=r"no connection: .*refused") as caught,
        ):
            send(exporter)
    assert (caught.value.cause, caught.value.retry) == ("unreachable", True)


def test_a_slow_receiver_times_out():
    release = threading.Event()
    with (
        running(HttpReceiver(Answer(waits_for=release), Answer())) as receiver,
        closing(exporter_to(receiver.port)) as exporter,
    ):
        with pytest.raises(ExportError) as caught:
            send(exporter, timeout_s=0.1)
        assert (caught.value.cause, caught.value.retry) == ("timeout", True)
        release.set()
        assert send(exporter) == Outcome(exported=2)


def test_a_peer_that_speaks_no_http():
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:

        def greet() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b"SSH-2.0-server\r\n\r\n")

        thread = threading.Thread(target=greet)
        thread.start()
        with (
            closing(exporter_to(listener.getsockname()[1])) as exporter,
            pytest.raises(ExportError, match="the answer is not HTTP") as caught,
        ):
            send(exporter)
        thread.join()
    assert (caught.value.cause, caught.value.retry) == ("bad_answer", True)


def test_an_answer_that_breaks_off_after_its_status_counts():
    broken = Answer(headers={"Content-Length": "100"}, body=b"\x0a", closes=True)
    with running(HttpReceiver(broken)) as receiver, closing(exporter_to(receiver.port)) as exporter:
        assert send(exporter) == Outcome(exported=2)
        assert send(exporter) == Outcome(exported=2)
        assert len(receiver.requests) == 2


def test_an_answer_that_stalls_after_its_status_counts():
    stalled = Answer(headers={"Content-Length": "100"}, body=b"\x0a")
    with (
        running(HttpReceiver(stalled)) as receiver,
        closing(exporter_to(receiver.port)) as exporter,
    ):
        assert send(exporter, timeout_s=0.1) == Outcome(exported=2)
        assert send(exporter, timeout_s=0.1) == Outcome(exported=2)
        assert len(receiver.requests) == 2


def test_of_an_endless_answer_only_the_start_is_read():
    endless = Answer(headers={"Content-Length": str(10**9)}, body=bytes(100_000))
    with (
        running(HttpReceiver(endless)) as receiver,
        closing(exporter_to(receiver.port)) as exporter,
    ):
        assert send(exporter, timeout_s=1) == Outcome(exported=2)
        assert send(exporter, timeout_s=1) == Outcome(exported=2)


NOW = time.time() // 1


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("0", 0.0),
        (" 120 ", 120.0),
        ("9" * 40, 999_999_999.0),
        ("-1", None),
        ("1.5", None),
        ("soon", None),
        # Ids that do not depend on the time: several processes may collect the tests.
        pytest.param(email.utils.formatdate(NOW + 30, usegmt=True), 30.0, id="date"),
        pytest.param(email.utils.formatdate(NOW - 30, usegmt=True), 0.0, id="past date"),
        ("Wed, 21 Oct 99999 07:28:00 GMT", None),
    ],
)
def test_retry_after(value, seconds):
    assert retry_after_s(value, now_unix_s=NOW) == seconds
