"""Where spans go: `--export` URLs and the standard OpenTelemetry variables, checked and made into values.

https://opentelemetry.io/docs/specs/otel/protocol/exporter/

The command line comes first: with any `--export`, the endpoint variables and OTEL_TRACES_EXPORTER say nothing, while
headers, compression, timeout and certificates still apply to every OTLP destination given by URL. Without `--export`,
OTEL_TRACES_EXPORTER chooses; without that, `otlp` if an endpoint is set, else what the command does by default. A variable for traces goes
before the one for all signals; an empty variable is an unset one.

A wrong value is refused with its variable, the value, and what is allowed. Header values are secrets and are never
shown, nor is a URL that holds credentials.
"""

from __future__ import annotations

import enum
import re
import urllib.parse
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from agent.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MAX_TIMEOUT_MS: Final = 3_600_000
"""An hour: a longer one is a mistake in the unit."""

TRACES_PATH: Final = "/v1/traces"

URL_FORMS: Final = (
    "otlp+grpc://HOST[:PORT], otlp+grpcs://HOST[:PORT], otlp+http://HOST[:PORT][/PATH], "
    "otlp+https://HOST[:PORT][/PATH], file:PATH, store:PATH, console"
)


_E = TypeVar("_E", bound=enum.Enum)


class Transport(enum.Enum):
    """How OTLP travels; the values are those of OTEL_EXPORTER_OTLP_PROTOCOL."""

    GRPC = "grpc"
    HTTP = "http/protobuf"


class Compression(enum.Enum):
    """The values are those of OTEL_EXPORTER_OTLP_COMPRESSION."""

    NONE = "none"
    GZIP = "gzip"


@dataclass(frozen=True, slots=True)
class Reach:
    """How to reach any OTLP receiver: what the variables say besides the endpoint."""

    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    compression: Compression = Compression.NONE
    timeout_s: float = 10.0
    """For one attempt."""
    certificate: Path | None = None
    """PEM of the authorities to trust instead of the system's."""
    client_key: Path | None = None
    client_certificate: Path | None = None


@dataclass(frozen=True, slots=True)
class Otlp:
    """An OTLP receiver."""

    transport: Transport
    host: str
    port: int
    is_tls: bool = False
    path: str = TRACES_PATH
    """Of the HTTP request; gRPC has none."""
    reach: Reach = Reach()

    @property
    def authority(self) -> str:
        """host:port, as URLs and gRPC targets want it."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def name(self) -> str:
        """In `--export` syntax."""
        scheme = "grpc" if self.transport is Transport.GRPC else "http"
        path = "" if self.path == TRACES_PATH else self.path
        return f"otlp+{scheme}{'s' if self.is_tls else ''}://{self.authority}{path}"


@dataclass(frozen=True, slots=True)
class File:
    """A file of OTLP/JSON lines."""

    path: Path

    @property
    def name(self) -> str:
        """In `--export` syntax."""
        return f"file:{self.path}"


@dataclass(frozen=True, slots=True)
class Console:
    """Trees on standard output."""

    @property
    def name(self) -> str:
        """In `--export` syntax."""
        return "console"


@dataclass(frozen=True, slots=True)
class Store:
    """A store of traces on this host."""

    path: Path
    size_mb: int = 512
    """MiB that its files may have."""
    hours: float = 24.0
    """How long a trace is kept."""

    @property
    def name(self) -> str:
        """In `--export` syntax."""
        return f"store:{self.path}"


ExportSettings = Otlp | File | Console | Store


def settings_from(
    env: Mapping[str, str], urls: Sequence[str], *, default: ExportSettings | None = None
) -> list[ExportSettings]:
    """The destinations that the command line and the environment ask for; empty with OTEL_TRACES_EXPORTER=none.

    `default` is the one where neither asks for any: the console if it is None.
    """
    variables = _Variables(env)
    settings: list[ExportSettings]
    if urls:
        settings = [_from_url(url, variables) for url in urls]
    elif variables.get(TRACES_EXPORTER) is None and variables.otlp("ENDPOINT") is None:
        settings = [default or Console()]
    else:
        settings = [
            Console() if name == "console" else _from_variables(variables)
            for name in _chosen_exporters(variables)
        ]
    names = [setting.name for setting in settings]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"{'--export' if urls else TRACES_EXPORTER}: {name} is given twice")
    return settings


TRACES_EXPORTER: Final = "OTEL_TRACES_EXPORTER"
"""A list of otlp, console; or none."""


@dataclass(frozen=True, slots=True)
class _Setting:
    """A variable's value with the name under which it was found."""

    variable: str
    value: str

    def wrong(self, allowed: str) -> ConfigError:
        return ConfigError(f"{self.variable}: {self.value!r} is not {allowed}")


