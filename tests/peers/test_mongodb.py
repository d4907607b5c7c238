"""PyMongo and a scripted server: the spans are the calls that were made."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any

import pymongo
import pytest
import snappy
from pymongo.errors import BulkWriteError, DuplicateKeyError, OperationFailure

from tests.peers.mongodb_peer import Answer, server
from tests.peers.peer import Peer, replay
from tests.protocols.mongodb_bytes import cursor
from tests.scenario import facts

SECRET = "hunter2zebra"
ROWS: list[dict[str, object]] = [{"_id": number, "name": SECRET} for number in range(5)]


def found(said: dict[str, Any]) -> Mapping[str, Any]:
    if said["filter"].get("_id") == "none":
        return {"ok": 0.0, "errmsg": SECRET, "code": 2, "codeName": "BadValue"}
    answer: Any = cursor(*ROWS[:2])
    answer["cursor"]["id"] = 77 if said.get("batchSize") else 0
    return answer


def inserted(said: dict[str, Any]) -> dict[str, object]:
    if any(each.get("_id") == "taken" for each in said["documents"]):
        error = {"index": 0, "code": 11000, "errmsg": f"E11000 {SECRET}"}
        return {"n": 0, "writeErrors": [error], "ok": 1.0}
    return {"n": len(said["documents"]), "ok": 1.0}


ANSWERS: dict[str, Answer] = {
    "find": found,
    "getMore": lambda said: cursor(*ROWS[2:], batch="nextBatch"),
    "insert": inserted,
    "update": lambda said: {"n": 1, "nModified": 1, "ok": 1.0},
    "delete": lambda said: {"n": 1, "ok": 1.0},
    "aggregate": lambda said: cursor({"_id": 1, "n": 3}),
    "ping": lambda said: {"ok": 1.0},
    "findAndModify": lambda said: {"value": {"_id": 1, "name": SECRET}, "ok": 1.0},
    "endSessions": lambda said: {"ok": 1.0},
}


def use(port: int, **options: Any) -> None:
    """What an application might do."""
    with pymongo.MongoClient("127.0.0.1", port, maxPoolSize=1, serverSelectionTimeoutMS=5000, **options) as client:  # fmt: skip
        orders = client.shop.orders
        assert client.admin.command("ping") == {"ok": 1.0}
        assert len(list(orders.find({"name": SECRET, "age": {"$gt": 3}}))) == 2
        assert len(list(orders.find({}, batch_size=2))) == 5
        orders.insert_one({"_id": 1, "name": SECRET})
        orders.insert_many([{"a": 1}, {"a": 2}, {"a": SECRET}])
        with pytest.raises(DuplicateKeyError):
            orders.insert_one({"_id": "taken"})
        with pytest.raises(BulkWriteError):
            orders.insert_many([{"_id": "taken"}, {"_id": 2}])
        with pytest.raises(OperationFailure):
            list(orders.find({"_id": "none"}))
        orders.update_one({"_id": 1}, {"$set": {"name": SECRET}})
        orders.delete_many({"name": SECRET})
        list(orders.aggregate([{"$match": {"name": SECRET}}, {"$group": {"_id": "$name", "n": {"$sum": 1}}}]))  # fmt: skip
        orders.find_one_and_update({"_id": 1}, {"$inc": {"n": 1}})
        quick = orders.with_options(write_concern=pymongo.WriteConcern(w=0))
        quick.insert_one({"a": SECRET})


WANTED = [
    ("ping admin", '{"ping": "?"}', None),
    ("find orders", '{"find": "orders", "filter": {"name": "?", "age": {"$gt": "?"}}}', 2),
    ("find orders", '{"find": "orders", "filter": {}, "batchSize": "?"}', 2),
    ("getMore orders", '{"getMore": "?", "collection": "orders", "batchSize": "?"}', 3),
    ("insert orders", '{"insert": "orders", "ordered": "?", "documents": ["?"]}', None),
    ("insert orders", '{"insert": "orders", "ordered": "?", "documents": ["?"]}', None),
    ("insert orders", '{"insert": "orders", "ordered": "?", "documents": ["?"]}', "11000"),
    ("insert orders", '{"insert": "orders", "ordered": "?", "documents": ["?"]}', "11000"),
    ("find orders", '{"find": "orders", "filter": {"_id": "?"}}', "2"),
    ("update orders", '{"update": "orders", "ordered": "?", "updates": [{"q": {"_id": "?"}, "u": {"$set": {"name": "?"}}, "multi": "?", "upsert": "?"}]}', None),
    ("delete orders", '{"delete": "orders", "ordered": "?", "deletes": [{"q": {"name": "?"}, "limit": "?"}]}', None),
    ("aggregate orders", '{"aggregate": "orders", "pipeline": [{"$match": {"name": "?"}}, {"$group": {"_id": "?", "n": {"$sum": "?"}}}], "cursor": {}}', 1),
    ("findAndModify orders", '{"findAndModify": "orders", "query": {"_id": "?"}, "new": "?", "update": {"$inc": {"n": "?"}}, "upsert": "?"}', None),
    ("insert orders", '{"insert": "orders", "ordered": "?", "documents": ["?"]}', None),
    ("endSessions admin", '{"endSessions": [{"id": "?"}]}', None),
]  # fmt: skip


def told(run) -> list[tuple[object, ...]]:
    said: list[tuple[object, ...]] = []
    for span in run.spans:
        known = facts(span)
        assert known["db.system.name"] == "mongodb"
        outcome = known.get("error.type", known.get("db.response.returned_rows"))
        said.append((span.name, known["db.query.text"], outcome))
    return said


@pytest.mark.parametrize("compression", ["", "zlib", "snappy"])
def test_spans_are_the_calls(compression):
    ways: dict[str, tuple[Any, Any]] = {
        "": (zlib.compress, zlib.decompress),
        "zlib": (zlib.compress, zlib.decompress),
        "snappy": (snappy.compress, snappy.uncompress),
    }
    with Peer(server(ANSWERS, compression, *ways[compression])) as peer:
        use(peer.port, **({"compressors": compression} if compression else {}))
    for is_server in (False, True):
        for cut in (0, 1, 7):
            run = replay(peer, is_server=is_server, cut=cut)
            assert told(run) == WANTED
            assert run.counts == {"captured": len(WANTED), "spans": len(WANTED)}
            assert SECRET not in repr(run.spans)
