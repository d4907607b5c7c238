"""How Cassandra's frames and segments begin."""

from __future__ import annotations

import pytest

from agent.protocols import Verdict
from agent.protocols.cassandra_heads import classify
from tests.protocols import cassandra_bytes as cql

VERDICTS = [
    (cql.frame(cql.OPTIONS), Verdict.REQUEST),
    (cql.frame(cql.OPTIONS, b"x"), Verdict.NO),
    (cql.startup(5), Verdict.REQUEST),
    (cql.query("SELECT 1"), Verdict.REQUEST),
    (cql.query("  (SELECT 1"), Verdict.REQUEST),
    (cql.query("\0\1\2\3"), Verdict.NO),
    (cql.query("x" * 300), Verdict.REQUEST),
    (cql.prepare("SELECT ?"), Verdict.REQUEST),
    (cql.execute(), Verdict.REQUEST),
    (cql.execute(b"short"), Verdict.NO),
    (cql.batch("UPDATE a SET b = 1"), Verdict.REQUEST),
    (cql.batch(cql.IDENTITY), Verdict.REQUEST),
    (cql.frame(cql.BATCH, b"\7" + bytes(20)), Verdict.NO),
    (cql.frame(11, b"\0\1" + cql.short("TOPOLOGY_CHANGE")), Verdict.REQUEST),
    (cql.frame(11, b"\0\1" + cql.short("topology")), Verdict.NO),
    (cql.frame(15, cql.long("\0a\0b")), Verdict.REQUEST),
    (cql.frame(15, cql.integer(-1)), Verdict.REQUEST),
    (cql.frame(15, cql.long("ab") + b"c"), Verdict.NO),
    (cql.answer(cql.READY), Verdict.RESPONSE),
    (cql.answer(3, cql.short("org.apache.Class")), Verdict.RESPONSE),
    (cql.answer(cql.EVENT, cql.short("STATUS_CHANGE") + cql.short("UP"), stream=-1), Verdict.RESPONSE),
    (cql.answer(cql.RESULT, stream=-1), Verdict.NO),
    (cql.void(), Verdict.RESPONSE),
    (cql.rows(b"a"), Verdict.RESPONSE),
    (cql.error(), Verdict.RESPONSE),
    (cql.error(0x7777), Verdict.NO),
    (cql.answer(cql.RESULT, bytes(16) + cql.integer(1), flags=2), Verdict.NO),
    (cql.frame(cql.QUERY, cql.long("SELECT 1"), version=2), Verdict.NO),
    (cql.frame(cql.QUERY)[:5] + b"\x7f\0\0\0", Verdict.NO),
    (cql.segment(cql.query("SELECT 1", version=5)), Verdict.REQUEST),
    (cql.segment(cql.void(version=5)), Verdict.RESPONSE),
    (cql.segment(b"neither of the two"), Verdict.NO),
    (b"\x04", Verdict.MORE),
]  # fmt: skip


@pytest.mark.parametrize(("head", "verdict"), VERDICTS, ids=range(len(VERDICTS)))
def test_classify(head, verdict):
    assert classify(head[:64]) is verdict
    seen = [classify(head[:size]) for size in range(len(head[:64]))]
    assert {each for each in seen if each is not Verdict.MORE} <= {verdict}
