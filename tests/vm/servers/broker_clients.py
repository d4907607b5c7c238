"""What clients of message brokers do: nats-py against NATS, paho-mqtt against Mosquitto, pika against RabbitMQ.

    broker_clients.py nats|mqtt|amqp --port PORT

Messages go one by one first, each answered before the next. Then it prints `ready`, waits for a line on its standard input,
and sends a burst that nobody answers. In the end it prints one line of JSON: how many messages of each kind it sent and got.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import queue
import sys

import nats
import paho.mqtt.client as mqtt
import pika
from nats.aio.msg import Msg
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

SECRET = b"hunter2-payload"
ONE_BY_ONE = 20
BURST = 60
"""So few that they fit into the 16 KB of one call that are captured."""
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


async def with_nats(port: int) -> dict[str, int]:
    """Requests that a subscriber in the same process answers, then messages with a trace context."""
    bus = await nats.connect(f"nats://127.0.0.1:{port}", connect_timeout=60)
    got = 0
    is_all = asyncio.Event()

    async def answer(message: Msg) -> None:
        await message.respond(SECRET)

    async def take(message: Msg) -> None:
        nonlocal got
        got += 1
        if got == BURST:
            is_all.set()

    await bus.subscribe("rpc.echo", cb=answer)
    await bus.subscribe("orders.>", cb=take)
    for _ in range(ONE_BY_ONE):
        await bus.request("rpc.echo", SECRET, timeout=60)
    await asyncio.to_thread(wait_for_go)
    for number in range(BURST):
        headers = {"traceparent": TRACEPARENT}
        await bus.publish(f"orders.{number}.paid", SECRET, headers=headers)
    await asyncio.wait_for(is_all.wait(), 60)
    await bus.drain()
    return {"requests": ONE_BY_ONE, "answered": ONE_BY_ONE, "sent": BURST, "got": got}


def with_mqtt(port: int) -> dict[str, int]:
    """Messages at QoS 1 and 2, then at QoS 0; one connection sends, one receives."""
    got: queue.Queue[bytes] = queue.Queue()
    subscribed: queue.Queue[None] = queue.Queue()
    sender, receiver = (
        mqtt.Client(CallbackAPIVersion.VERSION2, name, protocol=MQTTProtocolVersion.MQTTv5)
        for name in ("sender", "receiver")
    )
    receiver.on_message = lambda client, data, message: got.put(bytes(message.payload))
    receiver.on_subscribe = lambda *more: subscribed.put(None)
    for each in (sender, receiver):
        each.username_pw_set("app", "hunter2-password")
        each.connect_timeout = 60
        each.connect("127.0.0.1", port)
        each.loop_start()
    receiver.subscribe("shop/#", qos=2)
    subscribed.get(timeout=60)
    for number in range(ONE_BY_ONE):
        sender.publish("shop/orders", SECRET, qos=1 + number % 2).wait_for_publish(60)
        got.get(timeout=60)
    wait_for_go()
    for number in range(BURST):
        sender.publish(f"shop/{number}/burst", SECRET)
    for _ in range(BURST):
        got.get(timeout=60)
    for each in (sender, receiver):
        each.disconnect()
        each.loop_stop()
    return {"sent": ONE_BY_ONE + BURST, "got": ONE_BY_ONE + BURST}


def with_amqp(port: int) -> dict[str, int]:
    """Messages that the broker confirms and a consumer acknowledges, one by one, then in a burst."""
    where = pika.ConnectionParameters(
        "127.0.0.1", port, blocked_connection_timeout=120, socket_timeout=60, stack_timeout=120
    )
    sender, receiver = pika.BlockingConnection(where), pika.BlockingConnection(where)
    sends, receives = sender.channel(), receiver.channel()
    sends.confirm_delivery()
    sends.queue_declare("orders")
    properties = pika.BasicProperties(headers={"traceparent": TRACEPARENT})
    got = 0

    def take_one() -> None:
        nonlocal got
        method, _, body = next(consumed)
        assert body == SECRET
        assert method is not None
        receives.basic_ack(method.delivery_tag)
        got += 1

    consumed = receives.consume("orders")
    for _ in range(ONE_BY_ONE):
        sends.basic_publish("", "orders", SECRET, properties)
        take_one()
    wait_for_go()
    for _ in range(BURST):
        sends.basic_publish("", "orders", SECRET, properties)
    for _ in range(BURST):
        take_one()
    receives.cancel()
    for connection in (sender, receiver):
        connection.close()
    return {"sent": ONE_BY_ONE + BURST, "got": got}


def wait_for_go() -> None:
    """Until whoever started this says so."""
    print("ready", flush=True)
    sys.stdin.readline()


def main() -> None:
    """One broker's client."""
    parser = argparse.ArgumentParser()
    parser.add_argument("broker", choices=("nats", "mqtt", "amqp"))
    parser.add_argument("--port", type=int, required=True)
    options = parser.parse_args()
    if options.broker == "nats":
        told = asyncio.run(with_nats(options.port))
    else:
        told = {"mqtt": with_mqtt, "amqp": with_amqp}[options.broker](options.port)
    print(json.dumps(told))


if __name__ == "__main__":
    main()
