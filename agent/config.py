"""Every setting. The command line rules over the environment, that over the configuration file, that over the default.

The file is YAML with the names below, nested by a dot (`select.port`). The standard OpenTelemetry variables keep their
names: those of exporters are read by `export/settings.py`, the others are in ENVIRONMENT.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Final

import msgspec
import yaml

from agent.errors import ConfigError
from agent.redaction import Policy, Redaction, Rule

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

DEFAULT_PROPAGATORS: Final = "tracecontext,b3,jaeger,datadog,xray"
"""All formats of trace context: whatever the traffic carries is honoured."""

PROPAGATE: Final = ("tcp-option", "http-header")
SELECTS: Final = ("select", "exclude", "propagate_for")
"""Settings that are a Select."""

ENVIRONMENT: Final = {
    "OTEL_TRACES_SAMPLER": "sampler",
    "OTEL_TRACES_SAMPLER_ARG": "sampler_arg",
    "OTEL_RESOURCE_ATTRIBUTES": "resource_attributes",
    "OTEL_PROPAGATORS": "propagators",
    "ZEROSPAN_LOG_LEVEL": "log_level",
    "ZEROSPAN_RING_KB": "ring_kb",
    "ZEROSPAN_WEB_TOKEN": "web_token",
    "ZEROSPAN_RECEIVE_TOKEN": "receive_token",
}
"""Variable → setting."""

MIB: Final = 1024 * 1024

DEFAULT_STORE: Final = "/var/lib/zerospan/traces.db"
DEFAULT_WEB: Final = "127.0.0.1:4320"


@dataclass(frozen=True, slots=True)
class Select:
    """Which processes; each list is one of alternatives."""

    pid: tuple[int, ...] = ()
    exe: tuple[str, ...] = ()
    """Globs of executable paths."""
    port: tuple[int, ...] = ()
    """Processes that listen on it."""
    container: tuple[str, ...] = ()
    """Beginning of a container's id, or its name."""


@dataclass(frozen=True, slots=True)
class Config:
    """The settings with their defaults."""

    select: Select = field(default_factory=Select)
    """What to trace; empty: everything but what is excluded."""
    exclude: Select = field(default_factory=Select)
    """What not to trace; rules over `select`."""
    export: tuple[str, ...] = ()
    """Destinations; empty: as the OTEL_ variables say, else the store."""
    store: str = ""
    """Keep traces in this file, whatever else is said; empty: in DEFAULT_STORE if nothing else is said."""
    store_mb: int = 512
    """MiB that the store may have."""
    store_hours: float = 24.0
    """How long the store keeps a trace."""
    web: str = DEFAULT_WEB
    """Address of the page over the store, where spans are kept in one; empty: no page."""
    web_token: str = ""
    """What visitors of the page must show; needed where the address can be reached from other hosts."""
    receive: tuple[str, ...] = ()
    """Where OTLP of others is received into the store: otlp, otlp+grpc://HOST[:PORT], otlp+http://HOST[:PORT]; empty: nowhere."""
    receive_token: str = ""
    """What senders must show; needed where the address can be reached from other hosts."""
    export_findings: bool = False
    """Tell what analyses find in a trace by events of its spans; they leave when their trace seems complete."""
    database_servers: bool = True
    """Report what database and cache servers on this host did, as SERVER spans, beside the calls of their clients."""
    sqlite: bool = True
    """Trace statements that processes execute in themselves by SQLite's library: each step of one costs two traps."""
    trace_instrumented: bool = False
    """Trace processes that export OpenTelemetry themselves, too."""
    sampler: str = "parentbased_always_on"
    sampler_arg: str = ""
    resource_attributes: str = ""
    """Attributes for all resources, as OTEL_RESOURCE_ATTRIBUTES writes them."""
    propagators: str = DEFAULT_PROPAGATORS
    """Formats of trace context to read, first come first served. OpenTelemetry's own default is tracecontext,baggage,
    for an SDK also sends what it names; we only read, and honor whatever the traffic carries."""
    propagate: tuple[str, ...] = ()
    """How requests carry trace contexts to other hosts, of PROPAGATE; empty: not at all."""
    propagate_for: Select = field(default_factory=Select)
    """Which processes' requests; empty: those that `select` names."""
    ring_kb: int = 8192
    """The ring buffer: half a second of 20 000 exchanges/s."""
    max_connections: int = 32768
    """Sockets that the kernel side follows at once."""
    capture_request_bytes: int = 4096
    """Captured of what goes toward a server, per turn. Grows by itself for longer heads."""
    capture_response_bytes: int = 1024
    """Captured of what comes from a server, per turn."""
    shutdown_s: float = 1.5
    """What exporters get to deliver the rest at the end."""
    nice: int = -10
    """Scheduling priority, as nice(1) has it. With the same as everybody's, many busy processes leave too little of the CPU to
    read the ring buffer in time."""
    kprobes: bool = False
    """Use kprobes even where the kernel has trampolines."""
    log_level: str = "INFO"
    thresholds: dict[str, int | float] = field(default_factory=dict)
    """From when on something is trouble, by name (docs/analysis.md); what `zerospan analyze` and `trace` hold traces to."""
    redaction: Redaction = field(default_factory=Redaction)
    """What leaves of attributes, beyond what is always redacted; file only."""


