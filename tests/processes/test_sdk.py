"""Who traces itself."""

from __future__ import annotations

import pytest

from agent.binaries.go import GoBuild
from agent.processes.proc import ProcessFacts
from agent.processes.sdk import evidence

PROFILER = "{918728dd-259f-4a6a-ac2b-b85e1b658318}"


@pytest.mark.parametrize(
    ("exe", "argv", "environ", "reason"),
    [
        (
            "java",
            ("java", "-javaagent:/otel/opentelemetry-javaagent.jar=x=y", "-jar", "a.jar"),
            {},
            "the Java agent opentelemetry-javaagent.jar is on its command line",
        ),
        (
            "java",
            ("java", "-jar", "a.jar"),
            {"JAVA_TOOL_OPTIONS": "-Xmx1g -javaagent:/o/aws-opentelemetry-agent.jar"},
            "the Java agent aws-opentelemetry-agent.jar is in its JAVA_TOOL_OPTIONS",
        ),
        (
            "python3.11",
            ("python3", "/venv/bin/opentelemetry-instrument", "python", "app.py"),
            {},
            "it was started by opentelemetry-instrument",
        ),
        (
            "python3.11",
            ("python3", "app.py"),
            {"PYTHONPATH": "/x/opentelemetry/instrumentation/auto_instrumentation:/y"},
            "OpenTelemetry is loaded by its PYTHONPATH",
        ),
        (
            "node",
            ("node", "--require", "@opentelemetry/auto-instrumentations-node/register", "a.js"),
            {},
            "OpenTelemetry is preloaded on its command line",
        ),
        (
            "node",
            ("node", "a.js"),
            {"NODE_OPTIONS": "--require /otel-auto-instrumentation-nodejs/autoinstrumentation.js"},
            "OpenTelemetry is loaded by its NODE_OPTIONS",
        ),
        (
            "ruby3.1",
            ("ruby", "a.rb"),
            {"RUBYOPT": "-ropentelemetry-auto-instrumentation"},
            "OpenTelemetry is loaded by its RUBYOPT",
        ),
        (
            "dotnet",
            ("dotnet", "a.dll"),
            {"CORECLR_ENABLE_PROFILING": "1", "CORECLR_PROFILER": PROFILER},
            "OpenTelemetry's .NET profiler is in its environment",
        ),
        ("java", ("java", "-javaagent:/newrelic.jar", "-jar", "a.jar"), {}, None),
        ("node", ("node", "-r", "dotenv/config", "a.js"), {}, None),
        ("bash", ("bash",), {"NODE_OPTIONS": "--require @opentelemetry/x"}, None),
        ("python3.11", ("python3", "a.py"), {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x"}, None),
        ("dotnet", ("dotnet", "a.dll"), {"CORECLR_PROFILER": PROFILER}, None),
    ],
)
def test_evidence_in_the_start(
    exe: str, argv: tuple[str, ...], environ: dict[str, str], reason: str | None
) -> None:
    facts = ProcessFacts(1, exe=f"/usr/bin/{exe}", argv=argv, environ=environ)
    assert evidence(facts) == reason


@pytest.mark.parametrize(
    "environ",
    [
        {"OTEL_SDK_DISABLED": "true"},
        {"OTEL_TRACES_EXPORTER": "none"},
        {"OTEL_JAVAAGENT_ENABLED": "false"},
    ],
)
def test_sdk_that_is_off(environ: dict[str, str]) -> None:
    argv = ("java", "-javaagent:/opentelemetry-javaagent.jar", "-jar", "a.jar")
    assert evidence(ProcessFacts(1, exe="/bin/java", argv=argv, environ=environ)) is None


def test_go_modules() -> None:
    facts = ProcessFacts(1, exe="/srv/shop")
    sdk = "go.opentelemetry.io/otel/sdk"
    exporter = "go.opentelemetry.io/otel/exporters/otlp/otlptrace"
    assert evidence(facts, go=GoBuild(modules=frozenset({sdk}))) is None
    assert evidence(facts, go=GoBuild(modules=frozenset({exporter}))) is None
    assert (
        evidence(facts, go=GoBuild(modules=frozenset({sdk, exporter})))
        == "OpenTelemetry's Go SDK and an OTLP exporter are linked in"
    )


def test_mapped_files_are_read_only_on_a_hint() -> None:
    mapped = {"/usr/lib/libopentelemetry_trace.so", "/usr/lib/php/opentelemetry.so"}
    loaded = "it has loaded libopentelemetry_trace.so"
    assert evidence(ProcessFacts(1, exe="/srv/a"), mapped=lambda: mapped) is None
    hinted = ProcessFacts(1, exe="/srv/a", environ={"OTEL_SERVICE_NAME": "a"})
    assert evidence(hinted, mapped=lambda: mapped) == loaded
    assert evidence(ProcessFacts(1, exe="/usr/sbin/nginx"), mapped=lambda: mapped) == loaded


def test_php_extension_must_be_switched_on() -> None:
    mapped = {"/usr/lib/php/opentelemetry.so"}
    off = ProcessFacts(1, exe="/usr/sbin/php-fpm8.2")
    on = ProcessFacts(1, exe="/usr/sbin/php-fpm8.2", environ={"OTEL_PHP_AUTOLOAD_ENABLED": "true"})
    assert evidence(off, mapped=lambda: mapped) is None
    assert evidence(on, mapped=lambda: mapped) == "it has loaded PHP's opentelemetry extension"
