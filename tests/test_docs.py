"""What README.md and docs/ say is what the code does: flags, settings, variables, keys, rules, names, paths."""

from __future__ import annotations

import json
import re
import signal
import tomllib
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import click
import pytest
import yaml

from agent import __version__, check, cli, cli_traces
from agent.cli_redact import LEAK_EXIT
from agent.config import ENVIRONMENT, Config, Select, load
from agent.connections.session import Trouble
from agent.counters import Delivery, Ledger, Received
from agent.explain import Search, explain
from agent.export.otlp_json import encode_line
from agent.export.otlp_read import read_line
from agent.export.settings import settings_from
from agent.kernel.layout import enum
from agent.kernel.loader import MAPS
from agent.kernel.programs import load_probes
from agent.processes.selection import SYSTEM_DAEMONS
from agent.protocols.pairing import Failure
from agent.query.parser import parse
from agent.query.syntax import Intrinsic, Operator
from agent.replay import replay
from agent.spans import semconv
from agent.spans.span import Span
from agent.traces import rules as parents
from agent.traces import stamps
from agent.traces.context_propagators import FORMATS, NAMES, Propagators
from bench.vm.workloads import WORKLOADS

CHECKOUT = Path(__file__).resolve().parent.parent
README = (CHECKOUT / "README.md").read_text()
DOCUMENTS = {
    path.relative_to(CHECKOUT).as_posix(): path.read_text()
    for path in (
        CHECKOUT / "README.md",
        CHECKOUT / "CHANGELOG.md",
        *(CHECKOUT / "docs").glob("*.md"),
    )
}
SOURCES = "\n".join(path.read_text() for path in (CHECKOUT / "agent").rglob("*.py"))

NOT_OURS = {"--system-site-packages", "--now"}
"""Flags of other programs that the documents mention."""
OF_BENCH = {"--kernel", "--baseline", "--agent", "--memory", "--exchanges"}
OUR_FILES = re.compile(
    r"(?<![\w./-])(?:agent|probes|tests|deploy|bench|demo|docs)/[\w./-]*\w/?(?![\w<])"
)


def rows(text: str, heading: str) -> list[list[str]]:
    """The cells of the table rows under a header whose first cells are `heading`."""
    lines = iter(text.splitlines())
    found: list[list[str]] = []
    for line in lines:
        if line.startswith(heading):
            next(lines)
            for row in lines:
                if not row.startswith("|"):
                    break
                found.append([cell.strip() for cell in row.strip("|").split("|")])
    assert found, heading
    return found


def code(cell: str) -> list[str]:
    """What stands in a cell as code."""
    return re.findall(r"`([^`]+)`", cell)


def first_codes(text: str, heading: str) -> list[str]:
    return [name for row in rows(text, heading) for name in code(row[0])]


