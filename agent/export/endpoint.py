"""Settings become exporters.

Each exporter is imported where it is asked for only: grpcio takes 18 MB, http.client with TLS 8, rich 6, and a daemon
uses one of them.
"""
# ruff: noqa: PLC0415  # the imports inside the function are its purpose

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from agent.export.settings import Console, ExportSettings, File, Otlp, Store, Transport

if TYPE_CHECKING:
    from collections.abc import Iterable

    from agent.export.exporter import Exporter


def open_exporters(settings: Iterable[ExportSettings]) -> list[Exporter]:
    """One exporter per destination. ConfigError for a file or certificate that cannot be used; no network yet."""
    return [_open(setting) for setting in settings]


def _open(setting: ExportSettings) -> Exporter:
    match setting:
        case Otlp(transport=Transport.GRPC):
            from agent.export.grpc import GrpcExporter

            return GrpcExporter(setting)
        case Otlp():
            from agent.export.http import HttpExporter

            return HttpExporter(setting)
        case File(path=path):
            from agent.export.file import FileExporter

            return FileExporter(path)
        case Store():
            from agent.export.store import StoreExporter

            return StoreExporter(setting)
        case Console():
            from agent.export.console import ConsoleExporter, standard_output

            return ConsoleExporter(standard_output())
        case _:
            assert_never(setting)
