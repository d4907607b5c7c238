"""agent/protocols/__init__.py: how protocols are found."""

from __future__ import annotations

import pytest

from agent.protocols import Description, Protocol, Verdict, load_all, register
from agent.protocols.http1 import Http1


def test_every_module_of_the_package_is_loaded():
    assert load_all()["http1"] is Http1


def test_two_protocols_of_one_name_are_refused():
    with pytest.raises(ValueError, match="two protocols are named 'http1'"):
        register(Http1)


class Plain(Protocol):
    """A protocol without a hot path."""

    name = "plain"

    @classmethod
    def classify(cls, head):
        del head
        return Verdict.NO

    def request(self, stream):
        del stream
        yield None

    def response(self, stream):
        del stream
        yield None

    @staticmethod
    def describe(exchange):
        del exchange
        return Description("plain", ())


def test_a_protocol_needs_no_hot_path():
    protocol = Plain()
    assert protocol.shortcut().request(b"x") is None
    assert protocol.shortcut().response(b"x", 1, None) is None
    assert (protocol.is_opaque, protocol.wants_capture) == (False, 0)
    assert protocol.pairing.answering() is None
