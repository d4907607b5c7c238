"""Conversations of tests/test_secrets.py, with a word where only values are."""

from __future__ import annotations

from tests.protocols import cassandra_bytes as cql
from tests.protocols import kafka_bytes as kafka

WORD = b"hunter2zebra"
MORE: dict[str, list[tuple[bytes, bytes]]] = {
    "kafka": [
        (kafka.request("SaslAuthenticate", 2, 1, auth_bytes=WORD), kafka.response("SaslAuthenticate", 2, 1, error_code=0, auth_bytes=WORD, error_message="hunter2zebra")),
        (kafka.produce_(7, number=2, topics={"orders": [kafka.records(WORD, headers=(("hunter2zebra", WORD), ("traceparent", WORD)))]}),
         kafka.produced(8, number=2, error=10)),
        (kafka.fetch_(12, number=3), kafka.fetched(12, number=3, topics={"orders": kafka.records(WORD, headers=(("a", WORD),))})),
        (kafka.request("JoinGroup", 5, 4, group_id="workers", session_timeout_ms=9, rebalance_timeout_ms=9, member_id="hunter2zebra", protocol_type="consumer", protocols=[]),
         kafka.response("JoinGroup", 5, 4, error_code=79, members=[], member_id="hunter2zebra")),
    ],
    "cassandra": [
        (cql.startup(), cql.answer(3, cql.short("org.apache.cassandra.auth.PasswordAuthenticator"))),
        (cql.frame(15, cql.long(b"\0hunter2zebra\0hunter2zebra")), cql.answer(16, cql.long(WORD))),
        (cql.query("SELECT a FROM b WHERE c = 'hunter2zebra'"), cql.rows(WORD, WORD)),
        (cql.prepare("SELECT a FROM b WHERE c = 'hunter2zebra' AND d = ?", 1), cql.prepared(stream=1)),
        (cql.execute(stream=2, values=(WORD,)), cql.error(stream=2)),
        (cql.batch("INSERT INTO a (x) VALUES ('hunter2zebra')", cql.IDENTITY, stream=3, values=(WORD,)), cql.error(stream=3)),
    ],
}  # fmt: skip
