"""Database exchanges described by the semantic conventions."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv6Address
from typing import Any

import pytest

from agent.protocols import Description, Role
from agent.protocols.db_semantics import (
    MAX_NAME,
    Operation,
    block,
    describe,
    operation,
    sql_operation,
)
from agent.protocols.http1 import Http1
from agent.protocols.pairing import Exchange, Failure
from agent.spans.span import Attributes
from agent.sql import DIALECTS

POSTGRESQL = DIALECTS["postgresql"]
SERVER = IPv6Address("::ffff:10.0.0.5").packed
CLIENT = IPv6Address("::ffff:10.0.0.9").packed


@dataclass
class Connection:
    """What `describe` reads of a connection."""

    family: int = 2
    remote_address: bytes = SERVER
    remote_port: int = 5432
    local_address: bytes = CLIENT
    local_port: int = 40000
    server_name: str = ""


def exchange(
    role: Role = Role.CLIENT,
    *,
    connection: Connection | None = None,
    failure: Failure | None = None,
) -> Exchange:
    made = Exchange(Http1, role, None, 1)
    made.connection = connection or Connection()
    made.failure = failure
    return made


def attributes(description: Description) -> dict[str, Any]:
    items = [item for each in description.attributes for item in each.items]
    assert len(dict(items)) == len(items)
    return dict(items)


def test_statement_without_its_values():
    asked = sql_operation(
        b"SELECT * FROM users WHERE mail = 'a@b.example' AND id = 7", POSTGRESQL, "shop"
    )
    assert asked == Operation(
        "SELECT users",
        Attributes(
            (
                ("db.system.name", "postgresql"),
                ("db.namespace", "shop"),
                ("db.operation.name", "SELECT"),
                ("db.collection.name", "users"),
                ("db.query.summary", "SELECT users"),
                ("db.query.text", "SELECT * FROM users WHERE mail = ? AND id = ?"),
            )
        ),
    )


def test_statements_that_differ_in_values_share_a_block():
    first = sql_operation(b"DELETE FROM carts WHERE id = 1", POSTGRESQL)
    assert sql_operation(b"DELETE FROM carts WHERE id = 2", POSTGRESQL) is first
    long = b"DELETE FROM carts WHERE id IN (%s)" % b",".join(b"%d" % n for n in range(1000))
    assert sql_operation(long, POSTGRESQL).name == "DELETE carts"


def test_several_statements_are_a_batch():
    asked = sql_operation(b"INSERT INTO a VALUES (1); INSERT INTO b VALUES (2)", POSTGRESQL)
    assert asked.name == "INSERT a INSERT b"
    assert dict(asked.attributes.items)["db.operation.name"] == "BATCH INSERT"
    assert dict(asked.attributes.items)["db.operation.batch.size"] == 2


def test_procedure_is_named():
    asked = sql_operation(b"CALL refresh(1)", POSTGRESQL)
    assert asked.name == "CALL refresh"
    assert dict(asked.attributes.items)["db.stored_procedure.name"] == "refresh"


def test_what_is_done_with_a_statement_is_its_operation():
    asked = sql_operation(b"SELECT 1 FROM users", POSTGRESQL, verb="PREPARE")
    assert asked.name == "PREPARE SELECT users"
    assert dict(asked.attributes.items)["db.operation.name"] == "PREPARE"
    assert sql_operation(b"??", POSTGRESQL, verb="PREPARE").name == "PREPARE"


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        (operation("redis", "GET", namespace="0", text="GET user:{id}"), "GET 0"),
        (operation("mongodb", "find", namespace="shop", collection="users"), "find users"),
        (operation("memcached", "get"), "get"),
        (operation("postgresql", namespace="shop"), "shop"),
        (operation("postgresql"), "10.0.0.5:5432"),
        (operation("postgresql", summary="S" * 300), "S" * MAX_NAME),
    ],
)
def test_name_has_the_operation_and_the_first_target_that_is_known(asked, name):
    assert describe(exchange(), asked).name == name


def test_a_unix_socket_has_no_address():
    description = describe(exchange(connection=Connection(family=1)), operation("postgresql"))
    assert description == Description(
        "postgresql", (Attributes((("db.system.name", "postgresql"),)),)
    )


def test_outcome_and_server():
    description = describe(exchange(), operation("postgresql", "SELECT"), rows=3)
    assert attributes(description) == {
        "db.system.name": "postgresql",
        "db.operation.name": "SELECT",
        "server.address": "10.0.0.5",
        "server.port": 5432,
        "db.response.returned_rows": 3,
    }
    assert description.error_type is None


def test_server_itself_is_the_local_end():
    connection = Connection(
        local_address=IPv6Address("::1").packed, local_port=5432, remote_port=40000
    )
    description = describe(exchange(Role.SERVER, connection=connection), operation("postgresql"))
    assert description.name == "[::1]:5432"
    assert attributes(description)["server.address"] == "::1"


def test_a_name_that_was_looked_up_stands_for_the_address():
    named = exchange(connection=Connection(server_name="orders.internal"))
    flat = {
        key: value
        for block in describe(named, operation("redis", "GET")).attributes
        for key, value in block.items
    }
    assert (flat["server.address"], flat["server.port"]) == ("orders.internal", 5432)


def test_an_unbound_address_is_left_out():
    connection = Connection(remote_address=bytes(16))
    description = describe(exchange(connection=connection), operation("postgresql", "SELECT"))
    assert "server.address" not in attributes(description)
    assert attributes(description)["server.port"] == 5432


def test_error_has_the_servers_code():
    asked = operation("postgresql", "INSERT")
    description = describe(
        exchange(), asked, status_code="23505", is_error=True, message="unique_violation"
    )
    assert (description.error_type, description.status_message) == ("23505", "unique_violation")
    assert attributes(description)["db.response.status_code"] == "23505"
    assert describe(exchange(), asked, is_error=True).error_type == "_OTHER"


def test_warning_is_no_error():
    description = describe(exchange(), operation("mysql", "SELECT"), status_code="1265")
    assert description.error_type is None


@pytest.mark.parametrize(
    ("failure", "error"),
    [(Failure.RESET, "connection_reset"), (Failure.AGENT_EXIT, None), (None, None)],
)
def test_missing_answer_is_the_error(failure, error):
    assert describe(exchange(failure=failure), operation("redis", "GET")).error_type == error


def test_extra_attributes_are_shared():
    extra = block(("zerospan.db.user", "app"))
    assert block(("zerospan.db.user", "app")) is extra
    description = describe(exchange(), operation("postgresql", "SELECT"), extra=(extra,))
    assert attributes(description)["zerospan.db.user"] == "app"