@dataclass(frozen=True, slots=True)
class _Variables:
    env: Mapping[str, str]

    def otlp(self, suffix: str) -> _Setting | None:
        """OTEL_EXPORTER_OTLP_TRACES_<suffix>, else OTEL_EXPORTER_OTLP_<suffix>."""
        return self.get(f"OTEL_EXPORTER_OTLP_TRACES_{suffix}") or self.get(
            f"OTEL_EXPORTER_OTLP_{suffix}"
        )

    def get(self, variable: str) -> _Setting | None:
        value = self.env.get(variable, "").strip()
        return _Setting(variable, value) if value else None


def _chosen_exporters(variables: _Variables) -> list[str]:
    setting = variables.get(TRACES_EXPORTER)
    if setting is None:
        return ["otlp"]
    names = [name.strip() for name in setting.value.split(",")]
    if names == ["none"]:
        return []
    if any(name not in ("otlp", "console") for name in names):
        raise setting.wrong("none, otlp, console, or a list of the last two")
    return names


def _from_variables(variables: _Variables) -> Otlp:
    protocol = variables.otlp("PROTOCOL")
    transport = Transport.HTTP
    if protocol is not None:
        transport = _choice(protocol, Transport)
    reach = _reach(variables, transport)
    endpoint = variables.otlp("ENDPOINT")
    if endpoint is None:
        return Otlp(transport, "localhost", _OTLP_PORTS[transport], reach=reach)

    text = endpoint.value
    ports = _SCHEME_PORTS
    if "://" not in text and transport is Transport.GRPC:
        insecure = variables.otlp("INSECURE")
        text = f"{'http' if insecure and _boolean(insecure) else 'https'}://{text}"
        ports = dict.fromkeys(_SCHEME_PORTS, _OTLP_PORTS[transport])
    allowed = "http://HOST[:PORT] or https://HOST[:PORT]"
    parts = _split(text, endpoint.variable, allowed)
    if parts.scheme not in ports:
        raise ConfigError(f"{endpoint.variable}: {_shown(endpoint.value)} is not {allowed}")
    path = parts.path
    if endpoint.variable == "OTEL_EXPORTER_OTLP_ENDPOINT":
        path = path.rstrip("/") + TRACES_PATH
    return Otlp(
        transport,
        _host(parts),
        parts.port or ports[parts.scheme],
        is_tls=parts.scheme == "https",
        path=TRACES_PATH if transport is Transport.GRPC else path or "/",
        reach=reach,
    )


_OTLP_PORTS: Final = {Transport.GRPC: 4317, Transport.HTTP: 4318}
_SCHEME_PORTS: Final = {"http": 80, "https": 443}
"""The variables hold plain URLs: vendors' endpoints are written as https://HOST and mean 443."""

_URL_TRANSPORTS: Final = {
    "otlp+grpc": Transport.GRPC,
    "otlp+grpcs": Transport.GRPC,
    "otlp+http": Transport.HTTP,
    "otlp+https": Transport.HTTP,
}


def _from_url(url: str, variables: _Variables) -> ExportSettings:
    if url == "console":
        return Console()
    scheme, _, rest = url.partition(":")
    if scheme == "file" and rest:
        return File(Path(rest))
    if scheme == "store" and rest:
        return Store(Path(rest))
    transport = _URL_TRANSPORTS.get(scheme)
    if transport is None:
        raise ConfigError(f"--export: {_shown(url)} is not one of {URL_FORMS}")
    parts = _split(url, "--export", f"one of {URL_FORMS}")
    if transport is Transport.GRPC and parts.path not in ("", "/"):
        raise ConfigError(f"--export: {_shown(url)} has a path, which gRPC does not know")
    return Otlp(
        transport,
        _host(parts),
        parts.port or _OTLP_PORTS[transport],
        is_tls=scheme.endswith("s"),
        path=TRACES_PATH if parts.path in ("", "/") else parts.path,
        reach=_reach(variables, transport),
    )


