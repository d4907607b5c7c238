"""Real database servers and clients: as many statements as the server counted, and no secret in what is told."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.vm.harness_agent import Agent, Agents
from tests.vm.harness_guest import SERVERS, Servers, free_port, wait_until
from tests.vm.harness_spans import ExportedSpan
from tests.vm.harness_tracing import CLIENT, SERVER
from tests.vm.servers.build import BUILT
from tests.vm.servers.databases import PASSWORD, POSTGRESQL, unpack, unprivileged

CONNECTIONS: Final = 16
LOAD_S: Final = os.environ.get("ZEROSPAN_DATABASE_LOAD_S", "")
"""How long each load runs, for a measurement by hand; else a fixed number of statements."""
ROUNDS: Final = ("-T", LOAD_S) if LOAD_S else ("-t", "12")
SECRET: Final = "hunter2"


class Postgresql:
    """A server of PostgreSQL 15 with two tables and pg_stat_statements."""

    def __init__(self, servers: Servers) -> None:
        data = unpack(BUILT / "postgresql.tar")
        self.port = free_port()
        self.sockets = data.parent
        self.sockets.chmod(0o777)
        (data / "pg_hba.conf").write_text(
            "local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n"
        )
        settings = {
            "port": self.port,
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": self.sockets,
            "fsync": "off",
            "autovacuum": "off",
            "max_connections": 60,
            "shared_buffers": "32MB",
            "shared_preload_libraries": "pg_stat_statements",
        }
        words = [word for key, value in settings.items() for word in ("-c", f"{key}={value}")]
        servers.start(*unprivileged(), POSTGRESQL / "postgres", "-D", data, *words, port=self.port)
        wait_until(lambda: self._accepts(), deadline_s=120, what="PostgreSQL accepts connections")
        self.admin("CREATE DATABASE bench", f"ALTER ROLE app PASSWORD '{PASSWORD}'")
        self.admin(
            "CREATE TABLE users (id serial PRIMARY KEY, name text)",
            "INSERT INTO users (name) SELECT 'user ' || n FROM generate_series(1, 50) n",
            "CREATE TABLE events (id serial, what text)",
            database="bench",
        )
        self.admin("CREATE EXTENSION pg_stat_statements")

    def _accepts(self) -> bool:
        words = ("pg_isready", "-h", str(self.sockets), "-p", str(self.port))
        return subprocess.run(words, capture_output=True, check=False).returncode == 0

    def admin(self, *statements: str, database: str = "postgres") -> str:
        """By the Unix socket."""
        commands = [word for statement in statements for word in ("-c", statement)]
        words = ("psql", "-XAtq", "-h", self.sockets, "-p", self.port, "-U", "app", "-d", database)
        done = subprocess.run(
            [*map(str, words), *commands], capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def counted(self) -> int:
        """Statements that ran to their end in the database of the test."""
        return int(
            self.admin(
                "SELECT coalesce(sum(calls), 0) FROM pg_stat_statements s, pg_database d"
                " WHERE d.oid = s.dbid AND datname = 'bench'"
            )
        )

    def client(self, *words: str | Path | int, **more: str) -> str:
        """A client that connects by TCP with a password, and is traced."""
        env = {
            **os.environ,
            "PGHOST": "127.0.0.1",
            "PGPORT": str(self.port),
            "PGUSER": "app",
            "PGPASSWORD": PASSWORD,
            "PGDATABASE": "bench",
            "PGSSLMODE": "disable",
            **more,
        }
        done = subprocess.run(
            [str(word) for word in words],
            env=env,
            capture_output=True,
            text=True,
            timeout=250,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


class Mariadb:
    """A server of MariaDB with two tables."""

    def __init__(self, servers: Servers) -> None:
        data = unpack(BUILT / "mariadb.tar")
        self.port = free_port()
        data.parent.chmod(0o777)
        self.socket = data.parent / "socket"
        settings = {
            "datadir": data,
            "port": self.port,
            "bind-address": "127.0.0.1",
            "socket": self.socket,
            "pid-file": data.parent / "pid",
            "innodb-buffer-pool-size": "32M",
            "innodb-flush-log-at-trx-commit": 0,
            "local-infile": 1,
            "skip-name-resolve": 1,
        }
        words = [f"--{key}={value}" for key, value in settings.items()]
        servers.start(*unprivileged(), "mariadbd", "--no-defaults", *words, port=self.port)
        self.admin(
            "CREATE DATABASE bench",
            f"CREATE USER app@'127.0.0.1' IDENTIFIED BY '{PASSWORD}'",
            "GRANT ALL ON *.* TO app@'127.0.0.1'",
            "CREATE TABLE bench.users (id int auto_increment PRIMARY KEY, name text)",
            "INSERT INTO bench.users (name) SELECT concat('user ', seq) FROM bench.seq_1_to_50",
            "CREATE TABLE bench.events (id int auto_increment PRIMARY KEY, what text)",
        )

    def admin(self, *statements: str) -> str:
        """By the Unix socket."""
        words = ("mariadb", "--no-defaults", "-uroot", "-S", self.socket, "-NB", "-e")
        done = subprocess.run(
            [*map(str, words), "; ".join(statements)],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def counted(self) -> Counter[str]:
        """How often each kind of statement was run, as the server counts them; its own question is not among them."""
        lines = (line.split() for line in self.admin("SHOW GLOBAL STATUS LIKE 'Com%'").splitlines())
        found = {words[0].removeprefix("Com_"): words[-1] for words in lines}
        # The select of an execution is counted as such, too.
        others = ("admin_commands", "show_status", "stmt_execute", "stmt_close")
        return Counter(
            {key: int(n) for key, n in found.items() if n.isdigit() and key not in others}
        )

    def client(self, program: str, *words: str) -> str:
        """A client of MariaDB's own, by TCP with a password."""
        account = ("-h127.0.0.1", f"-P{self.port}", "-uapp", f"-p{PASSWORD}", "--skip-ssl")
        done = subprocess.run(
            [program, "--no-defaults", *account, *words],
            capture_output=True,
            text=True,
            timeout=250,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def postgresql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgresql]:
    with Servers(tmp_path_factory.mktemp("postgresql")) as servers:
        yield Postgresql(servers)


