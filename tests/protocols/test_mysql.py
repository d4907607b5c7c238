"""MySQL's conversation: what is a request, and what answers it."""

from __future__ import annotations

from typing import Any

import pytest

from agent.connections.session import Session as Conversation
from agent.connections.session import Trouble
from agent.protocols import Description, Role
from agent.protocols.mysql import MAX_STATEMENTS, Mysql
from agent.protocols.mysql_messages import Command, Result, Session
from agent.protocols.pairing import Exchange
from tests.protocols import mysql_bytes as my
from tests.wire import Sample

SAMPLES = [
    Sample(
        (
            my.query("SELECT id FROM users WHERE name = 'ada'"),
            my.query("INSERT INTO users VALUES ('ada')"),
            my.query("INSERT INTO users VALUES ('bob')"),
            my.prepare("SELECT id FROM users WHERE id = ?"),
            my.execute(1, b"\0\1\x03\0\7\0\0\0"),
            my.query("CALL several(1)"),
            my.command(0x0E),
            my.command(2, b"shop"),
            my.command(0x1C, b"\1\0\0\0\5\0\0\0"),
        ),
        (
            my.packets(*my.results(my.row(b"7"))),
            my.packets(my.ok(affected=1)),
            my.packets(my.error()),
            my.packets(*my.prepared()),
            my.packets(*my.results(b"\0\0\7\0\0\0")),
            my.packets(
                *my.results(my.row(b"1"), status=10), *my.results(status=10, has_eof=True), my.ok()
            ),
            my.packets(my.ok()),
            my.packets(my.ok()),
            my.packets(b"\0\0\1\0\0\0", b"\0\0\2\0\0\0", my.eof()),
        ),
    ),
    Sample(
        (my.prepare("SELEC"), my.command(4, b"users\0%"), my.prepare("DELETE FROM carts")),
        (
            my.packets(my.error(1064, "42000")),
            my.packets(my.column(), my.column(), my.eof()),
            my.packets(*my.prepared(parameters=0, columns=0)),
        ),
    ),
]


class Place:
    """A Unix socket."""

    family = 1


class Talk:
    """Both directions of one connection, as the table would read them."""

    def __init__(self) -> None:
        self.protocol = Mysql()
        self.done: list[Exchange] = []
        self.session = Conversation(self.protocol, Role.CLIENT, self, positions=(0, 0))

    def begun(self, exchange: Exchange, position: int) -> None:
        del position
        exchange.connection = Place()

    def ended(self, exchange: Exchange) -> None:
        self.done.append(exchange)

    def ask(self, data: bytes, hole: int = 0) -> Talk:
        return self._pass(self.session.requests, self.session.responses, data, hole)

    def answer(self, data: bytes, hole: int = 0) -> Talk:
        return self._pass(self.session.responses, self.session.requests, data, hole)

    def _pass(self, stream: Any, other: Any, data: bytes, hole: int) -> Talk:
        """The last `hole` bytes were not captured."""
        if other.turn_end < other.end:
            other.end_turn(other.end, 1)
            self.session.step()
        stream.feed(stream.end, data[: len(data) - hole], len(data), 1)
        self.session.step()
        assert self.session.trouble is None, self.session.trouble
        return self

    def query(self, text: str, *answer: bytes) -> Talk:
        return self.ask(my.query(text)).answer(my.packets(*(answer or (my.ok(),))))

    @property
    def told(self) -> list[tuple[str, Any]]:
        """Name and error, or rows, of what was done."""
        said = []
        for exchange in self.done:
            description = Mysql.describe(exchange)
            said.append((description.name, description.error_type or exchange.response.rows))
        return said


