"""Processes as OpenTelemetry resources."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import ConfigError
from agent.processes.cgroup import Cgroup
from agent.processes.host import Host
from agent.processes.proc import ProcessFacts
from agent.processes.resource import (
    MAX_ATTRIBUTES,
    Identity,
    agent_attributes,
    own_attributes,
    parse_attributes,
    service_name,
)
from agent.processes.runtime import Kind, Runtime
from tests.processes.tree import CONTAINER

HOST = Host(name="node-1", id="m-1", arch="amd64", boot_id="b-1", users={0: "root", 1000: "ann"})
FACTS = ProcessFacts(
    42,
    ppid=7,
    start_ticks=250,
    start_unix_ns=1_700_000_002_500_000_000,
    comm="python3",
    exe="/usr/bin/python3.11",
    argv=("python3", "/srv/app.py", "--password=hunter2"),
    uid=1000,
)
PYTHON = Runtime(Kind.PYTHON, "3.11")
IN_CONTAINER = Cgroup("/x", container_id=CONTAINER)


def attributes(
    facts: ProcessFacts, identity: Identity | None = None, **more: str
) -> dict[str, object]:
    maker = identity or Identity(HOST, version="1.0")
    return dict(maker.resource_of(facts, PYTHON, **more).attributes)


def test_resource_of_a_process() -> None:
    assert attributes(FACTS) == {
        "service.name": "app",
        "service.instance.id": "0a35fb71-9e4a-5ce0-a4e4-bda2919c6fdb",
        "process.pid": 42,
        "process.parent_pid": 7,
        "process.executable.name": "python3.11",
        "process.executable.path": "/usr/bin/python3.11",
        "process.command": "python3",
        "process.owner": "ann",
        "process.creation.time": "2023-11-14T22:13:22.500Z",
        "process.runtime.name": "cpython",
        "process.runtime.version": "3.11",
        "host.name": "node-1",
        "host.id": "m-1",
        "host.arch": "amd64",
        "os.type": "linux",
        "telemetry.sdk.name": "zerospan",
        "telemetry.sdk.version": "1.0",
        "telemetry.sdk.language": "python",
    }


def test_process_in_a_container() -> None:
    facts = ProcessFacts(42, exe="/srv/shop", uid=1000, cgroup=IN_CONTAINER)
    found = attributes(facts, container_name="web")
    assert found["container.id"] == CONTAINER
    assert found["container.name"] == found["service.name"] == "web"
    assert "process.owner" not in found
    assert attributes(ProcessFacts(42, uid=0, cgroup=IN_CONTAINER))["process.owner"] == "root"


def test_instance_id_is_of_the_process_on_this_boot() -> None:
    here = Identity(HOST, version="1")
    same = Identity(HOST, version="2")
    rebooted = Identity(Host(id="m-1", boot_id="b-2"), version="1")
    first, later = ProcessFacts(42, start_ticks=1), ProcessFacts(42, start_ticks=2)
    assert here.instance_id(first) == same.instance_id(first)
    ids = [here.instance_id(first), here.instance_id(later), rebooted.instance_id(first)]
    assert len(set(ids)) == 3


@pytest.mark.parametrize(
    ("environ", "unit", "container", "parent", "name"),
    [
        ({"OTEL_SERVICE_NAME": "own"}, "unit", "web", "boss", "own"),
        (
            {"OTEL_SERVICE_NAME": "own", "OTEL_RESOURCE_ATTRIBUTES": "service.name=other"},
            "",
            "",
            "",
            "own",
        ),
        ({"OTEL_RESOURCE_ATTRIBUTES": "a=b,service.name=my%20shop"}, "unit", "", "", "my shop"),
        ({"OTEL_RESOURCE_ATTRIBUTES": "service.name"}, "unit", "", "", "unit"),
        ({"OTEL_SERVICE_NAME": " "}, "", "web", "", "web"),
        ({}, "", "", "boss", "boss"),
        ({}, "cron", "", "", "app"),
        ({}, "getty@tty1", "", "", "app"),
        ({}, "", "", "", "app"),
    ],
)
def test_service_name(
    environ: dict[str, str], unit: str, container: str, parent: str, name: str
) -> None:
    facts = ProcessFacts(
        1,
        exe="/usr/bin/python3",
        argv=("python3", "app.py"),
        environ=environ,
        cgroup=Cgroup(unit=unit),
    )
    assert service_name(facts, container_name=container, parent_service=parent) == name


def test_service_without_any_name() -> None:
    assert service_name(ProcessFacts(1)) == "unknown_service"


def test_title_is_not_exported() -> None:
    facts = ProcessFacts(1, exe="/usr/bin/postgres", argv=("postgres: ann shop [local] SELECT",))
    assert attributes(facts)["process.command"] == "postgres"


def test_no_argument_is_exported() -> None:
    assert "hunter2" not in str(attributes(FACTS))


def test_who_wins() -> None:
    operator = agent_attributes(
        {
            "OTEL_RESOURCE_ATTRIBUTES": "host.name=given,deployment.environment.name=test,team=ops,"
            "service.name=all,process.pid=1,container.id=x,telemetry.sdk.name=y"
        }
    )
    identity = Identity(HOST, version="1.0", attributes=operator)
    own = "team=shop,process.pid=9,telemetry.sdk.language=cobol,service.instance.id=i-1"
    facts = ProcessFacts(42, exe="/srv/a", environ={"OTEL_RESOURCE_ATTRIBUTES": own})
    found = attributes(facts, identity)
    assert {
        key: found[key]
        for key in (
            "host.name",
            "deployment.environment.name",
            "team",
            "service.name",
            "service.instance.id",
            "process.pid",
            "telemetry.sdk.name",
            "telemetry.sdk.language",
        )
    } == {
        "host.name": "given",
        "deployment.environment.name": "test",
        "team": "shop",
        "service.name": "a",
        "service.instance.id": "i-1",
        "process.pid": 42,
        "telemetry.sdk.name": "zerospan",
        "telemetry.sdk.language": "python",
    }
    assert "container.id" not in found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {}),
        ("a=b", {"a": "b"}),
        (" a = b , c=d,", {"a": "b", "c": "d"}),
        ("a=b=c", {"a": "b=c"}),
        ("a=x%2Cy%3Dz%20", {"a": "x,y=z "}),
        ("a%2Eb=c", {"a.b": "c"}),
        ("a=m%C3%BCller", {"a": "müller"}),
        ("a=", {"a": ""}),
    ],
)
def test_resource_attributes(text: str, expected: dict[str, str]) -> None:
    parsed = parse_attributes(text)
    assert (parsed.attributes, parsed.problem) == (expected, "")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a=b,c", "entry 2 has no '='"),
        ("a=100%", "entry 1 has a '%' without two hexadecimal digits"),
        ("a=%zz", "entry 1 has a '%' without two hexadecimal digits"),
        ("=b", "entry 1 has no valid key"),
        ("a b=c", "entry 1 has no valid key"),
        ("k" * 300 + "=c", "entry 1 has no valid key"),
        (",".join(f"k{n}=v" for n in range(65)), f"there are more than {MAX_ATTRIBUTES} entries"),
    ],
)
def test_wrong_resource_attributes(text: str, problem: str) -> None:
    parsed = parse_attributes(text)
    assert (dict(parsed.attributes), parsed.problem) == ({}, problem)
    assert own_attributes(ProcessFacts(1, environ={"OTEL_RESOURCE_ATTRIBUTES": text})) == {}
    with pytest.raises(ConfigError) as error:
        agent_attributes({"OTEL_RESOURCE_ATTRIBUTES": text})
    assert str(error.value) == f"OTEL_RESOURCE_ATTRIBUTES: {problem}"


@given(st.text(max_size=300))
def test_any_text_is_read_or_refused(text: str) -> None:
    parsed = parse_attributes(text)
    assert not (parsed.attributes and parsed.problem)
    assert len(parsed.attributes) <= MAX_ATTRIBUTES


@given(st.lists(st.text(max_size=10), max_size=4), st.text(max_size=20), st.integers(0, 1 << 60))
def test_any_process_has_a_resource(argv: list[str], comm: str, ticks: int) -> None:
    facts = ProcessFacts(1, argv=tuple(argv), comm=comm, start_ticks=ticks)
    assert attributes(facts)["service.name"]