def _split(url: str, origin: str, allowed: str) -> urllib.parse.SplitResult:
    try:
        parts = urllib.parse.urlsplit(url)
        is_good = _is_host(parts.hostname or "") and parts.port != 0
    except ValueError:  # a port beyond 65535, an unclosed bracket
        is_good = False
    if not is_good or not _URL_CHARACTERS.fullmatch(url):
        raise ConfigError(f"{origin}: {_shown(url)} is not {allowed}")
    if "@" in parts.netloc:
        raise ConfigError(
            f"{origin}: the URL holds credentials; give them as a header, OTEL_EXPORTER_OTLP_HEADERS"
        )
    if parts.query or parts.fragment:
        raise ConfigError(
            f"{origin}: {_shown(url)} has a query or fragment, which OTLP does not use"
        )
    return parts


_URL_CHARACTERS: Final = re.compile(r"[!-~]+")


def _is_host(name: str) -> bool:
    try:
        return bool(name) and bool(name.encode("idna"))  # as the resolver will do
    except UnicodeError:
        return False


def _host(parts: urllib.parse.SplitResult) -> str:
    assert parts.hostname is not None  # _split refuses a URL without
    return parts.hostname


def _shown(url: str) -> str:
    return repr(url) if "@" not in url else "the URL (not shown, it may hold credentials)"


def _reach(variables: _Variables, transport: Transport) -> Reach:
    headers = variables.otlp("HEADERS")
    compression = variables.otlp("COMPRESSION")
    timeout = variables.otlp("TIMEOUT")
    key, certificate = variables.otlp("CLIENT_KEY"), variables.otlp("CLIENT_CERTIFICATE")
    if key is not None and certificate is None:
        raise ConfigError(f"{key.variable} needs OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE too")
    if certificate is not None and key is None:
        raise ConfigError(f"{certificate.variable} needs OTEL_EXPORTER_OTLP_CLIENT_KEY too")
    return Reach(
        headers=_headers(headers, transport) if headers else (),
        compression=_choice(compression, Compression) if compression else Compression.NONE,
        timeout_s=_milliseconds(timeout) / 1000 if timeout else 10.0,
        certificate=_path(variables.otlp("CERTIFICATE")),
        client_key=_path(key),
        client_certificate=_path(certificate),
    )


_HEADER_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_METADATA_KEY: Final = re.compile(r"(?!grpc-)(?!.*-bin$)[a-z0-9_.-]+")
"""gRPC: `grpc-` is its own, a `-bin` value would not be text."""
_HEADER_VALUE: Final = re.compile(r"[ -~]*")
"""A line break would start a header of its own."""
_OUR_HEADERS: Final = frozenset(
    {"connection", "content-encoding", "content-length", "content-type", "te", "transfer-encoding"}
)


def _headers(setting: _Setting, transport: Transport) -> tuple[tuple[str, str], ...]:
    headers: dict[str, str] = {}
    entries = [entry for entry in setting.value.split(",") if entry.strip()]
    for number, entry in enumerate(entries, start=1):
        key, equals, value = (urllib.parse.unquote(part.strip()) for part in entry.partition("="))
        where = f"{setting.variable}: entry {number}"
        if not equals:
            raise ConfigError(f"{where} is not key=value (entries are separated by commas)")
        if transport is Transport.GRPC:
            key = key.lower()
        pattern = _METADATA_KEY if transport is Transport.GRPC else _HEADER_NAME
        if not pattern.fullmatch(key):
            raise ConfigError(f"{where}: its name is not a {transport.value} header name")
        if key.lower() in _OUR_HEADERS:
            raise ConfigError(f"{where}: {key!r} is set by the protocol")
        if not _HEADER_VALUE.fullmatch(value):
            raise ConfigError(f"{where}, {key!r}: the value is not printable ASCII once decoded")
        headers[key] = value
    return tuple(headers.items())


def _milliseconds(setting: _Setting) -> int:
    text = setting.value
    if not (
        text.isascii() and text.isdigit() and len(text) < 10 and 0 < int(text) <= MAX_TIMEOUT_MS
    ):
        raise setting.wrong(f"a whole number of milliseconds from 1 to {MAX_TIMEOUT_MS}")
    return int(text)


def _boolean(setting: _Setting) -> bool:
    if setting.value.lower() not in ("true", "false"):
        raise setting.wrong("true or false")
    return setting.value.lower() == "true"


def _path(setting: _Setting | None) -> Path | None:
    return None if setting is None else Path(setting.value)


def _choice(setting: _Setting, choices: type[_E]) -> _E:
    for choice in choices:
        if choice.value == setting.value:
            return choice
    raise setting.wrong(" or ".join(choice.value for choice in choices))
