"""Real brokers with real clients: as many spans as messages, and no payload in what is told."""

from __future__ import annotations

import asyncio
import queue
import shutil
from collections import Counter
from pathlib import Path

import nats
import nats.errors
import paho.mqtt.client as mqtt
import pika
import pika.exceptions
import pytest
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from agent.spans import semconv
from agent.spans.span import SpanKind
from tests.protocols.brokers import PORT, RABBITMQ, Recorder, broker, rabbitmq
from tests.scenario import Run, facts

SECRET = "hunter2"
PATIENCE_S = 60
"""How long a client waits for its broker, on a machine that has other things to do."""
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
    bus = await nats.connect(f"nats://app:{SECRET}@127.0.0.1:{port}", connect_timeout=PATIENCE_S)
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
    await bus.flush(PATIENCE_S)
    for number in range(10):
        reply = await bus.request("rpc.echo", b"%d" % number, timeout=PATIENCE_S)
        assert reply.data == b"hunter2 %d" % number
    with pytest.raises(nats.errors.NoRespondersError):
        await bus.request("rpc.nobody", b"hunter2", timeout=PATIENCE_S)
    assert len(got) == 35
    stream = bus.jetstream(timeout=PATIENCE_S)
    await stream.add_stream(name="JOBS", subjects=["jobs.*"])
    for _ in range(7):
        await stream.publish("jobs.new", b"hunter2")
    pulled = await stream.pull_subscribe("jobs.*", "puller")
    for message in await pulled.fetch(7, timeout=PATIENCE_S):
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


class MqttClient:
    """A client of paho's, and the messages that it got."""

    def __init__(self, port: int, name: str, version: MQTTProtocolVersion) -> None:
        self.got: queue.Queue[bytes] = queue.Queue()
        subscribed: queue.Queue[None] = queue.Queue()
        self.client = client = mqtt.Client(CallbackAPIVersion.VERSION2, name, protocol=version)
        client.username_pw_set("app", SECRET)
        client.will_set("dead", SECRET)
        client.on_message = lambda client, data, message: self.got.put(bytes(message.payload))
        client.on_subscribe = lambda *more: subscribed.put(None)
        client.connect_timeout = PATIENCE_S
        client.connect("127.0.0.1", port)
        client.loop_start()
        if name == "consumer":
            client.subscribe("shop/#", qos=2)
            subscribed.get(timeout=PATIENCE_S)

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


def mqtt_clients(port: int, version: MQTTProtocolVersion) -> None:
    """20 messages at each quality of service, each received before the next is sent."""
    consumer, producer = (MqttClient(port, name, version) for name in ("consumer", "producer"))
    context = None
    if version is MQTTProtocolVersion.MQTTv5:
        context = Properties(PacketTypes.PUBLISH)
        context.UserProperty = ("traceparent", TRACEPARENT)
    for number in range(60):
        # The last one is not acknowledged, so nothing is under way when the connections are closed.
        body, qos = b"hunter2 %d" % number, (number + 1) % 3
        topic = f"shop/{number}/orders"
        producer.client.publish(topic, body, qos, properties=context).wait_for_publish(PATIENCE_S)
        assert consumer.got.get(timeout=PATIENCE_S) == body
    producer.close()
    consumer.close()


@needs("mosquitto")
@pytest.mark.parametrize("version", [MQTTProtocolVersion.MQTTv311, MQTTProtocolVersion.MQTTv5])
def test_mqtt(tmp_path: Path, version: MQTTProtocolVersion):
    settings = tmp_path / "mosquitto.conf"
    text = f"listener {PORT} 127.0.0.1\nallow_anonymous true\n"
    with broker("mosquitto", "-c", settings, files={settings: text}) as port, Recorder(port) as recorder:  # fmt: skip
        mqtt_clients(recorder.port, version)
    run = recorder.play(is_server=False)
    assert names(run) == {
        "producer publish shop/{id}/orders": 60,
        "consumer process shop/{id}/orders": 60,
    }
    sent = [span for span in run.spans if span.kind is SpanKind.PRODUCER]
    assert Counter(facts(span)[semconv.MESSAGING_CLIENT_ID] for span in sent) == {"producer": 60}
    is_new = version is MQTTProtocolVersion.MQTTv5
    in_trace = [span for span in run.spans if span.trace_id.hex() == TRACEPARENT[3:35]]
    assert len(in_trace) == 120 * is_new
    assert names(recorder.play(is_server=True)) == {
        "server publish shop/{id}/orders": 60,
        "client deliver shop/{id}/orders": 60,
    }


def amqp_client(port: int) -> None:
    """20 messages to a topic, confirmed; half acknowledged, half rejected; two fetched; one without a route, one without
    an exchange."""
    account = pika.PlainCredentials("guest", "guest")
    patience = {"socket_timeout": PATIENCE_S, "stack_timeout": 2 * PATIENCE_S}
    where = pika.ConnectionParameters("127.0.0.1", port, credentials=account, **patience)
    connection = pika.BlockingConnection(where)
    channel = connection.channel()
    channel.queue_declare("jobs")
    channel.exchange_declare("shop", "topic")
    channel.queue_bind("jobs", "shop", "orders.*")
    headers = pika.BasicProperties(headers={"traceparent": TRACEPARENT, "password": SECRET})
    for _ in range(2):
        channel.basic_publish("", "jobs", b"hunter2", headers)
    for is_there in (True, True, False):
        method, _, _ = channel.basic_get("jobs", auto_ack=True)
        assert (method is not None) is is_there
    channel.confirm_delivery()
    for number in range(20):
        body = b"hunter2" * (10_000 if number == 7 else 1)
        channel.basic_publish("shop", "orders.created", body, headers)
    with pytest.raises(pika.exceptions.UnroutableError):
        channel.basic_publish("shop", "nowhere", b"hunter2", mandatory=True)
    for got, (method, _, _) in enumerate(channel.consume("jobs", inactivity_timeout=PATIENCE_S), 1):
        assert method is not None
        if got % 2:
            channel.basic_ack(method.delivery_tag)
        else:
            channel.basic_reject(method.delivery_tag, requeue=False)
        if got == 20:
            break
    channel.cancel()
    other = connection.channel()
    other.basic_publish("gone", "x", b"hunter2")
    with pytest.raises(pika.exceptions.ChannelClosedByBroker):
        other.queue_declare("jobs", passive=True)
    connection.close()


@needs(str(RABBITMQ))
def test_amqp(tmp_path: Path):
    with broker(RABBITMQ, deadline_s=300, env=rabbitmq(tmp_path)) as port, Recorder(port) as recorder:  # fmt: skip
        amqp_client(recorder.port)
    run = recorder.play(is_server=False)
    assert names(run) == {
        "producer publish jobs": 2,
        "client receive jobs": 3,
        "producer publish shop:orders.created": 20,
        "producer publish shop:nowhere -> 312": 1,
        "producer publish gone:x -> 404": 1,
        "consumer process shop:orders.created:jobs": 10,
        "consumer process shop:orders.created:jobs -> reject": 10,
    }
    in_trace = [span for span in run.spans if span.trace_id.hex() == TRACEPARENT[3:35]]
    assert Counter(span.kind for span in in_trace) == {SpanKind.PRODUCER: 22, SpanKind.CONSUMER: 20}
    mirrored = names(recorder.play(is_server=True))
    assert mirrored.total() == names(run).total()
    assert {name.split()[0] for name in mirrored} == {"server", "client"}
