"""A process as an OpenTelemetry resource.

Who says what, the later winning:

    what is found out       host.*, os.*, container.*, process.*, service.*, telemetry.sdk.*
    the agent's operator    OTEL_RESOURCE_ATTRIBUTES of zerospan: for all processes alike, so not service.name,
                            service.instance.id, container.* and process.*
    the process's owner     OTEL_RESOURCE_ATTRIBUTES of the process, then its OTEL_SERVICE_NAME; not process.*,
                            which are facts
    nobody else             telemetry.sdk.*: who made the span

service.name, if the owner does not say it: the container's name, the systemd unit, what the program runs
(agent.processes.naming), else `unknown_service`.

https://opentelemetry.io/docs/specs/semconv/resource/ and
https://opentelemetry.io/docs/specs/otel/resource/sdk/#specifying-resource-information-via-an-environment-variable
"""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote_to_bytes

from agent.errors import ConfigError
from agent.processes.naming import program_name
from agent.processes.text import clean, clean_text
from agent.spans import semconv
from agent.spans.span import Resource, Value

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent.processes.host import Host
    from agent.processes.proc import ProcessFacts
    from agent.processes.runtime import Runtime

CONTAINER_NAME: Final = "container.name"
UNKNOWN_SERVICE: Final = "unknown_service"
"""The specification's word for a service without a name."""

MAX_ATTRIBUTES: Final = 64
MAX_KEY: Final = 255
MAX_VALUE: Final = 1024

_VARIABLE: Final = "OTEL_RESOURCE_ATTRIBUTES"
_KEY: Final = re.compile(r"[!-~]+")
"""Printable ASCII without spaces."""
_BAD_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_OWN_SDK: Final = "telemetry.sdk."
_OF_ONE_PROCESS: Final = ("process.", "container.", "service.name", "service.instance.id")

_NAMELESS_UNITS: Final = re.compile(
    r"(?:systemd-.*|(?:serial-)?getty@.*|cron|crond|anacron|atd|ssh|sshd|ssh@.*|sshd@.*|docker|containerd|crio|podman"
    r"|supervisor|supervisord|monit|rc-local|rc\.local|cloud-(?:init|final|config).*|dbus.*|user@.*|session-.*|run-.*)$"
)
"""Units that start programs of others, which are not named for them."""


@dataclass(frozen=True, slots=True)
class ParsedAttributes:
    """OTEL_RESOURCE_ATTRIBUTES as read: attributes, or what is wrong with the text."""

    attributes: Mapping[str, str] = field(default_factory=dict)
    problem: str = ""


def parse_attributes(text: str) -> ParsedAttributes:
    """Read `key=value,…` with percent-encoded values. One error makes all of it void, as the specification asks."""
    found: dict[str, str] = {}
    for number, pair in enumerate(text.split(","), start=1):
        if not pair.strip():
            continue
        key, separator, raw = (part.strip() for part in pair.partition("="))
        if not separator:
            return ParsedAttributes(problem=f"entry {number} has no '='")
        if _BAD_ESCAPE.search(pair):
            return ParsedAttributes(
                problem=f"entry {number} has a '%' without two hexadecimal digits"
            )
        key = clean(unquote_to_bytes(key), limit=MAX_KEY + 1)
        if len(key) > MAX_KEY or not _KEY.fullmatch(key):
            return ParsedAttributes(problem=f"entry {number} has no valid key")
        if len(found) >= MAX_ATTRIBUTES:
            return ParsedAttributes(problem=f"there are more than {MAX_ATTRIBUTES} entries")
        found[key] = clean(unquote_to_bytes(raw), limit=MAX_VALUE)
    return ParsedAttributes(found)


def agent_attributes(environ: Mapping[str, str]) -> Mapping[str, str]:
    """The operator's attributes for all processes; ConfigError if they cannot be read."""
    parsed = parse_attributes(environ.get(_VARIABLE, ""))
    if parsed.problem:
        raise ConfigError(f"{_VARIABLE}: {parsed.problem}")
    return {
        key: value
        for key, value in parsed.attributes.items()
        if not key.startswith((_OWN_SDK, *_OF_ONE_PROCESS))
    }


