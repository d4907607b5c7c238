"""Does a process trace itself with OpenTelemetry already?

Two kinds of evidence: how the SDK was loaded (this module, from the process's facts), and OTLP that the process sends
(`Protocol.delivers_spans`, asked by the pipeline). An exporter's variables alone are none: platforms set them for
every process. An SDK that is switched off does not count.

What this cannot find is an SDK that the program's own code starts, in a language without a linker: that shows only
in the traffic.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Set

    from agent.binaries.go import GoBuild
    from agent.processes.proc import ProcessFacts

_JAVA_AGENT: Final = re.compile(
    r"-javaagent:[^=]*?([^/=]*(?:opentelemetry|otel|applicationinsights-agent)[^/=]*\.jar)",
    re.IGNORECASE,
)
_JAVA_VARIABLES: Final = ("JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS")
_NODE_PRELOAD: Final = re.compile(
    r"(?:--require|--import|--experimental-loader|--loader|-r)[= ]\S*?"
    r"(@opentelemetry/|opentelemetry|otel-auto-instrumentation|/autoinstrumentation\.js)"
)
_PRELOADS: Final = (
    ("node", "NODE_OPTIONS", _NODE_PRELOAD),
    ("python", "PYTHONPATH", re.compile(r"opentelemetry/instrumentation/auto_instrumentation")),
    ("ruby", "RUBYOPT", re.compile(r"opentelemetry")),
)
"""Executables whose name contains the first load what stands in the variable."""
_CLR_PROFILER: Final = "{918728DD-259F-4A6A-AC2B-B85E1B658318}"
"""Class id of OpenTelemetry's .NET profiler."""
_MAPPED: Final = re.compile(
    r"(?:libopentelemetry_(?:trace|exporter\w*)|ngx_otel_module|otel_ngx_module|mod_otel"
    r"|OpenTelemetry\.AutoInstrumentation\.Native|libopentelemetry-webserver\w*)\.so"
)
_PHP_EXTENSION: Final = "opentelemetry.so"
_LOADS_MODULES: Final = re.compile(r"nginx|openresty|angie|apache2|httpd|php")
"""Programs that load OpenTelemetry as a module by their own configuration, of which nothing else shows."""
_GO_SDK: Final = "go.opentelemetry.io/otel/sdk"
_GO_EXPORTERS: Final = ("go.opentelemetry.io/otel/exporters/otlp/otlptrace",)


def evidence(
    facts: ProcessFacts,
    *,
    go: GoBuild | None = None,
    mapped: Callable[[], Set[str]] = frozenset,
) -> str | None:
    """Say by what it is known that this process exports spans itself; None if nothing says so."""
    if _is_off(facts):
        return None
    return (
        _in_arguments(facts)
        or _in_environment(facts)
        or _in_go(go)
        or (_in_mapped(facts, mapped()) if _may_map(facts) else None)
    )


def _is_off(facts: ProcessFacts) -> bool:
    environ = facts.environ
    return (
        environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
        or environ.get("OTEL_TRACES_EXPORTER", "").strip().lower() == "none"
        or environ.get("OTEL_JAVAAGENT_ENABLED", "").strip().lower() == "false"
    )


def _in_arguments(facts: ProcessFacts) -> str | None:
    if found := _java_agent(facts.argv):
        return f"the Java agent {found} is on its command line"
    for argument in facts.argv[:3]:
        if argument.rpartition("/")[2] == "opentelemetry-instrument":
            return "it was started by opentelemetry-instrument"
    if "node" in facts.executable_name and _NODE_PRELOAD.search(" ".join(facts.argv[1:16])):
        return "OpenTelemetry is preloaded on its command line"
    return None


def _in_environment(facts: ProcessFacts) -> str | None:
    name, environ = facts.executable_name, facts.environ
    if name == "java":
        for variable in _JAVA_VARIABLES:
            if found := _java_agent([environ.get(variable, "")]):
                return f"the Java agent {found} is in its {variable}"
    for part, variable, pattern in _PRELOADS:
        if part in name and pattern.search(environ.get(variable, "")):
            return f"OpenTelemetry is loaded by its {variable}"
    if environ.get("CORECLR_ENABLE_PROFILING") == "1" and (
        environ.get("CORECLR_PROFILER", "").upper() == _CLR_PROFILER
        or "OpenTelemetry" in environ.get("CORECLR_PROFILER_PATH", "")
    ):
        return "OpenTelemetry's .NET profiler is in its environment"
    return None


def _in_go(go: GoBuild | None) -> str | None:
    """The SDK alone is linked into much that only reads its own metrics; with an OTLP exporter it sends spans."""
    if go is None or _GO_SDK not in go.modules:
        return None
    if any(exporter in go.modules for exporter in _GO_EXPORTERS):
        return "OpenTelemetry's Go SDK and an OTLP exporter are linked in"
    return None


def _may_map(facts: ProcessFacts) -> bool:
    """Whether its mapped files are worth reading for this."""
    return bool(_LOADS_MODULES.match(facts.executable_name)) or any(
        name.startswith("OTEL_") for name in facts.environ
    )


def _in_mapped(facts: ProcessFacts, mapped: Set[str]) -> str | None:
    for name in sorted(path.rpartition("/")[2] for path in mapped):
        if _MAPPED.match(name):
            return f"it has loaded {name}"
        if (
            name == _PHP_EXTENSION
            and facts.environ.get("OTEL_PHP_AUTOLOAD_ENABLED", "").lower() == "true"
        ):
            return "it has loaded PHP's opentelemetry extension"
    return None


def _java_agent(arguments: Iterable[str]) -> str | None:
    for argument in arguments:
        if found := _JAVA_AGENT.search(argument):
            return found[1]
    return None
