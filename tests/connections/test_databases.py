"""Connections of protocols that remember, through the table: the hot path, the general one, losses, encryption."""

from __future__ import annotations

from agent.spans.span import Span
from tests.protocols import mysql_bytes as my
from tests.protocols import postgresql_bytes as pg
from tests.scenario import Host, Run, Socket, facts, play

ASKED = pg.parse("SELECT * FROM users WHERE id = $1", "s1") + pg.SYNC
AGAIN = pg.bind("s1", "", b"7") + pg.describe() + pg.execute() + pg.SYNC
ANSWER = pg.BOUND + pg.results(b"7") + pg.ready()


def startup(socket: Socket) -> Socket:
    socket.asks(pg.startup(user="app", database="shop"))
    socket.answers(pg.message(b"R", b"\0\0\0\x0aSCRAM-SHA-256\0\0"))
    socket.asks(pg.message(b"p", b"SCRAM-SHA-256\0hunter2"))
    return socket.answers(pg.message(b"R", bytes(4)) + pg.ready())


def told(span: Span) -> tuple[object, ...]:
    said = facts(span)
    return (
        span.kind.name.lower(),
        span.name,
        said.get("error.type", said.get("db.response.returned_rows")),
    )


def lines(run: Run) -> list[tuple[object, ...]]:
    return [told(span) for span in run.spans]


def client(host: Host, **more) -> Socket:
    return host.connect(server=("10.0.0.1", 5432), **more)


def test_startup_is_no_exchange_and_prepared_statements_are_known(host):
    socket = startup(client(host))
    socket.asks(ASKED).answers(pg.PARSED + pg.ready())
    for _ in range(3):
        socket.asks(AGAIN).answers(ANSWER)
    socket.asks(pg.message(b"X")).close()
    run = play(host)
    assert lines(run) == [
        ("client", "PREPARE SELECT users", None),
        *[("client", "SELECT users", 1)] * 3,
    ]
    assert facts(run.spans[1])["db.namespace"] == "shop"
    assert run.counts == {"captured": 4, "spans": 4}
    assert "hunter2" not in repr(run.spans)


def test_connections_do_not_share_statements(host):
    for port, text in ((40000, "SELECT a FROM one"), (40001, "SELECT b FROM two")):
        socket = startup(client(host, port=port))
        socket.asks(pg.parse(text, "s1") + pg.bind("s1") + pg.execute() + pg.SYNC)
        socket.answers(pg.PARSED + ANSWER)
        for _ in range(3):
            socket.asks(AGAIN).answers(ANSWER)
    assert [name for _, name, _ in lines(play(host))] == ["SELECT one"] * 4 + ["SELECT two"] * 4


def test_both_ends_are_joined(host):
    there = client(host, process=20)
    here = host.accept(process=10, client=("10.0.0.9", 40000), port=5432)
    for data in (pg.startup(user="app", database="shop"), pg.query("SELECT 1")):
        there.asks(data)
        here.asks(data)
        answer = (
            pg.message(b"R", bytes(4)) + pg.ready()
            if data[0] == 0
            else pg.results(b"1") + pg.ready()
        )
        here.answers(answer)
        there.answers(answer)
    server, caller = play(host).spans
    assert told(server) == ("server", "SELECT", 1)
    assert told(caller) == ("client", "SELECT", 1)
    assert server.parent_id == caller.span_id


def test_pipeline_on_the_general_way_and_back(host):
    socket = startup(client(host))
    one = pg.parse("SELECT a FROM b") + pg.bind() + pg.execute()
    socket.asks(one + one + pg.SYNC).answers(2 * (pg.PARSED + ANSWER[:-6]) + pg.ready())
    socket.asks(pg.query("SELECT 1")).answers(pg.results(b"1") + pg.ready())
    run = play(host)
    assert lines(run) == [
        ("client", "SELECT b", 1),
        ("client", "SELECT b", 1),
        ("client", "SELECT", 1),
    ]


def test_hot_path_goes_over_to_the_general_way_in_the_middle(host):
    socket = startup(client(host))
    socket.asks(AGAIN).answers(pg.BOUND + pg.columns("id")).answers(pg.row(b"1"))
    socket.answers(pg.complete("SELECT 1") + pg.ready())
    run = play(host)
    assert lines(run) == [("client", "shop", 1)]
    assert facts(run.spans[0])["zerospan.db.query.missing"] == "forgotten"


