"""PostgreSQL's conversation: what is a request, and what answers it."""

from __future__ import annotations

from typing import Any

import pytest

from agent.connections.session import Session as Conversation
from agent.protocols import Description, Role
from agent.protocols.pairing import Exchange, Failure
from agent.protocols.postgresql import MAX_STATEMENTS, Postgresql
from agent.protocols.postgresql_messages import Kind, Reply, Session, Statement
from tests.protocols import postgresql_bytes as pg
from tests.wire import Sample

SAMPLES = [
    Sample(
        (
            pg.query("SELECT id FROM users WHERE name = 'ada'"),
            pg.parse("SELECT id FROM users WHERE id = $1")
            + pg.bind("", "", b"7")
            + pg.describe()
            + pg.execute()
            + pg.SYNC,
            pg.parse("INSERT INTO carts VALUES ($1)", "s1") + pg.describe("S", "s1") + pg.SYNC,
            pg.bind("s1", "", b"secret") + pg.execute() + pg.SYNC,
            pg.query("BEGIN; SELECT 1; COMMIT"),
        ),
        (
            pg.results(b"7") + pg.ready(),
            pg.PARSED + pg.BOUND + pg.results(b"7") + pg.ready(),
            pg.PARSED + pg.message(b"t", b"\0\1\0\0\0\x17") + pg.NO_DATA + pg.ready(),
            pg.BOUND + pg.complete("INSERT 0 1") + pg.ready("T"),
            pg.complete("BEGIN") + pg.results(b"1") + pg.complete("COMMIT") + pg.ready(),
        ),
    ),
    Sample(
        (
            pg.bind("before", "p1") + pg.execute("p1") + pg.SYNC,
            pg.message(b"F", b"\0\0\4\xd2\0\0\0\0\0\1"),
            pg.query("SELEC"),
        ),
        (
            pg.BOUND + pg.row(b"x") + pg.complete("DELETE 1") + pg.ready(),
            pg.message(b"V", b"\0\0\0\1x") + pg.ready(),
            pg.error("42601") + pg.ready(),
        ),
    ),
]


class Talk:
    """Both directions of one connection, as the table would read them."""

    def __init__(self) -> None:
        self.protocol = Postgresql()
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

    @property
    def told(self) -> list[tuple[str, Any]]:
        """Name and error, or rows, of what was done."""
        said = []
        for exchange in self.done:
            description = Postgresql.describe(exchange)
            rows = exchange.response.rows
            said.append((description.name, description.error_type or rows))
        return said


class Place:
    """A Unix socket."""

    family = 1


def started(**parameters: str) -> Talk:
    talk = Talk()
    talk.ask(pg.startup(user="app", database="shop", **parameters))
    talk.answer(pg.message(b"R", b"\0\0\0\x0a" + b"SCRAM-SHA-256\0\0"))
    talk.ask(pg.message(b"p", b"SCRAM-SHA-256\0" + b"\0\0\0\x20" + b"n,,n=,r=hunter2")).answer(
        pg.message(b"R", b"\0\0\0\x0b" + b"r=hunter2,s=abc,i=4096")
    )
    talk.ask(pg.message(b"p", b"c=biws,r=hunter2,p=hunter2"))
    talk.answer(
        pg.message(b"R", b"\0\0\0\0")
        + pg.parameter("server_version", "15.6")
        + pg.message(b"K", bytes(8))
        + pg.ready()
    )
    assert talk.done == []
    assert talk.session.is_idle
    return talk


def attributes(description: Description) -> dict[str, Any]:
    return dict(item for each in description.attributes for item in each.items)


def test_startup_names_database_and_user_and_nothing_of_authentication():
    talk = started().ask(pg.query("SELECT 1")).answer(pg.results(b"1") + pg.ready())
    assert talk.done[0].request == Statement(
        Kind.QUERY, b"SELECT 1", Session("shop", "app"), size=14
    )
    assert talk.done[0].response == Reply(1, size=60)
    assert attributes(Postgresql.describe(talk.done[0])) == {
        "db.system.name": "postgresql",
        "db.namespace": "shop",
        "db.operation.name": "SELECT",
        "db.query.summary": "SELECT",
        "db.query.text": "SELECT ?",
        "zerospan.db.user": "app",
        "db.response.returned_rows": 1,
    }


def test_database_is_the_users_where_none_is_named():
    talk = Talk().ask(pg.startup(user="app"))
    assert talk.protocol.session == Session("app", "app")


def test_prepared_statement_is_known_by_its_name():
    talk = started()
    talk.ask(pg.parse("SELECT * FROM users WHERE id = $1", "s1") + pg.SYNC).answer(
        pg.PARSED + pg.ready()
    )
    for _ in range(2):
        talk.ask(pg.bind("s1", "", b"1") + pg.describe() + pg.execute() + pg.SYNC)
        talk.answer(pg.BOUND + pg.results(b"1", b"2") + pg.ready())
    assert talk.told == [("PREPARE SELECT users", None), ("SELECT users", 2), ("SELECT users", 2)]