def started(version: str = "8.0.36", capabilities: int = my.USUAL) -> Talk:
    talk = Talk().answer(my.greeting(version)).ask(my.answer(capabilities=capabilities))
    # The server wants another plugin, the client answers, the server has more to say.
    talk.answer(my.packet(2, b"\xfemysql_native_password\0new challenge 20 byte\0"))
    talk.ask(my.packet(3, b"hunter2-scrambled-20")).answer(my.packet(4, b"\1\3"))
    talk.answer(my.packet(5, my.ok()))
    assert talk.done == []
    assert talk.session.is_idle
    return talk


def attributes(description: Description) -> dict[str, Any]:
    return dict(item for each in description.attributes for item in each.items)


def test_connection_names_system_database_and_user_and_nothing_of_authentication():
    talk = started().query("SELECT 1", *my.results(my.row(b"1")))
    assert talk.done[0].request == Command(3, b"SELECT 1", Session("mysql", "shop", "app"), size=13)
    assert attributes(Mysql.describe(talk.done[0])) == {
        "db.system.name": "mysql",
        "db.namespace": "shop",
        "db.operation.name": "SELECT",
        "db.query.summary": "SELECT",
        "db.query.text": "SELECT ?",
        "zerospan.db.user": "app",
        "db.response.returned_rows": 1,
    }


def test_mariadb_says_so():
    talk = started("5.5.5-10.11.6-MariaDB-0+deb12u1").query("SELECT 1", *my.results())
    assert attributes(Mysql.describe(talk.done[0]))["db.system.name"] == "mariadb"


@pytest.mark.parametrize("has_eof", [False, True])
def test_prepared_statement_is_known_by_its_number(has_eof):
    talk = started(capabilities=my.USUAL & ~(my.DEPRECATE_EOF * has_eof))
    talk.ask(my.prepare("SELECT a FROM b WHERE c = ?"))
    talk.answer(my.packets(*my.prepared(7, has_eof=has_eof)))
    assert talk.session.is_idle
    talk.ask(my.execute(7)).answer(my.packets(*my.results(b"\0\0\1", b"\0\0\2", has_eof=has_eof)))
    talk.ask(my.command(0x19, b"\7\0\0\0") + my.execute(7))
    talk.answer(my.packets(my.error(1243, "HY000")))
    assert talk.told == [("PREPARE SELECT b", None), ("SELECT b", 2), ("shop", "1243")]
    assert talk.done[2].request.missing == "forgotten"


def test_preparation_of_which_it_is_not_known_how_it_ends():
    talk = Talk().ask(my.prepare("SELECT a FROM b WHERE c = ?"))
    talk.answer(my.packets(*my.prepared(7, has_eof=True)))
    talk.ask(my.execute(7)).answer(my.packets(*my.results(b"\0\0\1", has_eof=True)))
    assert talk.told == [("PREPARE SELECT b", None), ("SELECT b", 1)]
    assert talk.protocol.has_eof


def test_end_of_a_preparation_that_comes_late():
    talk = Talk().ask(my.prepare("UPDATE b SET c = ?"))
    whole = my.packets(*my.prepared(7, columns=0, has_eof=True))
    talk.answer(whole[:-9]).ask(my.execute(7)).answer(whole[-9:] + my.packets(my.ok()))
    assert talk.told == [("PREPARE UPDATE b", None), ("UPDATE b", None)]


def test_statement_prepared_before_is_told_without_text():
    talk = Talk().ask(my.execute(7)).answer(my.packets(my.ok()))
    assert attributes(Mysql.describe(talk.done[0])) == {
        "db.system.name": "mysql",
        "zerospan.db.query.missing": "prepared_before_attach",
    }


def test_the_last_prepared_statement_needs_no_number():
    talk = started()
    talk.ask(my.prepare("SELECT a FROM b")).answer(my.packets(*my.prepared(3, parameters=0)))
    talk.ask(my.execute(0xFFFFFFFF)).answer(my.packets(*my.results(b"\0\0\1")))
    assert talk.told[1] == ("SELECT b", 1)