def test_joined_in_the_middle(host):
    socket = host.join(port=5432, peer=("10.0.0.9", 40000))
    socket.received(AGAIN).sent(ANSWER)
    socket.received(pg.query("SELECT a FROM b")).sent(pg.results(b"1") + pg.ready()).close()
    run = play(host)
    assert lines(run)[-1] == ("server", "SELECT b", 1)
    assert facts(run.spans[0])["zerospan.db.query.missing"] == "prepared_before_attach"


def test_encryption_mutes(host):
    socket = client(host).asks(pg.SSL).answers(b"S")
    run = play(host)
    assert run.outside.muted == [socket.number]
    assert run.ledger.connections["muted_tls"] == 1
    assert run.counts == {}


def test_a_lost_statement_is_counted_and_the_next_one_is_read(host):
    socket = startup(client(host))
    socket.asks(pg.query("SELECT 1"), is_lost=True).answers(pg.results(b"1") + pg.ready())
    for _ in range(2):
        socket.asks(pg.query("SELECT 2")).answers(pg.results(b"1") + pg.ready())
    socket.close()
    run = play(host)
    assert run.counts == {"captured": 3, "spans": 2, "lost": {"ring_full": 1}}


def test_a_servers_own_side_can_be_left_out(host):
    socket = host.accept(port=5432)
    startup(socket).received(pg.query("SELECT 1")).sent(pg.results(b"1") + pg.ready())
    run = Run(reports_database_servers=False).take(host.records).finish()
    assert (run.spans, run.outside.muted) == ([], [socket.number])
    assert run.ledger.connections["muted_not_reported"] == 1


def test_a_statement_without_a_name_is_not_told_of_an_execution_behind_a_loss(host):
    socket = startup(client(host))
    socket.asks(pg.parse("SELECT a FROM old") + pg.SYNC).answers(pg.PARSED + pg.ready())
    socket.asks(pg.parse("SELECT a FROM new") + pg.SYNC, is_lost=True).answers(
        pg.PARSED + pg.ready()
    )
    socket.asks(pg.bind() + pg.execute() + pg.SYNC).answers(ANSWER)
    run = play(host)
    assert lines(run) == [("client", "PREPARE SELECT old", None), ("client", "shop", 1)]
    assert run.counts == {"captured": 3, "spans": 2, "lost": {"ring_full": 1}}


def test_a_lost_end_of_copy_does_not_make_the_rest_a_copy(host):
    socket = startup(client(host))
    socket.asks(pg.query("COPY a FROM STDIN")).answers(pg.message(b"G", b"\0\0\0"))
    socket.asks(pg.message(b"d", b"x\n") + pg.message(b"c"))
    socket.answers(pg.complete("COPY 1") + pg.ready(), is_lost=True)
    for _ in range(3):
        socket.asks(pg.query("SELECT a FROM b")).answers(pg.results(b"1") + pg.ready())
    run = play(host)
    assert lines(run)[-1] == ("client", "SELECT b", 1)
    assert run.counts["captured"] in (4, 5)


def test_a_lost_end_of_authentication_does_not_hide_the_commands(host):
    socket = host.connect(server=("10.0.0.1", 3306)).answers(my.greeting()).asks(my.answer())
    socket.answers(my.packet(2, my.ok()), is_lost=True)
    for _ in range(3):
        socket.asks(my.query("SELECT a FROM b")).answers(my.packets(*my.results(my.row(b"1"))))
    assert lines(play(host))[-1] == ("client", "SELECT b", 1)


def test_greeting_and_commands(host):
    socket = host.accept(port=3306)
    socket.answers(my.greeting()).asks(my.answer()).answers(my.packet(2, my.ok()))
    for _ in range(3):
        socket.asks(my.query("SELECT a FROM b")).answers(my.packets(*my.results(my.row(b"1"))))
    socket.asks(my.command(1)).close()
    run = play(host)
    assert lines(run) == [("server", "SELECT b", 1)] * 3
    assert run.counts == {"captured": 3, "spans": 3}


def test_greeting_in_the_middle_of_a_connection_is_none(host):
    socket = host.accept(port=3306)
    socket.asks(b"\x16\x03\x01\x02").answers(my.greeting())
    run = play(host)
    assert (run.spans, run.outside.muted) == ([], [socket.number])