def test_statement_prepared_before_is_told_without_text():
    talk = Talk().ask(pg.bind("s1") + pg.execute() + pg.SYNC)
    talk.answer(pg.BOUND + pg.complete("UPDATE 1") + pg.ready())
    description = Postgresql.describe(talk.done[0])
    assert attributes(description) == {
        "db.system.name": "postgresql",
        "zerospan.db.query.missing": "prepared_before_attach",
    }
    assert description.name == "postgresql"


def test_statements_beyond_the_bound_are_forgotten_oldest_first():
    talk = started()
    for number in range(MAX_STATEMENTS + 1):
        talk.ask(pg.parse("SELECT 1", f"s{number}") + pg.SYNC).answer(pg.PARSED + pg.ready())
    talk.done.clear()
    for name in ("s0", "s1"):
        talk.ask(pg.bind(name) + pg.execute() + pg.SYNC)
        talk.answer(pg.BOUND + pg.results(b"1") + pg.ready())
    assert [exchange.request.missing for exchange in talk.done] == ["forgotten", ""]


def test_unnamed_statement_is_not_forgotten():
    talk = started()
    talk.ask(pg.parse("SELECT 1") + pg.SYNC).answer(pg.PARSED + pg.ready())
    for number in range(MAX_STATEMENTS + 2):
        talk.protocol.parsed(b"s%d" % number, b"SELECT 2")
    assert talk.protocol.statements[b""] == b"SELECT 1"
    assert len(talk.protocol.statements) == MAX_STATEMENTS


def test_portals_are_bounded():
    protocol = Postgresql()
    for number in range(1000):
        protocol.bound(b"p%d" % number, b"")
    assert len(protocol.portals) == 256


def test_pipeline_has_an_exchange_for_each_execute():
    talk = started()
    batch = [
        pg.parse(f"SELECT {n} FROM t{n}") + pg.bind() + pg.describe() + pg.execute()
        for n in range(3)
    ]
    talk.ask(b"".join(batch) + pg.SYNC)
    assert len(talk.protocol.pairing.pending) == 3
    answers = pg.PARSED + pg.BOUND + pg.results(b"1")
    talk.answer(3 * answers + pg.ready())
    assert talk.told == [("SELECT t0", 1), ("SELECT t1", 1), ("SELECT t2", 1)]
    assert talk.session.is_idle


def test_error_in_a_pipeline_skips_what_follows_up_to_sync():
    talk = started()
    one = pg.parse("INSERT INTO t VALUES (1)") + pg.bind() + pg.execute()
    talk.ask(one + one + one + one + pg.SYNC + one + pg.SYNC)
    good = pg.PARSED + pg.BOUND + pg.complete("INSERT 0 1")
    talk.answer(good + pg.PARSED + pg.BOUND + pg.error("23505") + pg.ready() + good + pg.ready())
    assert [error for _, error in talk.told] == [
        None,
        "23505",
        "pipeline_aborted",
        "pipeline_aborted",
        None,
    ]
    assert talk.session.is_idle


def test_prepare_with_flush_ends_with_its_replies_and_the_sync_comes_later():
    talk = started()
    talk.ask(pg.parse("SELECT a FROM b", "s") + pg.describe("S", "s") + pg.FLUSH)
    talk.answer(pg.PARSED + pg.message(b"t", b"\0\0"))
    assert talk.done == []
    talk.answer(pg.columns("a"))
    talk.ask(pg.bind("s") + pg.execute() + pg.SYNC)
    talk.answer(pg.BOUND + pg.row(b"1") + pg.complete("SELECT 1") + pg.ready())
    assert talk.told == [("PREPARE SELECT b", None), ("SELECT b", 1)]


def test_error_of_a_flushed_prepare_and_the_sync_behind_it():
    talk = started()
    talk.ask(pg.parse("SELEC 1") + pg.describe("S") + pg.FLUSH).answer(pg.error("42601"))
    talk.ask(pg.SYNC).answer(pg.ready())
    talk.ask(pg.query("SELECT 1")).answer(pg.results(b"1") + pg.ready())
    assert talk.told == [("PREPARE", "42601"), ("SELECT", 1)]


def test_a_sync_of_its_own_does_not_answer_the_next_request():
    talk = started()
    talk.ask(pg.SYNC + pg.bind("s") + pg.execute() + pg.SYNC)
    talk.answer(pg.ready() + pg.BOUND + pg.complete("UPDATE 2") + pg.ready())
    assert len(talk.done) == 1
    assert talk.done[0].response == Reply(size=25)
    assert talk.session.is_idle