def at(spans: list[ExportedSpan], kind: int, port: int) -> list[ExportedSpan]:
    """Statements that ran to their end, of one side."""
    return [
        span
        for span in spans
        if span.kind == kind
        and span.attributes.get("server.port") == port
        and span.attributes.get("db.operation.name") != "PREPARE"
        and "error.type" not in span.attributes
    ]


def losses(ledger: dict) -> dict[str, dict[str, int]]:
    exchanges = ledger["exchanges"]
    return {key: exchanges[key] for key in ("lost", "unparsed") if exchanges[key]}


def test_as_many_statements_as_postgresql_counted(
    postgresql: Postgresql, agents: Agents, tmp_path: Path
) -> None:
    agent = agents.run()
    script = tmp_path / "load.sql"
    script.write_text(
        "\\set id random(1, 50)\n"
        "SELECT name FROM users WHERE id = :id;\n"
        "UPDATE users SET name = 'hunter2' WHERE id = :id;\n"
    )
    postgresql.admin("SELECT pg_stat_statements_reset()")
    for mode in ("simple", "extended", "prepared"):
        told = postgresql.client(
            *("pgbench", "-n", "-M", mode, "-c", CONNECTIONS, "-j", 2, *ROUNDS, "-f", script)
        )
        print(mode, told)  # the figures of a measurement by hand
    loaded = postgresql.counted()
    postgresql.client("psql", "-Xc", "SELECT count(*) FROM users", "-c", "SELECT 1; SELECT 2")
    told = json.loads(
        postgresql.client(
            sys.executable,
            SERVERS / "postgresql_clients.py",
            "--port",
            postgresql.port,
            "--password",
            PASSWORD,
        )
    )
    counted = postgresql.counted()
    finished = agent.stop()
    clients = at(finished.spans, CLIENT, postgresql.port)
    servers = at(finished.spans, SERVER, postgresql.port)
    names = Counter(span.name for span in clients)
    # Of several statements in one query there is one span.
    batches = sum(int(span.attributes.get("db.operation.batch.size", 1)) - 1 for span in clients)
    seen = (len(clients) + batches, len(servers) + batches, losses(finished.ledger))
    assert seen == (
        counted,
        counted,
        {},
    ), names
    print(loaded, counted, told, names)
    assert names["UPDATE users"] >= loaded // 2
    # The server's side of each is the child of the client's.
    ids = {span.span_id for span in clients}
    assert {span.parent_span_id in ids for span in servers} == {True}
    failed = [
        span for span in finished.spans if span.kind == CLIENT and "error.type" in span.attributes
    ]
    assert Counter(span.attributes["error.type"] for span in failed) == {"42P01": 2, "42601": 1}
    one = next(span for span in clients if span.name == "UPDATE users")
    assert one.attributes["db.namespace"] == "bench"
    assert one.attributes["db.system.name"] == "postgresql"
    assert SECRET not in Path(agent.exported).read_text()
    assert SECRET not in finished.stderr