def block(text: str, language: str) -> str:
    found = re.search(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert found, language
    return found[1]


# Commands, flags, exit codes.


def flags_of(command: click.Command) -> set[str]:
    context = click.Context(command)
    return {
        flag
        for parameter in command.get_params(context)
        if isinstance(parameter, click.Option)
        for flag in parameter.opts
        if flag.startswith("--")
    }


COMMANDS = {name: flags_of(command) for name, command in cli.commands.commands.items()}
ALL_FLAGS = set().union(flags_of(cli.commands), *COMMANDS.values())


def flags_in(text: str) -> set[str]:
    return set(re.findall(r"(?<![\w-])--[a-z][a-z-]*[a-z](?![\w-])", text))


@pytest.mark.parametrize("name", DOCUMENTS)
def test_flags_that_are_mentioned_exist(name: str) -> None:
    bench = "".join(
        (CHECKOUT / "bench" / at).read_text() for at in ("__main__.py", "vm/__main__.py")
    )
    assert all(f'"{flag}"' in bench for flag in OF_BENCH)
    assert flags_in(DOCUMENTS[name]) - ALL_FLAGS - NOT_OURS - OF_BENCH == set()


def test_table_of_flags_is_what_the_commands_take() -> None:
    documented: dict[str, set[str]] = {}
    for row in rows(README, "| flag | of |"):
        for command in row[1].split(", ") if row[1] else [*COMMANDS, ""]:
            documented.setdefault(command, set()).update(flags_in(row[0]))
    documented.pop("")
    assert documented == {name: flags | flags_of(cli.commands) for name, flags in COMMANDS.items()}


def test_commands_are_documented() -> None:
    # A command's row may hold an example, too.
    commands = [code(row[0])[0].split()[1] for row in rows(README, "| command |")]
    assert sorted(commands) == sorted(COMMANDS)


def test_commands_that_read_the_store_are_documented() -> None:
    document = DOCUMENTS["docs/query.md"]
    commands = [code(row[0])[0].split()[1] for row in rows(document, "| command | shows |")]
    assert sorted(commands) == sorted(str(command.name) for command in cli_traces.COMMANDS)


def test_examples_of_queries_are_queries_and_every_field_is_documented() -> None:
    document = DOCUMENTS["docs/query.md"]
    examples = block(document, "text").splitlines()
    assert len(examples) > 5
    for example in examples:
        parse(example)
    shell = re.findall(r"zerospan query '([^']*)'", "\n".join(DOCUMENTS.values()))
    for example in shell:
        parse(example)
    fields_ = first_codes(document, "| field | is |")
    assert {name for name in fields_ if name.isalpha()} >= {one.value for one in Intrinsic}
    operators = re.findall(r"`(=~|!~|[=!<>]=?)`", document)
    assert set(operators) >= {one.value for one in Operator}


def test_exit_codes_are_documented() -> None:
    documented = [row[0] for row in rows(README, "| exit code |")]
    codes = (0, cli.KERNEL_EXIT, cli.CONFIG_EXIT, cli.RECORDING_EXIT, LEAK_EXIT)
    assert documented == [*map(str, codes), f"{128 + signal.SIGINT}, {128 + signal.SIGTERM}"]


def test_make_targets_that_are_mentioned_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (CHECKOUT / "Makefile").read_text(), re.MULTILINE))
    mentioned = {
        target
        for text in DOCUMENTS.values()
        for target in re.findall(r"(?:`|^)make ([a-z-]+)", text, re.MULTILINE)
    }
    assert {"demo", "test", "bench"} <= mentioned <= targets


# Settings and variables.


def example(tmp_path: Path) -> Config:
    path = tmp_path / "zerospan.yaml"
    path.write_text(block(README, "yaml"))
    return load(flags={}, environment={}, path=path)


def test_example_of_a_file_loads_and_shows_every_setting(tmp_path: Path) -> None:
    config = example(tmp_path)
    shown = yaml.safe_load(block(README, "yaml"))
    assert shown.keys() == {setting.name for setting in fields(Config)}
    kinds = {setting.name for setting in fields(Select)}
    assert shown["select"].keys() == shown["exclude"].keys() == kinds
    assert [setting.name for setting in settings_from({}, config.export)] == [*config.export]


def test_example_of_a_file_shows_the_defaults(tmp_path: Path) -> None:
    config = example(tmp_path)
    assert config == Config(select=config.select, exclude=config.exclude, export=config.export)


def test_every_variable_is_documented_and_every_documented_one_is_read() -> None:
    documented = set(first_codes(README, "| variable |"))
    general = {name for name in documented if name.startswith("OTEL_EXPORTER_OTLP_")}
    suffixes = {name.removeprefix("OTEL_EXPORTER_OTLP_") for name in general} - {"TRACES_…"}
    read = set(re.findall(r'\.otlp\("(\w+)"\)', SOURCES))
    assert suffixes == read
    assert documented - general == ENVIRONMENT.keys() | {"OTEL_TRACES_EXPORTER"}


# The ledger.


def flat(value: object, path: str = "") -> Iterator[str]:
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from flat(inner, f"{path}.{key}" if path else key)
    else:
        yield path


def counters() -> list[str]:
    return [
        name.removeprefix("COUNT_").lower()
        for name in enum("maps.h", "counter")
        if name != "COUNT_MAX"
    ] + ["recursion_misses"]


def causes_in_sources(pattern: str) -> set[str]:
    return set(re.findall(pattern, SOURCES))


