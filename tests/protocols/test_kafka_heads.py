"""How Kafka's messages begin."""

from __future__ import annotations

import pytest

from agent.protocols import Verdict
from agent.protocols.kafka_heads import classify
from tests.protocols import kafka_bytes as kafka

VERDICTS = [
    (kafka.produce_(7), Verdict.REQUEST),
    (kafka.produce_(9, client="a" * 200), Verdict.REQUEST),
    (kafka.fetch_(12, client=None), Verdict.REQUEST),
    (kafka.request("ApiVersions", 0), Verdict.REQUEST),
    (kafka.request("ApiVersions", 0, client=""), Verdict.NO),
    (kafka.request("ApiVersions", 0, client="a\nb"), Verdict.NO),
    (b"\0\0\0\x0a\0\x12\0\0\0\0\0\1\xff\xff", Verdict.NO),
    (b"\0\0\0\x20\0\x60\0\0\0\0\0\1\0\3a c" + bytes(19), Verdict.NO),
    (b"\0\0\0\x20\0\x12\0\x40\0\0\0\1\0\3a c" + bytes(19), Verdict.NO),
    (b"\0\0\0\x20\0\x12\1\0\0\0\0\1\0\3a c" + bytes(19), Verdict.NO),
    (kafka.produced(3), Verdict.RESPONSE),
    (kafka.produced(8), Verdict.RESPONSE),
    (kafka.produced(9), Verdict.RESPONSE),
    (kafka.produced(13), Verdict.NO),
    (kafka.produce_(9, client="a" * 40), Verdict.REQUEST),
    (kafka.produced(3, number=77), Verdict.RESPONSE),
    (kafka.fetched(4), Verdict.RESPONSE),
    (kafka.fetched(11), Verdict.RESPONSE),
    (kafka.fetched(12, topics={"a-topic-with-a-long-name": b""}), Verdict.RESPONSE),
    (kafka.fetched(11, topics={"a b c d e f": b""}), Verdict.NO),
    (b"\1\0\0\x20" + bytes(40), Verdict.NO),
    (b"\0\0", Verdict.MORE),
]


@pytest.mark.parametrize(("head", "verdict"), VERDICTS, ids=range(len(VERDICTS)))
def test_classify(head, verdict):
    assert classify(head[:64]) is verdict
    seen = [classify(head[:size]) for size in range(len(head[:64]))]
    assert {each for each in seen if each is not Verdict.MORE} <= {verdict}
