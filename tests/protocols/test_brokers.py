"""Real brokers with real clients: as many spans as messages, and no payload in what is told."""

from __future__ import annotations

import asyncio
import shutil
from collections import Counter
from pathlib import Path

import nats
import nats.errors
import pytest

from agent.spans import semconv
from agent.spans.span import SpanKind
from tests.protocols.brokers import PORT, Recorder, broker
from tests.scenario import Run, facts

SECRET = "hunter2"
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def needs(program: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"needs {program}")


def names(run: Run) -> Counter[str]:
    """Kinds and names of spans, with their errors; what came whole, without a loss."""
    assert run.counts.keys() <= {"captured", "spans"}
    told = []
    for span in run.spans:
        assert SECRET not in repr(span)
        error = facts(span).get(semconv.ERROR_TYPE)
        told.append(f"{span.kind.name.lower()} {span.name}" + (f" -> {error}" if error else ""))
    return Counter(told)


async def nats_client(port: int) -> None:
    """30 messages to orders, 5 with a trace context, 10 requests, one to nobody; then JetStream."""
    bus = await nats.connect(f"nats://app:{SECRET}@127.0.0.1:{port}")
    got: list[bytes] = []

    async def take(message) -> None:
        got.append(message.data)

    async def answer(message) -> None:
        await message.respond(b"hunter2 " + message.data)

    await bus.subscribe("orders.>", cb=take)
    await bus.subscribe("rpc.echo", queue="workers", cb=answer)
    for number in range(30):
        await bus.publish("orders.created", b"hunter2 %d" % number)
    for number in range(5):
        await bus.publish(f"orders.{number}.paid", b"hunter2", headers={"traceparent": TRACEPARENT})
    await bus.flush()
    for number in range(10):
        assert (await bus.request("rpc.echo", b"%d" % number)).data == b"hunter2 %d" % number
    with pytest.raises(nats.errors.NoRespondersError):
        await bus.request("rpc.nobody", b"hunter2")
    assert len(got) == 35
    stream = bus.jetstream()
    await stream.add_stream(name="JOBS", subjects=["jobs.*"])
    for _ in range(7):
        await stream.publish("jobs.new", b"hunter2")
    pulled = await stream.pull_subscribe("jobs.*", "puller")
    for message in await pulled.fetch(7, timeout=10):
        await (message.nak if message.metadata.sequence.stream == 7 else message.ack)()
    await bus.drain()


@needs("nats-server")
def test_nats(tmp_path: Path):
    words = ("nats-server", "-a", "127.0.0.1", "-p", PORT, "-js", "-sd", tmp_path)
    with broker(*words) as port, Recorder(port) as recorder:
        asyncio.run(nats_client(recorder.port))
    run = recorder.play(is_server=False)
    told = names(run)
    jetstream = {name for name in told if "$JS.API" in name}
    assert {name: count for name, count in told.items() if name not in jetstream} == {
        "producer publish orders.created": 30,
        "producer publish orders.{id}.paid": 5,
        "consumer process orders.created": 30,
        "consumer process orders.{id}.paid": 5,
        "producer request rpc.echo": 10,
        "consumer process rpc.echo": 10,
        "producer request rpc.nobody -> 503": 1,
        "producer request jobs.new": 7,
        "consumer process jobs.new": 6,
        "consumer process jobs.new -> nak": 1,
    }
    assert all(name.startswith("producer request") for name in jetstream)
    children = [span for span in run.spans if span.trace_id.hex() == TRACEPARENT[3:35]]
    assert Counter(span.kind for span in children) == {SpanKind.PRODUCER: 5, SpanKind.CONSUMER: 5}
    mirrored = names(recorder.play(is_server=True))
    assert mirrored.total() == told.total()
    assert {name.split()[0] for name in mirrored} == {"server", "client"}
