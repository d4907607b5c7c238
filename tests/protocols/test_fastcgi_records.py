"""FastCGI's records: their header, parameters, and how they begin."""

from __future__ import annotations

from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import ProtocolError
from agent.protocols import Verdict
from agent.protocols import fastcgi_records as ours
from agent.protocols.fastcgi_records import Record
from tests.protocols import fastcgi_bytes as fcgi
from tests.protocols.messages import three_ways


def test_a_header():
    data = fcgi.record(6, b"x" * 300, number=513, padding=4)[:8]
    assert three_ways(lambda: ours.read_header, data) == [Record(6, 513, 300, 4)]


@pytest.mark.parametrize("data", [b"\2\1\0\1\0\0\0\0", b"\1\0\0\1\0\0\0\0", b"\1\x0c\0\1\0\0\0\0"])
def test_headers_that_cannot_be(data):
    assert three_ways(lambda: ours.read_header, data) == [ProtocolError]


def test_only_wanted_parameters_are_looked_at():
    data = fcgi.pairs(
        REQUEST_METHOD="GET", HTTP_COOKIE="hunter2" * 20, HTTP_B3="1", HTTP_HOST=b"h" * 200, PHP_AUTH_PW="hunter2"
    )  # fmt: skip
    assert ours.pairs_of(data, is_whole=True) == {
        b"REQUEST_METHOD": [b"GET"],
        b"HTTP_B3": [b"1"],
        b"HTTP_HOST": [b"h" * 200],
    }


@given(end=st.integers(0, 400))
def test_parameters_as_far_as_they_are_there(end):
    pairs = (
        fcgi.pairs(REQUEST_METHOD="GET"),
        fcgi.pairs(HTTP_COOKIE="a" * 130),
        fcgi.pairs(REQUEST_URI="/" + "x" * 150),
    )
    data = b"".join(pairs)
    whole = ours.pairs_of(data, is_whole=True)
    found = ours.pairs_of(data[:end], is_whole=False)
    assert found.items() <= whole.items()
    if end < len(data) and end not in (0, *accumulate(map(len, pairs))):
        with pytest.raises(ProtocolError):
            ours.pairs_of(data[:end], is_whole=True)


VERDICTS = [
    (fcgi.NGINX_ASKS, Verdict.REQUEST),
    (fcgi.request(number=65535, keep=True), Verdict.REQUEST),
    (fcgi.begin(number=0), Verdict.NO),
    (fcgi.begin(role=2), Verdict.NO),
    (fcgi.record(1, b"\0\1\2\0\0\0\0\0"), Verdict.NO),
    (fcgi.record(1, b"\0\1\0\0\0\0\0\1"), Verdict.NO),
    (fcgi.record(4, fcgi.pairs(REQUEST_METHOD="GET")), Verdict.NO),
    (fcgi.PHP_ANSWERS, Verdict.RESPONSE),
    (fcgi.PHP_DOES_NOT_FIND, Verdict.RESPONSE),
    (fcgi.response(b"x" * 3000), Verdict.RESPONSE),
    (fcgi.record(7, b"short\n", padding=2), Verdict.RESPONSE),
    (fcgi.record(7, b"\1\2\3\4"), Verdict.NO),
    (fcgi.record(6, b"no field"), Verdict.NO),
    (fcgi.record(6, b"x" * 100), Verdict.NO),
    (fcgi.record(6, b""), Verdict.NO),
    (fcgi.end(), Verdict.NO),
    (fcgi.record(6, b"Status: 200\r\n\r\n", padding=200), Verdict.NO),
    (b"\1", Verdict.MORE),
    (b"\2", Verdict.NO),
]  # fmt: skip


@pytest.mark.parametrize(("head", "verdict"), VERDICTS, ids=range(len(VERDICTS)))
def test_classify(head, verdict):
    assert ours.classify(head) is verdict
    seen = [ours.classify(head[:size]) for size in range(len(head[:64]))]
    decided = [each for each in seen if each is not Verdict.MORE]
    assert set(decided) <= {verdict}