def test_execute_with_flush_ends_with_its_own_end():
    talk = started()
    talk.ask(pg.parse("SELECT a FROM b") + pg.bind() + pg.execute("", 10) + pg.FLUSH)
    talk.answer(pg.PARSED + pg.BOUND + pg.row(b"1") + pg.SUSPENDED)
    talk.ask(pg.execute("", 10) + pg.SYNC).answer(
        pg.row(b"1") + pg.complete("SELECT 1") + pg.ready()
    )
    assert talk.told == [("SELECT b", None), ("SELECT b", 1)]


def test_describe_and_close_alone_are_part_of_no_exchange():
    talk = started()
    talk.ask(pg.close("S", "s1") + pg.SYNC).answer(pg.CLOSED + pg.ready())
    talk.ask(pg.query("SELECT 1")).answer(pg.results(b"1") + pg.ready())
    assert talk.told == [("SELECT", 1)]


def test_notices_notifications_and_parameters_answer_nothing():
    talk = started().answer(pg.message(b"A", b"\0\0\0\1channel\0payload\0"))
    talk.ask(pg.query("DROP TABLE IF EXISTS carts"))
    talk.answer(pg.notice())
    assert talk.done == []
    talk.answer(pg.complete("DROP TABLE") + pg.parameter("a", "b") + pg.ready())
    assert talk.told == [("DROP TABLE carts", None)]


def test_fatal_error_without_a_request():
    talk = started().answer(pg.error("57P01"))
    assert talk.done == []


def test_empty_query():
    talk = started().ask(pg.query("")).answer(pg.EMPTY + pg.ready())
    assert talk.told == [("shop", None)]


def test_copy_from_the_client():
    talk = started().ask(pg.query("COPY users FROM STDIN"))
    talk.answer(pg.message(b"G", b"\0\0\0"))
    talk.ask(pg.message(b"d", b"1\tsecret\n") * 9 + pg.message(b"c"), hole=40)
    talk.answer(pg.complete("COPY 9") + pg.ready())
    talk.ask(pg.query("SELECT 1")).answer(pg.results(b"1") + pg.ready())
    assert talk.told == [("COPY users", None), ("SELECT", 1)]


def test_copy_that_fails_while_the_client_sends():
    talk = started().ask(pg.query("COPY users FROM STDIN"))
    talk.answer(pg.message(b"G", b"\0\0\0"))
    talk.ask(pg.message(b"d", b"1\tsecret\n")).answer(pg.error("22P02") + pg.ready())
    talk.ask(pg.message(b"d", b"2\tsecret\n") + pg.message(b"f", b"gone\0") + pg.query("SELECT 1"))
    talk.answer(pg.results(b"1") + pg.ready())
    assert talk.told == [("COPY users", "22P02"), ("SELECT", 1)]


def test_copy_to_the_client():
    talk = started().ask(pg.query("COPY users TO STDOUT"))
    data = pg.message(b"d", b"1\tsecret\n") * 400
    talk.answer(
        pg.message(b"H", b"\0\0\0")
        + data
        + pg.message(b"c")
        + pg.complete("COPY 400")
        + pg.ready(),
        hole=3000,
    )
    talk.ask(pg.message(b"X"))
    assert talk.told == [("COPY users", None)]
    assert talk.done[0].response.is_truncated


def test_long_result_ends_where_ready_for_query_passed_last():
    talk = started().ask(pg.query("SELECT * FROM users"))
    data = pg.columns("id") + pg.row(b"x" * 100) * 100 + pg.complete("SELECT 100") + pg.ready()
    stream = talk.session.responses
    stream.feed(stream.end, data[:1024], 1024, 1)
    talk.session.step()
    assert talk.done == []
    stream.advance(stream.end + len(data) - 1024, 2, tail=data[-8:])
    talk.session.step()
    assert talk.done[0].response == Reply(size=len(data), is_truncated=True, is_end_guessed=True)


def test_long_value_hides_execute_and_sync():
    talk = started()
    talk.ask(
        pg.parse("UPDATE blobs SET a = $1") + pg.bind("", "", b"x" * 9000) + pg.execute() + pg.SYNC,
        hole=5000,
    )
    talk.answer(pg.PARSED + pg.BOUND + pg.complete("UPDATE 1") + pg.ready())
    assert talk.told == [("UPDATE blobs", None)]
    assert talk.done[0].request.is_truncated
    assert talk.protocol.wants_capture == 16384


def test_long_statement_hides_all_behind_it():
    talk = started()
    talk.ask(
        pg.parse(f"SELECT a FROM b WHERE c IN ({'1, ' * 3000}1)")
        + pg.bind()
        + pg.execute()
        + pg.SYNC,
        hole=6000,
    )
    talk.answer(pg.PARSED + pg.BOUND + pg.results(b"1") + pg.ready())
    assert talk.told == [("SELECT b", 1)]