def test_as_many_statements_as_mariadb_counted(
    servers: Servers, agents: Agents, tmp_path: Path
) -> None:
    mariadb = Mariadb(servers)
    agent = agents.run()
    before = mariadb.counted()
    table = tmp_path / "table"
    table.write_text("".join(f"hunter2-copied {n} {'x' * 90}\n" for n in range(400)))
    load = "SELECT name FROM users WHERE id = 7; UPDATE users SET name = 'hunter2' WHERE id = 7"
    count = 200 * int(LOAD_S) if LOAD_S else 400
    mariadb.client(
        *("mysqlslap", "--create-schema=bench", "--delimiter=;", f"--query={load}"),
        *(f"--concurrency={CONNECTIONS}", f"--number-of-queries={count}"),
    )
    mariadb.client("mariadb", "bench", "-e", "SELECT count(*) FROM users")
    script = SERVERS / "mysql_clients.py"
    done = subprocess.run(
        [
            sys.executable,
            script,
            "--port",
            str(mariadb.port),
            "--password",
            PASSWORD,
            "--table",
            table,
        ],
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    counted = mariadb.counted()
    counted.subtract(before)
    finished = agent.stop()
    seen = {}
    for kind in (CLIENT, SERVER):
        spans = [
            span
            for span in finished.spans
            if span.kind == kind
            and span.attributes.get("server.port") == mariadb.port
            and span.attributes.get("db.operation.name") != "PING"
            # What the server could not parse, it does not count.
            and span.attributes.get("error.type") != "1064"
        ]
        names = Counter(span.name for span in spans)
        seen[kind] = sum(int(span.attributes.get("db.operation.batch.size", 1)) for span in spans)
    assert seen == dict.fromkeys((CLIENT, SERVER), counted.total()), (names, counted)
    assert losses(finished.ledger) == {}
    # Each connection has its share, and begins with the SELECT.
    assert names["UPDATE users"] >= CONNECTIONS * (count // CONNECTIONS // 2)
    print(names, counted)
    assert SECRET not in Path(agent.exported).read_text()
    assert SECRET not in finished.stderr


class Redis:
    """A server of Redis."""

    def __init__(self, servers: Servers) -> None:
        self.port = free_port()
        servers.start("redis-server", "--port", str(self.port), "--save", "", port=self.port)

    def client(self, program: str, *words: str | int, timeout: int = 250) -> str:
        """A client of Redis' own."""
        done = subprocess.run(
            [program, "-p", str(self.port), *map(str, words)],
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def counted(self) -> Counter[str]:
        """How often each command was run, as the server counts them; this question is not among them."""
        found = re.findall(
            r"^cmdstat_([^:]+):calls=(\d+)",
            self.client("redis-cli", "INFO", "commandstats"),
            re.MULTILINE,
        )
        return Counter({name: int(calls) for name, calls in found if name != "info"})


LOADS: Final = "set,get,incr,lpush,lpop,hset,mset" + (",lrange_100" if not LOAD_S else "")
"""Of redis-benchmark; each begins with questions about the server's settings."""


def commands(spans: list[ExportedSpan], kind: int, port: int) -> int:
    """How many commands the spans of one side tell of; those apart that the server does not count."""
    return sum(
        int(span.attributes.get("db.operation.batch.size", 1))
        for span in spans
        if span.kind == kind
        and span.attributes.get("server.port") == port
        and span.attributes["db.operation.name"] not in ("INFO", "CLIENT")
    )


def talked(redis: Redis, agent: Agent) -> dict[str, int]:
    """Let redis-py talk, with its many commands when zerospan knows what its connection speaks."""
    words = (sys.executable, SERVERS / "redis_clients.py", redis.port)
    with subprocess.Popen(
        [str(word) for word in words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as client:
        assert client.stdout is not None
        assert client.stdout.readline() == "ready\n"
        wait_until(
            lambda: '"MULTI SET"' in Path(agent.exported).read_text(),
            deadline_s=90,
            what="the transaction's span",
        )
        told, _ = client.communicate("go\n", timeout=250)
    assert client.returncode == 0
    return json.loads(told)


def test_as_many_commands_as_redis_counted(servers: Servers, agents: Agents) -> None:
    redis = Redis(servers)
    agent = agents.run()
    before = redis.counted()
    began = time.monotonic()
    while True:
        words = (
            "-c",
            CONNECTIONS,
            "-P",
            16,
            "-n",
            20_000 if LOAD_S else 3_200,
            "-r",
            100_000,
            "-q",
        )
        redis.client("redis-benchmark", *words, "-t", LOADS)
        lasted = time.monotonic() - began
        if lasted >= float(LOAD_S or 0):
            break
    told = talked(redis, agent)
    counted = redis.counted()
    counted.subtract(before)
    finished = agent.stop()
    print(f"{counted.total()} commands, {len(finished.spans)} spans, {lasted:.1f} s of load")
    print(json.dumps(finished.ledger))
    assert losses(finished.ledger) == {}
    seen = {kind: commands(finished.spans, kind, redis.port) for kind in (CLIENT, SERVER)}
    names = Counter(span.name for span in finished.spans if span.kind == CLIENT)
    assert seen == dict.fromkeys((CLIENT, SERVER), counted.total()), (names, counted)
    assert names["PIPELINE SET"] >= 200
    by_name = {
        name: [s for s in finished.spans if s.kind == CLIENT and s.name == name] for name in names
    }
    # What the client library sent together is one span, and its server's side the child of it.
    (multi,) = by_name["MULTI SET"]
    assert multi.attributes["db.operation.batch.size"] == told["transaction"] + 2
    (failed,) = [s for s in by_name["PIPELINE"] if s.attributes.get("error.type") == "WRONGTYPE"]
    assert failed.attributes["zerospan.db.batch.failures"] == told["failures"]
    parents = {span.parent_span_id for span in finished.spans if span.kind == SERVER}
    assert {multi.span_id, failed.span_id} <= parents
    assert SECRET not in Path(agent.exported).read_text()
    assert SECRET not in finished.stderr
