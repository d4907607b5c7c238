"""What repeats at one place is remembered, within bounds."""

from __future__ import annotations

from agent.connections import endpoint
from agent.connections.endpoint import Endpoint, Endpoints, place
from agent.protocols import Role
from agent.protocols.http1 import Http1
from agent.protocols.redis import Redis
from tests.scenario import Host, play, request, response


def remember(place: Endpoint, data: bytes, message: object):
    return place.remember(place.known.get(len(data)), data, message)


class TestEndpoint:
    def test_a_request_is_kept_when_one_of_its_size_comes_again(self):
        place = Endpoint(Http1)
        assert remember(place, b"abc", 1) is None
        known = remember(place, b"abc", 2)
        assert (known.data, known.request) == (b"abc", 2)
        assert place.known[3] is known

    def test_another_one_of_its_size_takes_its_place_in_two_steps(self):
        place = Endpoint(Http1)
        remember(place, b"abc", 1)
        first = remember(place, b"abc", 1)
        assert remember(place, b"abd", 2) is None
        assert place.known[3].data == b""
        second = remember(place, b"abd", 3)
        assert second is not first
        assert (first.data, second.data) == (b"abc", b"abd")

    def test_what_is_long_is_not_kept(self, monkeypatch):
        monkeypatch.setattr(endpoint, "MAX_KEPT", 3)
        place = Endpoint(Http1)
        for _ in range(3):
            assert remember(place, b"abcd", 1) is None
        assert place.known == {}
        remember(place, b"abc", 1)
        known = remember(place, b"abc", 1)
        known.answered(b"abcd", 4, 5)
        assert known.answer == b""
        known.answered(b"abc", 4, 5)
        assert (known.answer, known.answer_size, known.response) == (b"abc", 4, 5)

    def test_sizes_are_bounded(self, monkeypatch):
        monkeypatch.setattr(endpoint, "MAX_KNOWN", 2)
        place = Endpoint(Http1)
        for size in range(1, 5):
            remember(place, bytes(size), 1)
        assert sorted(place.known) == [1, 2]


class TestEndpoints:
    def test_one_for_each_role_and_port(self):
        places = Endpoints()
        assert places.by_place.get(place(Role.SERVER, 80)) is None
        server = places.learn(Role.SERVER, 80, Http1)
        assert places.by_place.get(place(Role.SERVER, 80)) is server
        assert places.learn(Role.SERVER, 80, Http1) is server
        assert places.by_place.get(place(Role.CLIENT, 80)) is None
        assert places.by_place.get(place(Role.SERVER, 81)) is None

    def test_another_protocol_starts_anew(self):
        class Other(Http1):
            name = "other"

        places = Endpoints()
        places.learn(Role.SERVER, 80, Http1)
        assert places.learn(Role.SERVER, 80, Other).protocol is Other
        found = places.by_place.get(place(Role.SERVER, 80))
        assert found is not None
        assert found.protocol is Other

    def test_bounded(self, monkeypatch):
        monkeypatch.setattr(endpoint, "MAX_ENDPOINTS", 2)
        places = Endpoints()
        for port in range(3):
            places.learn(Role.SERVER, port, Http1)
        assert [place(Role.SERVER, port) in places.by_place for port in range(3)] == [
            False,
            False,
            True,
        ]


def test_short_connections_with_the_same_messages_give_the_same_spans():
    host = Host()
    for number in range(6):
        socket = host.accept(client=("10.0.0.9", 40000 + number))
        socket.received(request("/orders/1")).sent(response(200, b"hi")).close()
    host.accept(client=("10.0.0.9", 41000)).received(request("/orders/2")).sent(
        response(404, b"hi")
    ).close()
    run = play(host)
    assert [span.name for span in run.spans] == ["GET /orders/{id}"] * 7
    statuses = [span.attribute("http.response.status_code") for span in run.spans]
    assert statuses == [200] * 6 + [404]
    ports = [span.attribute("network.peer.port") for span in run.spans]
    assert ports == [*range(40000, 40006), 41000]
    assert len({span.span_id for span in run.spans}) == 7


def test_a_first_request_in_pieces_is_read_at_a_place_that_is_known():
    host = Host()
    host.accept(client=("10.0.0.9", 40000)).received(request("/a")).sent(response()).close()
    whole = request("/b")
    socket = host.accept(client=("10.0.0.9", 40001))
    for at in range(0, len(whole), 7):
        socket.received(whole[at : at + 7])
    socket.sent(response()).close()
    assert play(host).lines == ["server GET /a -> 200, 0 bytes", "server GET /b -> 200, 0 bytes"]


def test_what_is_no_request_at_a_known_place_is_not_taken_for_one():
    host = Host()
    host.accept(client=("10.0.0.9", 40000)).received(request("/a")).sent(response()).close()
    host.accept(client=("10.0.0.9", 40001)).received(b"\x16\x03\x01 no http at all\r\n" * 9)
    run = play(host)
    assert run.lines == ["server GET /a -> 200, 0 bytes"]
    assert run.ledger.connections["muted_unknown_protocol"] == 1


def test_a_template_that_changed_is_not_taken_from_memory():
    host = Host()

    def ask(path: str) -> None:
        socket = host.accept(client=("10.0.0.9", 40000 + host.sockets))
        socket.received(request(path)).sent(response()).close()

    for _ in range(4):
        ask("/items/aaaa")
    for number in range(300):
        ask("/items/" + "".join(chr(97 + int(digit)) for digit in f"{number:04}"))
    ask("/items/aaaa")
    run = play(host)
    assert run.spans[0].name == "GET /items/aaaa"
    assert run.spans[-1].name == "GET /items/{id}"


def test_messages_are_not_kept_where_reading_them_is_cheaper():
    endpoint = Endpoint(Redis)
    for _ in range(3):
        assert endpoint.remember(endpoint.known.get(4), b"abcd", object()) is None
    assert endpoint.known == {}