def test_ledgers_keys_are_those_that_are_documented() -> None:
    ledger = Ledger(exporters={"NAME": Delivery()}, received=Received())
    ledger.kernel = dict.fromkeys((name for name in counters() if not name.startswith("lost_")), 0)
    documented = first_codes(DOCUMENTS["docs/ledger.md"], "| key |")
    assert sorted(documented) == sorted(flat(ledger.as_json()))


def test_causes_are_those_that_are_documented() -> None:
    documented: dict[str, set[str]] = {}
    for path in first_codes(DOCUMENTS["docs/ledger.md"], "| cause | means |"):
        key, _, cause = path.rpartition(".")
        documented.setdefault(key, set()).add(cause)
    muted = causes_in_sources(r'\bmute\(\w+, "(\w+)"\)')
    muted |= causes_in_sources(r'opaque_cause = (?:True, )?"(\w+)"')
    assert documented["records.lost"] == {
        name.removeprefix("lost_") for name in counters() if name.startswith("lost_")
    }
    assert documented["records.ignored"] == causes_in_sources(r'records_ignored\["(\w+)"\]')
    assert documented["exchanges.unparsed"] == {trouble.value for trouble in Trouble}
    assert {cause for cause in documented["connections"] if cause.startswith("muted_")} == {
        f"muted_{cause}" for cause in muted
    }
    assert {cause for cause in documented["connections"] if not cause.startswith("muted_")} == (
        causes_in_sources(r'ledger\.connections\["(\w+)"\]')
    )
    assert documented["limits"] == (
        causes_in_sources(r'counts\["(\w+)"\] \+=') | causes_in_sources(r'limits\["(\w+)"\]')
    )
    assert documented["received.refused"] == (
        causes_in_sources(r'refuse\("(\w+)"\)')
        | causes_in_sources(r'cause="(\w+)"\)(?: from None)?  # fmt: skip')
        | causes_in_sources(r'refused\["(\w+)"\]')
    )
    for key in ("exchanges.lost", "exchanges.filtered", "exporters.NAME.dropped"):
        words = {re.sub(r"_(?:STATUS|CODE)$", "_", cause) for cause in documented[key]}
        assert {word for word in words if f'"{word}' not in SOURCES} == set()


def test_ledger_that_is_shown_has_every_key() -> None:
    shown = json.loads(block(README, "json"))
    lost = [name for name in counters() if name.startswith("lost_")]
    assert shown["records"].keys() == {"read", "lost", "ignored"} | {
        name for name in counters() if name not in lost
    }
    assert list(shown["records"]["lost"]) == [name.removeprefix("lost_") for name in lost]
    assert {key: list(value) for key, value in shown.items() if key in ("exchanges", "spans")} == {
        key: list(value)
        for key, value in Ledger().as_json().items()
        if key in ("exchanges", "spans") and isinstance(value, dict)
    }
    assert shown.keys() == Ledger().as_json().keys()
    filtered = sum(shown["exchanges"]["filtered"].values())
    assert shown["exchanges"]["captured"] == sum(shown["spans"]["parents"].values()) + filtered


# Traces, processes, probes.


def test_parent_rules_are_documented() -> None:
    rules = {
        value
        for name, value in (vars(parents) | vars(stamps)).items()
        if name.startswith(("RULE_", "REFUSED_"))
    }
    documented = first_codes(README, f"| `{semconv.PARENT_RULE}` | the parent is |")
    assert sorted(documented) == sorted(rules | set(FORMATS))


def test_formats_of_context_are_documented() -> None:
    text = DOCUMENTS["docs/propagation.md"]
    documented = rows(text, "| name | header fields |")
    names = {name for row in documented for name in code(row[0])}
    assert names == set(NAMES) - {"baggage", "none"}
    fields = {field.lower() for row in documented for field in code(row[1])}
    assert fields == {field.decode() for field in Propagators([*names]).fields}
    assert f"\n    {Config().propagators}\n" in text
    assert {kind for kind in FORMATS if f"`{kind}`" not in text} == set()
    assert {name for name in NAMES if f"`{name}`" not in README} == set()


