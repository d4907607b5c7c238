"""DataStax' driver and a scripted server: the spans are the statements that were made."""

from __future__ import annotations

import warnings
from collections import Counter
from typing import Any

import pytest

from tests.peers.cassandra_peer import Server
from tests.peers.peer import Peer, replay
from tests.protocols import cassandra_bytes as cql
from tests.scenario import facts

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # asyncore
    from cassandra import InvalidRequest, ReadTimeout
    from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile
    from cassandra.policies import FallthroughRetryPolicy, RoundRobinPolicy
    from cassandra.query import BatchStatement

SECRET = "hunter2zebra"
ANSWERS = {
    "SELECT name FROM users": lambda text, stream, version: cql.rows(b"a", b"b", stream=stream, version=version),
    "SELECT missing": lambda text, stream, version: cql.error(0x2200, stream, version),
    "SELECT slow": lambda text, stream, version: cql.answer(
        cql.ERROR, cql.integer(0x1200) + cql.short(SECRET) + b"\0\1" + cql.integer(0) + cql.integer(1) + b"\0",
        stream=stream, version=version,
    ),
    "INSERT": lambda text, stream, version: cql.void(stream, version),
    "USE": lambda text, stream, version: cql.keyspace("shop", stream, version),
}  # fmt: skip


def use(port: int, version: int, compression: str) -> None:
    """What an application might do."""
    profile = ExecutionProfile(
        load_balancing_policy=RoundRobinPolicy(), retry_policy=FallthroughRetryPolicy()
    )
    cluster: Any = Cluster(
        ["127.0.0.1"], port=port, protocol_version=version, compression=compression or False,
        schema_metadata_enabled=False, token_metadata_enabled=False,
        execution_profiles={EXEC_PROFILE_DEFAULT: profile},
    )  # fmt: skip
    session = cluster.connect("shop")
    for _ in range(2):
        assert len(list(session.execute(f"SELECT name FROM users WHERE id = '{SECRET}'"))) == 2
    statement = session.prepare("SELECT name FROM users WHERE id = 'x'")
    waiting = [session.execute_async(statement) for _ in range(20)]
    assert [len(list(each.result())) for each in waiting] == [2] * 20
    with pytest.raises(InvalidRequest):
        session.execute("SELECT missing FROM users")
    with pytest.raises(ReadTimeout):
        session.execute("SELECT slow FROM users")
    batch = BatchStatement()
    for number in range(3):
        batch.add(f"INSERT INTO carts (id, name) VALUES ({number}, '{SECRET}')")
    session.execute(batch)
    cluster.shutdown()


WANTED = {
    ("SELECT users", "SELECT name FROM users WHERE id = ?", 2): 22,
    ("PREPARE SELECT users", "SELECT name FROM users WHERE id = ?", None): 1,
    ("SELECT users", "SELECT missing FROM users", "8704"): 1,
    ("SELECT users", "SELECT slow FROM users", "4608"): 1,
    ("INSERT carts", None, None): 1,
}


@pytest.mark.parametrize("compression", ["", "lz4", "snappy"])
@pytest.mark.parametrize("version", [4, 5])
@pytest.mark.filterwarnings("ignore")
def test_spans_are_the_statements(version, compression):
    if (version, compression) == (5, "snappy"):
        pytest.skip("version 5 has LZ4 alone")
    server = Server(ANSWERS)
    with Peer(server) as peer:
        use(peer.port, version, compression)
    for is_server in (False, True):
        for cut in (0, 1, 50):
            run = replay(peer, is_server=is_server, cut=cut)
            told: Counter[tuple[object, ...]] = Counter()
            for span in run.spans:
                known = facts(span)
                text = known.get("db.query.text")
                if "system." in str(text) or span.name.startswith("USE"):
                    told["the driver's own"] += 1  # type: ignore[index]  # beside the application's
                    continue
                assert known["db.namespace"] == "shop"
                outcome = known.get("error.type", known.get("db.response.returned_rows"))
                is_batch = known.get("db.operation.batch.size") is not None
                told[span.name, None if is_batch else text, outcome] += 1
            own = told.pop("the driver's own")  # type: ignore[call-overload]  # likewise
            assert told == WANTED
            assert own >= len(server.system)
            assert run.counts == {"captured": own + 26, "spans": own + 26}
            assert SECRET not in repr(run.spans)