class Identity:
    """Makes resources: what is the same for all processes of this host is worked out once."""

    def __init__(
        self, host: Host, *, version: str, attributes: Mapping[str, str] | None = None
    ) -> None:
        self._host = host
        self._namespace = uuid.uuid5(uuid.NAMESPACE_OID, f"zerospan {host.id} {host.boot_id}")
        shared = {
            semconv.HOST_NAME: host.name,
            semconv.HOST_ID: host.id,
            semconv.HOST_ARCH: host.arch,
            semconv.OS_TYPE: "linux",
        }
        self._shared = {key: value for key, value in shared.items() if value} | dict(
            attributes or {}
        )
        self._sdk = {
            semconv.TELEMETRY_SDK_NAME: "zerospan",
            semconv.TELEMETRY_SDK_VERSION: version,
        }

    def instance_id(self, facts: ProcessFacts) -> str:
        """The same for one process always, another for any other on any host."""
        return str(uuid.uuid5(self._namespace, f"{facts.pid} {facts.start_ticks}"))

    def resource_of(
        self,
        facts: ProcessFacts,
        runtime: Runtime,
        *,
        container_name: str = "",
        parent_service: str = "",
    ) -> Resource:
        """Describe a process. `parent_service` names it where it is a part of its parent's service."""
        own = own_attributes(facts)
        name = service_name(facts, container_name=container_name, parent_service=parent_service)
        found: dict[str, Value] = {
            semconv.SERVICE_NAME: name,
            semconv.SERVICE_INSTANCE_ID: self.instance_id(facts),
        }
        found.update(self._process(facts))
        found[semconv.PROCESS_RUNTIME_NAME] = runtime.name
        found[semconv.PROCESS_RUNTIME_VERSION] = runtime.version
        found[semconv.CONTAINER_ID] = facts.cgroup.container_id
        found[CONTAINER_NAME] = container_name
        found.update(self._shared)
        found.update(own)
        found[semconv.SERVICE_NAME] = name
        found.update(self._sdk)
        found[semconv.TELEMETRY_SDK_LANGUAGE] = runtime.language
        return Resource((key, value) for key, value in found.items() if value != "")

    def _process(self, facts: ProcessFacts) -> dict[str, Value]:
        found: dict[str, Value] = {semconv.PROCESS_PID: facts.pid}
        if facts.ppid:
            found[semconv.PROCESS_PARENT_PID] = facts.ppid
        found[semconv.PROCESS_EXECUTABLE_NAME] = facts.executable_name
        found[semconv.PROCESS_EXECUTABLE_PATH] = facts.exe
        found[semconv.PROCESS_COMMAND] = _command(facts)
        found[semconv.PROCESS_OWNER] = self._owner(facts)
        if facts.start_unix_ns:
            started = datetime.fromtimestamp(facts.start_unix_ns // 1_000_000 / 1000, tz=UTC)
            found[semconv.PROCESS_CREATION_TIME] = started.isoformat(
                timespec="milliseconds"
            ).replace("+00:00", "Z")
        return found

    def _owner(self, facts: ProcessFacts) -> str:
        """A container has users of its own, of which the host's list says nothing; root is root anywhere."""
        if facts.uid is None or (facts.cgroup.container_id and facts.uid != 0):
            return ""
        return self._host.users.get(facts.uid, "")


def own_attributes(facts: ProcessFacts) -> dict[str, str]:
    """What the process's owner says of it; nothing if that cannot be read."""
    parsed = parse_attributes(facts.environ.get(_VARIABLE, ""))
    return {
        key: value
        for key, value in parsed.attributes.items()
        if not key.startswith((_OWN_SDK, "process."))
    }


def service_name(facts: ProcessFacts, *, container_name: str = "", parent_service: str = "") -> str:
    """The name under which the process's spans are shown; never empty."""
    named = facts.environ.get("OTEL_SERVICE_NAME", "").strip()
    named = named or own_attributes(facts).get(semconv.SERVICE_NAME, "").strip()
    unit = facts.cgroup.unit
    if not named and unit and not _NAMELESS_UNITS.match(unit):
        named = unit
    name = named or container_name or parent_service or program_name(facts)
    return clean_text(name, limit=MAX_KEY) or UNKNOWN_SERVICE


def _command(facts: ProcessFacts) -> str:
    """argv[0] as it was given; a title that a program wrote over it may tell of its users."""
    command = facts.argv[0] if facts.argv else ""
    return facts.executable_name if " " in command else command
