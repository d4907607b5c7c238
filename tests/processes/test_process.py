"""What is found out about one process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.processes.host import Host
from agent.processes.proc import ProcessFacts
from agent.processes.process import UNDECIDED, Inspector, Process, name_of_parent
from agent.processes.resource import Identity
from agent.processes.runtime import Kind, Runtime
from tests.binaries.elf_files import build_info, elf
from tests.processes.tree import ProcTree, Program

if TYPE_CHECKING:
    from pathlib import Path

EXPORTS = (
    "dep\tgo.opentelemetry.io/otel/sdk\tv1\n"
    "dep\tgo.opentelemetry.io/otel/exporters/otlp/otlptrace\tv1\n"
)


def process_of(tree: ProcTree, pid: int) -> tuple[Process, Inspector]:
    inspector = Inspector(tree.proc, identity=Identity(Host(), version="1"))
    facts = tree.proc.facts(pid)
    assert facts is not None
    return Process(facts, inspector=inspector, now_s=1.0, is_complete=True), inspector


def test_go_program(tmp_path: Path) -> None:
    binary = tmp_path / "shop"
    binary.write_bytes(
        elf(
            {
                ".go.buildinfo": build_info("go1.22.3", EXPORTS),
                ".gopclntab": b"crypto/tls.(*Conn).Write\0",
            }
        )
    )
    tree = ProcTree(tmp_path / "proc")
    tree.start(10, Program(argv=(str(binary),)))
    process, inspector = process_of(tree, 10)
    assert process.runtime == Runtime(Kind.GO, "1.22.3")
    assert process.resource is process.resource
    assert process.resource.get("process.runtime.version") == "1.22.3"
    assert inspector.sdk_evidence(process) is not None
    assert inspector.cannot_see(process) == (
        "TLS inside Go (crypto/tls): encrypted connections are not decoded",
    )


def test_java_version_from_inside_its_container(tmp_path: Path) -> None:
    tree = ProcTree(tmp_path / "proc")
    tree.start(10, Program(argv=("/opt/jdk/bin/java", "-jar", "shop.jar")))
    home = tree.root / "10" / "root" / "opt" / "jdk"
    home.mkdir(parents=True)
    (home / "release").write_text('JAVA_VERSION="21.0.2"\n')
    process, _ = process_of(tree, 10)
    assert process.runtime == Runtime(Kind.JAVA, "21.0.2")
    assert process.service == "shop"


def test_process_that_has_ended_can_still_be_described(tmp_path: Path) -> None:
    tree = ProcTree(tmp_path / "proc")
    tree.start(10, Program(argv=("/srv/shop",)))
    process, inspector = process_of(tree, 10)
    tree.end(10)
    assert process.decision is UNDECIDED
    assert not process.is_traced
    assert process.resource.get("service.name") == "shop"
    assert inspector.cannot_see(process) == ()


def test_evidence_needs_more_than_an_event(tmp_path: Path) -> None:
    inspector = Inspector(ProcTree(tmp_path / "proc").proc, identity=Identity(Host(), version="1"))
    argv = ("java", "-javaagent:/opentelemetry-javaagent.jar")
    process = Process(ProcessFacts(1, argv=argv), inspector=inspector, now_s=1.0)
    assert inspector.sdk_evidence(process) is None
    process.exported_by = "it sends OTLP"
    assert inspector.sdk_evidence(process) == "it sends OTLP"


def test_only_a_part_of_a_service_takes_its_name(tmp_path: Path) -> None:
    tree = ProcTree(tmp_path / "proc")
    tree.start(10, Program(argv=("/srv/shop",)))
    parent, _ = process_of(tree, 10)
    code = "from multiprocessing.forkserver import main; main()"
    assert name_of_parent(ProcessFacts(1, argv=("python3", "-c", code)), parent) == "shop"
    assert name_of_parent(ProcessFacts(1, argv=("python3", "-c", code)), None) == ""
    assert name_of_parent(ProcessFacts(1, argv=("/bin/ls",)), parent) == ""