def test_statements_beyond_the_bound_are_forgotten():
    talk = started()
    for number in range(MAX_STATEMENTS + 1):
        talk.ask(my.prepare("SELECT 1"))
        talk.answer(my.packets(*my.prepared(number, parameters=0, columns=0)))
    assert len(talk.protocol.statements) == MAX_STATEMENTS


def test_several_results_are_one_exchange():
    talk = started()
    talk.query(
        "SELECT 1; SELECT 2; DO 3",
        *my.results(my.row(b"1"), status=8),
        *my.results(my.row(b"2"), status=8),
        my.ok(),
    )
    assert talk.told == [("SELECT DO", 2)]
    talk.query("SELECT 1; SELEC", *my.results(my.row(b"1"), status=8), my.error(1064))
    assert talk.told[1][1] == "1064"


def test_file_of_the_client():
    talk = started().ask(my.query("LOAD DATA LOCAL INFILE '/x' INTO TABLE users"))
    talk.answer(my.packets(b"\xfb/etc/hunter2"))
    talk.ask(my.packets(b"1,hunter2\n" * 400, b"", first=2), hole=2000)
    talk.answer(my.packets(my.ok(affected=9), first=4))
    talk.query("SELECT 1", *my.results())
    assert [name for name, _ in talk.told] == ["LOAD users", "SELECT"]


def test_cursor_has_its_rows_fetched():
    talk = started(capabilities=my.USUAL & ~my.DEPRECATE_EOF)
    talk.ask(my.prepare("SELECT a FROM b"))
    talk.answer(my.packets(*my.prepared(7, parameters=0, has_eof=True)))
    talk.ask(my.execute(7, flags=1)).answer(my.packets(b"\1", my.column(), my.eof(0x42)))
    talk.ask(my.command(0x1C, b"\7\0\0\0\5\0\0\0")).answer(my.packets(b"\0\0\1", my.eof(0x82)))
    assert talk.told[1:] == [("SELECT b", None), ("FETCH shop", 1)]


def test_columns_that_mariadb_leaves_out():
    talk = started("11.4.2-MariaDB").query("SELECT 1", b"\1\0", my.row(b"1"), my.end())
    assert talk.told == [("SELECT", 1)]


def test_database_follows_use():
    talk = started().ask(my.command(2, b"stock")).answer(my.packets(my.ok()))
    talk.query("SELECT 1 FROM a", *my.results())
    talk.query("use `carts`;").query("SELECT 1 FROM a", *my.results())
    talk.query("USE secret", my.error(1044, "42000")).query("DO 1")
    namespaces = [attributes(Mysql.describe(each))["db.namespace"] for each in talk.done]
    assert namespaces == ["stock", "stock", "stock", "carts", "carts", "carts"]
    assert talk.told[0] == ("USE stock", None)


def test_another_user():
    talk = started().ask(my.command(0x11, b"bob\0\x14hunter2-scrambled-20shop\0"))
    talk.answer(my.packets(b"\xfemysql_native_password\0challenge of 20 byte\0"))
    talk.ask(my.packet(2, b"hunter2-scrambled-20")).answer(my.packet(3, my.ok()))
    talk.query("SELECT 1", *my.results())
    assert talk.done[1].request.session == Session("mysql", "", "bob")
    assert "hunter2" not in repr(talk.done[0].request)


def test_backslash_where_the_session_says_that_it_means_nothing():
    talk = started().query("SET sql_mode = 'NO_BACKSLASH_ESCAPES'", my.ok(0x202))
    talk.query(r"SELECT 'a\' FROM b", *my.results(status=0x202))
    assert talk.told[1] == ("SELECT b", 0)


def test_attributes_of_a_query_are_stepped_over():
    talk = started().ask(my.command(3, b"\0\1SELECT 1")).answer(my.packets(*my.results()))
    assert talk.done[0].request.text == b"SELECT 1"