def test_example_of_an_explanation_is_what_is_printed() -> None:
    found = re.search(
        r"`zerospan explain (\w+) ([\w/.]+)` prints:\n\n```text\n(.*?)```", README, re.DOTALL
    )
    assert found
    search = Search(found[1])

    def take(span: Span) -> None:
        if search.wants(span.trace_id.hex()):
            for read in read_line(encode_line([span])):
                search.add(read)

    replay(CHECKOUT / found[2], emit=take, ledger=Ledger())
    printed = "\n".join(explain(search.trace("")))
    assert printed.startswith(found[3].rstrip())


def test_attributes_of_ours_are_documented() -> None:
    used = {
        value
        for name, value in vars(semconv).items()
        if isinstance(value, str) and value.startswith("zerospan.") and f"semconv.{name}" in SOURCES
    }
    assert set(first_codes(README, "| attribute of ours |")) == used


def test_failures_are_documented() -> None:
    raised = {failure for failure in Failure if f"Failure.{failure.name}" in SOURCES}
    types = {failure.value for failure in raised - {Failure.AGENT_EXIT}}
    assert {kind for kind in types if f"`{kind}`" not in README} == set()


def test_list_of_system_daemons_is_the_one_in_use() -> None:
    documented = {
        code(name)[0]: what
        for name, what in rows(DOCUMENTS["docs/selection.md"], "| executable | what it does |")
    }
    assert documented == dict(SYSTEM_DAEMONS)


def test_hooked_functions_are_documented() -> None:
    documented = first_codes(DOCUMENTS["docs/architecture.md"], "| hooked function |")
    hooked = {
        hook.partition(":")[2]
        for probe in load_probes()
        for program in probe.programs
        for hook in program.hooks
    }
    assert sorted(documented) == sorted(hooked)


def test_maps_are_documented() -> None:
    assert first_codes(DOCUMENTS["docs/architecture.md"], "| map | holds |") == [*MAPS]


def test_keys_of_a_probes_description_are_documented() -> None:
    probes = [tomllib.loads(path.read_text()) for path in (CHECKOUT / "probes").glob("*.toml")]
    keys = {key for probe in probes for program in probe["program"] for key in program}
    section = README.partition("### Add a probe")[2].partition("###")[0]
    assert {key for key in keys if f"`{key}`" not in section} == set()


def test_table_of_costs_has_every_workload() -> None:
    documented = [
        (row[0], row[4]) for row in rows(DOCUMENTS["docs/performance.md"], "| workload |")
    ]
    assert documented == [
        (workload.what, f"{workload.limit_ms:.2f}" if workload.limit_ms else "")
        for workload in WORKLOADS
    ]


def test_capabilities_are_documented() -> None:
    unit = (CHECKOUT / "deploy/zerospan.service").read_text()
    bounding = re.search(r"^CapabilityBoundingSet=(.*)$", unit, re.MULTILINE)
    assert bounding
    documented = first_codes(DOCUMENTS["docs/operations.md"], "| capability |")
    assert sorted(documented) == sorted(bounding[1].split())
    assert set(check.CAPABILITIES) <= set(documented)


# The documents themselves.


@pytest.mark.parametrize("name", DOCUMENTS)
def test_files_that_are_mentioned_exist(name: str) -> None:
    text = DOCUMENTS[name]
    mentioned = set(OUR_FILES.findall(text))
    links = {
        ((CHECKOUT / name).parent / link).resolve().relative_to(CHECKOUT).as_posix()
        for link in re.findall(r"\]\(([\w./-]+\.md)\)", text)
    }
    assert {path for path in mentioned | links if not (CHECKOUT / path).exists()} == set()


@pytest.mark.parametrize("name", DOCUMENTS)
def test_only_measured_figures_may_be_missing(name: str) -> None:
    assert "TBD" not in DOCUMENTS[name] or name == "docs/performance.md"


def test_changelog_begins_with_this_version() -> None:
    versions = re.findall(r"^## \[([\d.]+)\]", DOCUMENTS["CHANGELOG.md"], re.MULTILINE)
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())
    assert project["project"]["dynamic"] == ["version"]
    assert versions[0] == __version__
