"""Messages described by the semantic conventions."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from agent.protocols import Description, Role
from agent.protocols.answers import Answer
from agent.protocols.http1 import Http1
from agent.protocols.messaging_semantics import (
    MAX_CONTEXT,
    MAX_ID,
    PUBLISH,
    RECEIVE,
    Carrier,
    Message,
    client_id,
    describe,
)
from agent.protocols.pairing import Exchange, Failure
from agent.spans.span import Attributes, SpanKind
from tests.protocols.test_db_semantics import Connection as Database


@dataclass
class Connection(Database):
    """With the role of this end."""

    role: Role = Role.CLIENT


def described(
    message: Message,
    *,
    role: Role = Role.CLIENT,
    end: Role = Role.CLIENT,
    answer: Answer | None = None,
    failure: Failure | None = None,
    family: int = 2,
    temporary: tuple[bytes, ...] = (),
) -> Description:
    exchange = Exchange(Http1, role, message, 1)
    exchange.connection = Connection(role=end, family=family)
    exchange.response, exchange.failure = answer, failure
    return describe(exchange, "nats", temporary=temporary)


def items(description: Description) -> dict[str, object]:
    return {key: value for block in description.attributes for key, value in block.items}


def test_a_message_sent():
    told = described(Message(b"orders.paid", 5))
    assert (told.name, told.kind, told.error_type) == ("publish orders.paid", SpanKind.PRODUCER, None)  # fmt: skip
    assert items(told) == {
        "messaging.system": "nats",
        "messaging.operation.name": "publish",
        "messaging.operation.type": "send",
        "messaging.destination.name": "orders.paid",
        "messaging.message.body.size": 5,
        "server.address": "10.0.0.5",
        "server.port": 5432,
    }


def test_a_destination_of_many_is_told_by_its_template():
    told = described(Message(b"orders.4711.paid", None))
    assert told.name == "publish orders.{id}.paid"
    known = items(told)
    assert known["messaging.destination.template"] == "orders.{id}.paid"
    assert not {"messaging.destination.name", "messaging.message.body.size"} & known.keys()


@pytest.mark.parametrize("destination", [b"", b"amq.gen-x"])
def test_a_temporary_destination(destination):
    known = items(described(Message(destination, 1), temporary=(b"amq.gen-",)))
    assert known["messaging.destination.temporary"] is True


@pytest.mark.parametrize(
    ("operation", "role", "end", "kind", "name"),
    [
        (PUBLISH, Role.CLIENT, Role.CLIENT, SpanKind.PRODUCER, "publish a"),
        (PUBLISH, Role.SERVER, Role.CLIENT, SpanKind.CONSUMER, "process a"),
        (RECEIVE, Role.CLIENT, Role.CLIENT, SpanKind.CLIENT, "receive a"),
        (PUBLISH, Role.SERVER, Role.SERVER, None, "publish a"),
        (PUBLISH, Role.CLIENT, Role.SERVER, None, "deliver a"),
        (RECEIVE, Role.SERVER, Role.SERVER, None, "receive a"),
    ],
)
def test_kinds_and_operations(operation, role, end, kind, name):
    told = described(Message(b"a", 1, operation=operation), role=role, end=end)
    assert (told.kind, told.name) == (kind, name)
    assert ("messaging.operation.type" in items(told)) is (end is Role.CLIENT)
    port = items(told)["server.port"]
    assert port == (40000 if end is Role.SERVER else 5432)


def test_unix_sockets_have_no_address():
    assert "server.port" not in items(described(Message(b"a", 1), family=1))


def test_errors():
    assert described(Message(b"a", 1, error="nak")).error_type == "nak"
    assert described(Message(b"a", 1), answer=Answer((1,), "503")).error_type == "503"
    assert described(Message(b"a", 1), answer=Answer((1,))).error_type is None
    assert described(Message(b"a", 1), failure=Failure.RESET).error_type == "connection_reset"
    assert described(Message(b"a", 1), failure=Failure.AGENT_EXIT).error_type is None


def test_how_many_came():
    told = described(Message(b"a", None, operation=RECEIVE), answer=Answer((1,), count=0))
    assert items(told)["messaging.batch.message_count"] == 0
    told = described(Message(b"a", None, operation=RECEIVE), answer=Answer((1,), body_size=9))
    assert items(told)["messaging.message.body.size"] == 9


def test_only_trace_contexts_are_kept_of_headers():
    carrier = Carrier()
    assert carrier.found() is None
    carrier.add(b"Traceparent", b"00-a")
    carrier.add(b"traceparent", b"00-b")
    carrier.add(b"authorization", b"hunter2")
    carrier.add(b"b3", b"x" * (MAX_CONTEXT + 1))
    assert carrier.found() == {"traceparent": "00-a"}


@pytest.mark.parametrize(
    ("raw", "shown"),
    [(b"shop-1", "shop-1"), (b"x" * (MAX_ID + 1), "REDACTED"), (b"AKIAIOSFODNN7EXAMPLE", "REDACTED")],
)  # fmt: skip
def test_names_of_clients(raw, shown):
    assert client_id(raw) == Attributes((("messaging.client.id", shown),))
    assert client_id(b"") == Attributes(())