def test_traceparent_in_a_comment_is_read_and_taken_off():
    context = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    talk = started().query(f"SELECT 1 /*traceparent='{context}'*/", *my.results())
    assert (talk.done[0].request.text, talk.done[0].request.carrier) == (
        b"SELECT 1",
        {"traceparent": context},
    )


@pytest.mark.parametrize("capabilities", [my.USUAL | my.SSL])
def test_tls_is_the_end_of_what_can_be_read(capabilities):
    talk = Talk().answer(my.greeting()).ask(my.answer(capabilities=capabilities))
    assert (talk.protocol.is_opaque, talk.protocol.opaque_cause) == (True, "tls")


def test_compression_begins_when_the_client_is_accepted():
    talk = Talk().answer(my.greeting()).ask(my.answer(capabilities=my.USUAL | my.COMPRESS))
    assert not talk.protocol.is_opaque
    talk.answer(my.packet(2, my.ok()))
    assert (talk.protocol.is_opaque, talk.protocol.opaque_cause) == (True, "compressed")


def test_replication_is_muted():
    talk = started().ask(my.command(0x12, b"\4\0\0\0\0\0\1\0\0\0log.1"))
    assert (talk.protocol.is_opaque, talk.protocol.opaque_cause) == (True, "replication")


def test_refused_client():
    talk = Talk().answer(my.greeting()).ask(my.answer())
    talk.answer(my.packet(2, my.error(1045, "28000", "Access denied for user 'app'")))
    assert talk.done == []


def test_long_result_ends_with_its_turn():
    talk = started().ask(my.query("SELECT a FROM b"))
    rows = [my.row(b"x" * 100)] * 20
    talk.answer(my.packets(*my.results(*rows)), hole=1200)
    assert talk.done == []
    talk.query("SELECT 1", *my.results())
    size = len(my.packets(*my.results(*rows)))
    assert talk.done[0].response == Result(size=size, is_truncated=True, is_end_guessed=True)
    assert talk.told == [("SELECT b", None), ("SELECT", 0)]


def test_long_statement_is_cut_and_its_end_known():
    talk = started().ask(my.query(f"SELECT a FROM b WHERE c IN ({'1, ' * 3000}1)"), hole=5000)
    talk.answer(my.packets(*my.results()))
    assert talk.told == [("SELECT b", 0)]
    assert talk.done[0].request.is_truncated


def test_statement_of_more_than_16_mb():
    talk = started()
    size = 0xFFFFFF
    stream = talk.session.requests
    head = b"\xff\xff\xff\0\x03INSERT INTO blobs VALUES ('"
    stream.feed(stream.end, head, size + 4, 1)
    talk.session.step()
    talk.ask(my.packet(1, b"x" * 100)).answer(my.packets(my.ok()))
    assert talk.told == [("INSERT blobs", None)]
    assert talk.done[0].request.size == size + 4 + 104


@pytest.mark.parametrize("data", [my.packet(0, b""), my.packet(0, b"\x77SELECT")])
def test_no_command(data):
    talk = started()
    stream = talk.session.requests
    stream.feed(stream.end, data, len(data), 1)
    talk.session.step()
    assert talk.session.trouble is Trouble.GARBAGE


def test_no_result():
    talk = started().ask(my.query("SELECT 1"))
    stream = talk.session.responses
    data = my.packets(b"\xfd\xff\xff\xff")
    stream.feed(stream.end, data, len(data), 1)
    talk.session.step()
    assert talk.session.trouble is Trouble.GARBAGE


def test_error_is_the_servers_number():
    talk = started().query("INSERT INTO users VALUES ('ada')", my.error())
    description = Mysql.describe(talk.done[0])
    assert (description.error_type, description.status_message) == ("1062", "SQLSTATE 23000")
    assert attributes(description)["db.response.status_code"] == "1062"
    assert "ada" not in repr(description)


def test_exchange_that_was_not_answered():
    talk = started().ask(my.command(0x0E))
    assert Mysql.describe(*talk.protocol.pairing.pending).name == "PING shop"
