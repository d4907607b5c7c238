"""Certificates of both sides over both transports, and files that are none."""

from __future__ import annotations

import ssl
from contextlib import closing
from pathlib import Path

import grpc
import pytest
import trustme

from agent.errors import ConfigError, ExportError
from agent.export.exporter import Outcome
from agent.export.grpc import GrpcExporter
from agent.export.http import HttpExporter
from agent.export.settings import Otlp, Reach, Transport
from agent.export.tls import context_of
from tests.export import sample
from tests.export.servers import GrpcReceiver, HttpReceiver, running


class Authority:
    """A certificate authority with a server's and a client's certificate, as files."""

    def __init__(self, folder: Path) -> None:
        self._ca = trustme.CA()
        self._server = self._ca.issue_cert("localhost")
        client = self._ca.issue_cert("agent@example.org")
        self.certificate = folder / "ca.pem"
        self.client_key = folder / "key.pem"
        self.client_certificate = folder / "cert.pem"
        self._ca.cert_pem.write_to_path(self.certificate)
        client.private_key_pem.write_to_path(self.client_key)
        client.cert_chain_pems[0].write_to_path(self.client_certificate)

    def server_context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._server.configure_cert(context)
        self._ca.configure_trust(context)
        context.verify_mode = ssl.CERT_REQUIRED
        return context

    def server_credentials(self) -> grpc.ServerCredentials:
        chain = b"".join(pem.bytes() for pem in self._server.cert_chain_pems)
        pair = (self._server.private_key_pem.bytes(), chain)
        roots = self._ca.cert_pem.bytes()
        return grpc.ssl_server_credentials([pair], roots, require_client_auth=True)

    @property
    def reach(self) -> Reach:
        return Reach(
            certificate=self.certificate,
            client_key=self.client_key,
            client_certificate=self.client_certificate,
        )


@pytest.fixture(scope="module")
def authority(tmp_path_factory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


def send(exporter: HttpExporter | GrpcExporter) -> Outcome:
    with closing(exporter):
        return exporter.send(exporter.prepare([sample.span()]), timeout_s=5)


def https(port: int, reach: Reach, host: str = "localhost") -> HttpExporter:
    return HttpExporter(Otlp(Transport.HTTP, host, port, is_tls=True, reach=reach))


def grpcs(port: int, reach: Reach, host: str = "localhost") -> GrpcExporter:
    return GrpcExporter(Otlp(Transport.GRPC, host, port, is_tls=True, reach=reach))


def test_https_with_both_certificates(authority):
    with running(HttpReceiver(tls=authority.server_context())) as receiver:
        assert send(https(receiver.port, authority.reach)) == Outcome(exported=1)
        assert len(receiver.requests) == 1


def test_grpcs_with_both_certificates(authority):
    with running(GrpcReceiver(credentials=authority.server_credentials())) as receiver:
        assert send(grpcs(receiver.port, authority.reach)) == Outcome(exported=1)
        assert len(receiver.requests) == 1


def test_https_to_an_unknown_authority_or_a_wrong_name_is_not_retried(authority):
    with running(HttpReceiver(tls=authority.server_context())) as receiver:
        for exporter in (
            https(receiver.port, Reach()),
            https(receiver.port, authority.reach, host="127.0.0.1"),
        ):
            with pytest.raises(ExportError, match="certificate is not trusted") as caught:
                send(exporter)
            assert (caught.value.cause, caught.value.retry) == ("tls", False)
        assert receiver.requests == []


def test_grpcs_to_an_unknown_authority_fails(authority):
    with running(GrpcReceiver(credentials=authority.server_credentials())) as receiver:
        with pytest.raises(ExportError) as caught:
            send(grpcs(receiver.port, Reach()))
        assert caught.value.cause == "grpc_unavailable"
        assert receiver.requests == []


def test_tls_is_modern_and_checks_names():
    context = context_of(Reach())
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2
    assert context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED


@pytest.mark.parametrize("exporter_to", [https, grpcs])
def test_wrong_files_are_wrong_settings(authority, tmp_path, exporter_to):
    text = tmp_path / "text"
    text.write_text("no PEM")
    missing = tmp_path / "missing"
    key, cert = authority.client_key, authority.client_certificate
    for reach, message in [
        (Reach(certificate=missing), f"OTEL_EXPORTER_OTLP_CERTIFICATE '{missing}': No such file"),
        (Reach(certificate=text), f"OTEL_EXPORTER_OTLP_CERTIFICATE '{text}' holds no PEM"),
        (
            Reach(client_key=missing, client_certificate=cert),
            f"OTEL_EXPORTER_OTLP_CLIENT_KEY '{missing}': No such file",
        ),
        (
            Reach(client_key=key, client_certificate=tmp_path),
            f"OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE '{tmp_path}': Is a directory",
        ),
        (
            Reach(client_key=text, client_certificate=cert),
            f"OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE '{cert}' and",
        ),
    ]:
        with pytest.raises(ConfigError) as caught:
            exporter_to(4317, reach)
        assert str(caught.value).startswith(message)
