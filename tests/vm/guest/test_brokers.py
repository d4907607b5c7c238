"""Real brokers and clients: as many spans as messages, at both ends and in the broker, and no payload in what is told."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pytest

from tests.protocols.brokers import PORT, RABBITMQ, rabbitmq
from tests.vm.harness_agent import Agent, Agents, Finished
from tests.vm.harness_guest import SERVERS, Servers, free_port
from tests.vm.harness_tracing import CLIENT, SERVER

PRODUCER: Final = 4
CONSUMER: Final = 5
SECRET: Final = "hunter2"
TRACE: Final = "0af7651916cd43dd8448eb211c80319c"


def talked(agent: Agent, broker: str, port: int, one_by_one: int) -> dict[str, int]:
    """Let the client run, with its burst when what came before it is exported; give what it counted."""
    words = (sys.executable, SERVERS / "broker_clients.py", broker, "--port", port)
    with subprocess.Popen(
        [str(word) for word in words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as client:
        assert client.stdout is not None
        assert client.stdout.readline() == "ready\n"
        agent.wait_for_spans(one_by_one, deadline_s=90)
        told, _ = client.communicate("go\n", timeout=250)
    assert client.returncode == 0
    return json.loads(told)


def kinds(finished: Finished, port: int, names: Sequence[str]) -> Counter[tuple[int, str]]:
    """Spans by kind and name; what else passed at that port is an error."""
    spans = [span for span in finished.spans if span.attributes.get("server.port") == port]
    counted = Counter((span.kind, span.name) for span in spans)
    assert {name for _, name in counted} <= set(names)
    assert {span.attributes.get("error.type") for span in spans} == {None}
    return counted


def check(agent: Agent, finished: Finished) -> None:
    exchanges = finished.ledger["exchanges"]
    assert {key: exchanges[key] for key in ("lost", "unparsed") if exchanges[key]} == {}
    assert finished.ledger["balanced"] is True
    assert SECRET not in Path(agent.exported).read_text()
    assert SECRET not in finished.stderr


def test_nats(servers: Servers, agents: Agents) -> None:
    port = free_port()
    servers.start("nats-server", "-a", "127.0.0.1", "-p", str(port), port=port)
    agent = agents.run()
    # Of a request there are the producer's span and the consumer's, and the broker's two.
    told = talked(agent, "nats", port, one_by_one=4 * 20)
    finished = agent.stop()
    sent, asked = told["sent"], told["requests"]
    names = ("request rpc.echo", "publish rpc.echo", "deliver rpc.echo", "process rpc.echo",
             "publish orders.{id}.paid", "deliver orders.{id}.paid", "process orders.{id}.paid")  # fmt: skip
    counted = kinds(finished, port, names)
    print(told, counted)
    assert {key: count for key, count in counted.items() if key[0] in (PRODUCER, CONSUMER)} == {
        (PRODUCER, "request rpc.echo"): asked,
        (CONSUMER, "process rpc.echo"): asked,
        (PRODUCER, "publish orders.{id}.paid"): sent,
        (CONSUMER, "process orders.{id}.paid"): told["got"],
    }
    assert counted[SERVER, "publish orders.{id}.paid"] == sent
    assert counted[CLIENT, "deliver orders.{id}.paid"] == told["got"]
    in_trace = Counter(span.kind for span in finished.spans if span.trace_id == TRACE)
    assert (in_trace[PRODUCER], in_trace[CONSUMER]) == (sent, told["got"])
    check(agent, finished)


def test_mqtt(servers: Servers, agents: Agents, tmp_path: Path) -> None:
    port = free_port()
    settings = tmp_path / "mosquitto.conf"
    settings.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\n")
    servers.start("mosquitto", "-c", settings, port=port)
    agent = agents.run()
    told = talked(agent, "mqtt", port, one_by_one=4 * 20)
    finished = agent.stop()
    names = [f"{verb} {topic}" for verb in ("publish", "deliver", "process") for topic in ("shop/orders", "shop/{id}/burst")]  # fmt: skip
    counted = kinds(finished, port, names)
    print(told, counted)
    one_by_one, burst = 20, told["sent"] - 20
    assert counted == {
        (PRODUCER, "publish shop/orders"): one_by_one,
        (CONSUMER, "process shop/orders"): one_by_one,
        (PRODUCER, "publish shop/{id}/burst"): burst,
        (CONSUMER, "process shop/{id}/burst"): burst,
        (SERVER, "publish shop/orders"): one_by_one,
        (CLIENT, "deliver shop/orders"): one_by_one,
        (SERVER, "publish shop/{id}/burst"): burst,
        (CLIENT, "deliver shop/{id}/burst"): burst,
    }
    # The broker's own side joins what it hands on with who gets it.
    parents = {span.span_id: span.kind for span in finished.spans}
    received = [span for span in finished.spans if span.kind == CONSUMER]
    assert {parents.get(span.parent_span_id) for span in received} == {CLIENT}
    check(agent, finished)


@pytest.mark.skipif(
    "ZEROSPAN_RABBITMQ" not in os.environ,
    reason="RabbitMQ takes minutes to start in a guest: with ZEROSPAN_RABBITMQ=1",
)
def test_amqp(servers: Servers, agents: Agents, tmp_path: Path) -> None:
    port = free_port()
    settings = rabbitmq(tmp_path)
    servers.start(
        RABBITMQ,
        port=port,
        deadline_s=600,
        env={key: value.replace(PORT, str(port)) for key, value in settings.items()},
    )
    agent = agents.run()
    told = talked(agent, "amqp", port, one_by_one=4 * 20)
    finished = agent.stop()
    names = ("publish orders", "deliver orders", "process orders")
    counted = kinds(finished, port, names)
    print(told, counted, json.dumps(finished.ledger))
    assert counted == {
        (PRODUCER, "publish orders"): told["sent"],
        (CONSUMER, "process orders"): told["got"],
        (SERVER, "publish orders"): told["sent"],
        (CLIENT, "deliver orders"): told["got"],
    }
    in_trace = Counter(span.kind for span in finished.spans if span.trace_id == TRACE)
    assert (in_trace[PRODUCER], in_trace[CONSUMER]) == (told["sent"], told["got"])
    check(agent, finished)
