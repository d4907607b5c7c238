"""MongoDB's messages: their header and sections, and how they begin."""

from __future__ import annotations

import struct

import pytest

from agent.errors import ProtocolError
from agent.protocols import Verdict
from agent.protocols import mongodb_messages as ours
from agent.protocols.mongodb_messages import Header, Section
from tests.protocols import mongodb_bytes as mongo
from tests.protocols.messages import three_ways

FIND = {"find": "orders", "filter": {"a": 1}}


def test_a_header():
    data = struct.pack("<iiii", 26, 7, 8, 2013)
    assert three_ways(lambda: lambda stream: ours.read_header(stream, ours.REQUESTS), data) == [
        Header(10, 7, 8, 2013)
    ]


def test_sections_as_far_as_they_are_there():
    body = mongo.body_of(
        {"insert": "orders"}, mongo.sequence("documents", {"a": 1}, {"a": 2}), flags=1
    )
    first, second = Section(b"", 5, 1), Section(b"documents", 5 + 24 + 15, 2)
    assert ours.sections_of(body, len(body)) == (1, [first, second], True)
    for size in range(len(body)):
        flags, found, is_all = ours.sections_of(body[:size], len(body))
        assert flags in (0, 1)
        assert [each.name for each in found] == [b"", b"documents"][: len(found)]
        assert is_all is (size >= len(body) - 4)  # the checksum is of no interest
        if len(found) == 2:
            assert found[1].count in (0, 2)


@pytest.mark.parametrize("body", [b"\4\0\0\0", b"\0\0\0\0\0\4\0\0\0", b"\0\0\0\0\2\5\0\0\0\0"])
def test_sections_that_cannot_be(body):
    with pytest.raises(ProtocolError):
        ours.sections_of(body, len(body))


VERDICTS = [
    (mongo.command(1, FIND), Verdict.REQUEST),
    (mongo.query(1, {"isMaster": 1}), Verdict.REQUEST),
    (mongo.query(1, {"a": 1}, "a" * 60 + ".b"), Verdict.NO),
    (mongo.query(1, {"a": 1}, "shop." + "a" * 60), Verdict.REQUEST),
    (mongo.message(2013, bytes(4) + mongo.sequence("documents", {"a": 1}) + b"\0" + mongo.bson({"insert": "a"}), 1), Verdict.REQUEST),
    (mongo.reply(1, {"ok": 1}), Verdict.RESPONSE),
    (mongo.old_reply(1, {"ok": 1}), Verdict.RESPONSE),
    (mongo.compressed(mongo.command(1, FIND)), Verdict.REQUEST),
    (mongo.compressed(mongo.reply(1, {"ok": 1})), Verdict.RESPONSE),
    (mongo.message(2013, b"\4\0\0\0\0" + mongo.bson({"ping": 1}), 1), Verdict.NO),
    (mongo.message(2013, b"\0\0\0\0\0" + mongo.bson({"": 1, "ab": 2}), 1), Verdict.NO),
    (mongo.message(2013, bytes(5) + b"\4\0\0\0" + bytes(20), 1), Verdict.NO),
    (mongo.message(2004, b"\0\0\0\0no dot\0" + bytes(30), 1), Verdict.NO),
    (mongo.message(1, bytes(40), 1, 0), Verdict.NO),
    (mongo.message(1, bytes(40), 1, 5), Verdict.NO),
    (mongo.message(2004, bytes(40), 1, 5), Verdict.NO),
    (mongo.message(2012, struct.pack("<iiB", 7, 50, 0) + bytes(50), 1), Verdict.NO),
    (mongo.message(2012, struct.pack("<iiB", 2013, 50, 7) + bytes(50), 1), Verdict.NO),
    (mongo.message(2001, bytes(40), 1), Verdict.NO),
    (b"\x0f\0\0\0", Verdict.NO),
    (b"\x40\0\0", Verdict.MORE),
]  # fmt: skip


@pytest.mark.parametrize(("head", "verdict"), VERDICTS, ids=range(len(VERDICTS)))
def test_classify(head, verdict):
    assert ours.classify(head[:64]) is verdict
    seen = [ours.classify(head[:size]) for size in range(len(head[:64]))]
    decided = [each for each in seen if each is not Verdict.MORE]
    assert set(decided) <= {verdict}
