"""The way to the agent: parcels arrive whole, an agent without room is asked again, one that is gone is noticed."""

from __future__ import annotations

import socket
import threading

import pytest

from agent.receive import channel as channel_module
from agent.receive.channel import Channel, Closed, attend


def joined(take):
    ours, theirs = socket.socketpair()
    reader = threading.Thread(target=attend, args=(ours, take))
    reader.start()
    return Channel(theirs), theirs, reader


def test_parcels_from_many_threads_arrive_whole():
    found: list[bytes] = []

    def take(parcel: bytes) -> bool:
        found.append(parcel)
        return True

    channel, theirs, reader = joined(take)
    sent = [bytes([number]) * (number * 70_000) for number in range(12)]
    threads = [threading.Thread(target=channel.deliver, args=(one,)) for one in sent]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    theirs.close()
    reader.join()
    assert sorted(found) == sorted(sent)


def test_room_is_waited_for():
    answers = [False, False, True]
    channel, theirs, reader = joined(lambda _: answers.pop(0))
    assert channel.deliver(b"parcel")
    assert answers == []
    theirs.close()
    reader.join()


def test_an_agent_without_room(monkeypatch):
    monkeypatch.setattr(channel_module, "PATIENCE_S", 0.05)
    channel, theirs, reader = joined(lambda _: False)
    assert not channel.deliver(b"parcel")
    theirs.close()
    reader.join()


def test_an_agent_that_is_gone():
    ours, theirs = socket.socketpair()
    channel = Channel(theirs)
    ours.close()
    for _ in range(2):
        with pytest.raises(Closed):
            channel.deliver(b"parcel")
    theirs.close()


def test_a_length_that_cannot_be_ends_the_channel(monkeypatch):
    monkeypatch.setattr(channel_module, "MAX_PARCEL", 10)
    channel, theirs, reader = joined(lambda _: True)
    assert channel.deliver(b"short")
    with pytest.raises(Closed):
        channel.deliver(b"x" * 11)
    reader.join()
    theirs.close()
