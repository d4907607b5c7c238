"""Certificates of OTLP connections: read and checked once, at start, so that a wrong file is a wrong setting."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from agent.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from agent.export.settings import Reach


def context_of(reach: Reach) -> ssl.SSLContext:
    """A client's context: TLS 1.2 or newer, host names checked, system authorities unless others are given."""
    context = ssl.create_default_context(cafile=_authorities(reach))
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if reach.client_certificate is not None:
        read(reach.client_certificate, "CLIENT_CERTIFICATE")
        assert reach.client_key is not None  # settings_from demands both
        read(reach.client_key, "CLIENT_KEY")
        try:
            # A key with a passphrase would ask for it on the terminal; an empty one fails instead.
            context.load_cert_chain(reach.client_certificate, reach.client_key, password="")
        except (ssl.SSLError, ValueError) as error:
            raise ConfigError(
                f"OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE {str(reach.client_certificate)!r} and "
                f"OTEL_EXPORTER_OTLP_CLIENT_KEY {str(reach.client_key)!r} are not a PEM certificate "
                f"with its PEM key without a passphrase: {error}"
            ) from error
    return context


def _authorities(reach: Reach) -> str | None:
    if reach.certificate is None:
        return None
    read(reach.certificate, "CERTIFICATE")
    path = str(reach.certificate)
    try:
        ssl.create_default_context(cafile=path)
    except ssl.SSLError as error:
        raise ConfigError(
            f"OTEL_EXPORTER_OTLP_CERTIFICATE {path!r} holds no PEM certificates: {error}"
        ) from error
    return path


def read(path: Path, suffix: str) -> bytes:
    """The file's bytes; ConfigError with OTEL_EXPORTER_OTLP_<suffix> if it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"OTEL_EXPORTER_OTLP_{suffix} {str(path)!r}: {error.strerror}") from error