def load(
    *, flags: Mapping[str, Any], environment: Mapping[str, str], path: Path | None = None
) -> Config:
    """Put the settings together. `flags` and the file use the names of `Config`; raises ConfigError."""
    merged = _from_file(path) if path is not None else {}
    for variable, name in ENVIRONMENT.items():
        if environment.get(variable):
            merged[name] = environment[variable]
    for name, value in flags.items():
        if name in SELECTS:
            merged[name] = {**(merged.get(name) or {}), **value}
        else:
            merged[name] = value
    try:
        config = msgspec.convert(merged, Config, strict=False)
    except msgspec.ValidationError as error:
        raise ConfigError(_readable(str(error))) from error
    _check(config)
    return config


def _from_file(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text()
    except OSError as error:
        raise ConfigError(f"cannot read the configuration file {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not YAML: it is no text") from error
    try:
        table = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not YAML: {' '.join(str(error).split())}") from error
    known = {setting.name for setting in fields(Config)}
    if not isinstance(table, dict):
        raise ConfigError(f"{path} must hold settings as `name: value`")
    for name, value in table.items():
        if name not in known:
            raise ConfigError(
                f"{path}: there is no setting {name!r}; there are {', '.join(sorted(known))}"
            )
        if name in SELECTS:
            if not isinstance(value, dict):
                raise ConfigError(
                    f"{path}: {name} must hold `pid`, `exe`, `port` or `container`, each with a list"
                )
            kinds = {setting.name for setting in fields(Select)}
            for kind in value.keys() - kinds:
                raise ConfigError(
                    f"{path}: {name} has no {kind!r}; it has {', '.join(sorted(kinds))}"
                )
    _check_redaction(path, table.get("redaction", {}))
    return table


def _check_redaction(path: Path, section: Any) -> None:
    """Names in the section `redaction`: a misspelled rule must not be one that does nothing."""
    if not isinstance(section, dict):
        raise ConfigError(f"{path}: redaction must hold `rules` and `hash_key`")
    _refuse_unknown(path, "redaction", section, Redaction)
    rules = section.get("rules", [])
    if not isinstance(rules, list) or not all(isinstance(rule, dict) for rule in rules):
        raise ConfigError(
            f"{path}: redaction.rules must be a list of `action:`, `key:`, `pattern:`"
        )
    for number, rule in enumerate(rules, 1):
        _refuse_unknown(path, f"redaction.rules: rule {number}", rule, Rule)
        if "action" not in rule:
            raise ConfigError(
                f"{path}: redaction.rules: rule {number} has no action: allow, mask, hash or drop"
            )


def _refuse_unknown(path: Path, place: str, table: dict[str, Any], of: type[Any]) -> None:
    known = {setting.name for setting in fields(of)}
    for name in table.keys() - known:
        raise ConfigError(f"{path}: {place} has no {name!r}; it has {', '.join(sorted(known))}")


def _readable(message: str) -> str:
    """msgspec's words with the setting first: "Expected `int`, got `str` - at `$.ring_kb`"."""
    found = re.fullmatch(r"(.*) - at `\$\.?(.*)`", message)
    return f"setting {found.group(2)}: {found.group(1)}" if found else message


def _check(config: Config) -> None:  # noqa: C901  (one setting after the other)
    ring = config.ring_kb
    if not 64 <= ring <= 1 << 20 or ring & (ring - 1):
        raise ConfigError(f"setting ring_kb: {ring} is not a power of two from 64 to 1048576")
    if not 16 <= config.max_connections <= 1 << 20:
        raise ConfigError(
            f"setting max_connections: {config.max_connections} is not from 16 to 1048576"
        )
    for name in ("capture_request_bytes", "capture_response_bytes"):
        value = getattr(config, name)
        if not 128 <= value <= 65536:
            raise ConfigError(f"setting {name}: {value} is not from 128 to 65536")
    if not 16 <= config.store_mb <= 1 << 20:
        raise ConfigError(f"setting store_mb: {config.store_mb} is not from 16 to 1048576")
    if not 0 < config.store_hours <= 24 * 366:
        raise ConfigError(f"setting store_hours: {config.store_hours} is not from 0 to 8784")
    if not 0 <= config.shutdown_s <= 60:
        raise ConfigError(f"setting shutdown_s: {config.shutdown_s} is not from 0 to 60")
    if not -20 <= config.nice <= 19:
        raise ConfigError(f"setting nice: {config.nice} is not from -20 to 19")
    if config.log_level.upper() not in ("DEBUG", "INFO", "WARNING", "ERROR"):
        raise ConfigError(
            f"setting log_level: {config.log_level!r} is none of debug, info, warning, error"
        )
    for name in SELECTS:
        _check_selection(getattr(config, name))
    _check_propagation(config)
    Policy(config.redaction)


def _check_propagation(config: Config) -> None:
    if not config.propagate:
        if config.propagate_for != Select():
            raise ConfigError("propagate_for names processes, but propagate does not say how")
        return
    for way in config.propagate:
        if way not in PROPAGATE:
            raise ConfigError(f"setting propagate: {way!r} is not {' or '.join(PROPAGATE)}")
    if config.propagate_for == Select() == config.select:
        raise ConfigError(
            "propagate needs to be told for which processes: --propagate-pid, --propagate-exe, --propagate-port, "
            "--propagate-container, or those that are selected for tracing"
        )


def _check_selection(select: Select) -> None:
    for port in select.port:
        if not 0 < port < 65536:
            raise ConfigError(f"port {port} is not from 1 to 65535")
    for pid in select.pid:
        if pid <= 0:
            raise ConfigError(f"pid {pid} is not positive")