def test_traceparent_in_a_comment_is_read_and_taken_off():
    context = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    text = f"SELECT 1 /*action='show',traceparent='{context}'*/"
    talk = started().ask(pg.query(text)).answer(pg.results(b"1") + pg.ready())
    talk.ask(pg.parse(text) + pg.bind() + pg.execute() + pg.SYNC)
    talk.answer(pg.PARSED + pg.BOUND + pg.results(b"1") + pg.ready())
    for exchange in talk.done:
        assert exchange.request.carrier == {"traceparent": context}
        assert exchange.request.text == b"SELECT 1"


def test_context_of_a_prepared_statement_is_not_that_of_later_executions():
    text = "SELECT 1 /*traceparent='00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'*/"
    talk = started().ask(pg.parse(text, "s") + pg.SYNC).answer(pg.PARSED + pg.ready())
    talk.ask(pg.bind("s") + pg.execute() + pg.SYNC).answer(pg.BOUND + pg.results(b"1") + pg.ready())
    assert [exchange.request.carrier is None for exchange in talk.done] == [False, True]


@pytest.mark.parametrize(("asking", "answer"), [(pg.SSL, b"S"), (pg.GSS, b"G")])
def test_encryption_is_the_end_of_what_can_be_read(asking, answer):
    talk = Talk().ask(asking)
    assert not talk.protocol.is_opaque
    talk.answer(answer)
    assert (talk.protocol.is_opaque, talk.protocol.opaque_cause) == (True, "tls")


@pytest.mark.parametrize("answer", [b"N", pg.error("0A000")])
def test_refused_encryption_goes_on_in_clear(answer):
    talk = Talk().ask(pg.SSL).answer(answer)
    talk.ask(pg.startup(user="app")).answer(pg.message(b"R", bytes(4)) + pg.ready())
    talk.ask(pg.query("SELECT 1")).answer(pg.results(b"1") + pg.ready())
    assert talk.told == [("SELECT", 1)]


def test_cancel_request_and_replication_are_muted():
    assert Talk().ask(pg.CANCEL).protocol.opaque_cause == "cancel_request"
    replica = Talk().ask(pg.startup(user="app", replication="database"))
    assert (replica.protocol.is_opaque, replica.protocol.opaque_cause) == (True, "replication")
    assert not Talk().ask(pg.startup(user="app", replication="false")).protocol.is_opaque
    talk = started().ask(pg.query("START_REPLICATION SLOT a"))
    assert talk.answer(pg.message(b"W", b"\0\0\0")).protocol.is_opaque


def test_backslash_escapes_where_the_server_says_so():
    talk = started().answer(pg.parameter("standard_conforming_strings", "off"))
    talk.ask(pg.query(r"SELECT 'a\' FROM secret' FROM b")).answer(pg.results(b"1") + pg.ready())
    assert talk.told == [("SELECT b", 1)]


def test_condition_is_told_and_not_the_message():
    talk = started().ask(pg.query("INSERT INTO users VALUES ('ada')"))
    talk.answer(pg.error("23505", "Key (name)=(ada) already exists.") + pg.ready("E"))
    description = Postgresql.describe(talk.done[0])
    assert (description.error_type, description.status_message) == ("23505", "unique_violation")
    assert attributes(description)["db.response.status_code"] == "23505"
    assert "ada" not in repr(description)


def test_connection_that_broke_before_an_answer():
    exchange = Exchange(Postgresql, Role.CLIENT, Statement(Kind.QUERY, b"SELECT 1", Session()), 1)
    exchange.connection = Place()
    exchange.failure = Failure.RESET
    assert Postgresql.describe(exchange).error_type == "connection_reset"


def test_function_call_is_a_call():
    talk = started().ask(pg.message(b"F", b"\0\0\4\xd2\0\0\0\0\0\1"))
    talk.answer(pg.message(b"V", b"\xff\xff\xff\xff") + pg.ready())
    assert talk.told == [("CALL shop", None)]


def test_rows_returned_by_a_change_are_counted():
    talk = started().ask(pg.query("DELETE FROM carts RETURNING id"))
    talk.answer(pg.columns("id") + pg.row(b"1") * 2 + pg.complete("DELETE 2") + pg.ready())
    talk.ask(pg.query("DELETE FROM carts")).answer(pg.complete("DELETE 2") + pg.ready())
    assert talk.told == [("DELETE carts", 2), ("DELETE carts", None)]


def test_sync_cut_from_its_execute_is_waited_for():
    talk = started().ask(pg.bind("s") + pg.execute())
    assert talk.session.is_within_request
    talk.ask(pg.SYNC).answer(pg.BOUND + pg.complete("UPDATE 1") + pg.ready())
    assert talk.done[0].request.has_sync
