"""Two hosts on a wire: a trace goes on from one to the other, in a TCP option whatever the connection carries, and in a header."""

from __future__ import annotations

import re

import pytest

from tests.vm.harness_hosts import Host, run_hosts
from tests.vm.harness_spans import ExportedSpan
from tests.vm.harness_tracing import CLIENT, SERVER, path_of
from tests.vm.hosts.inside import FIRST_OF_BOTH, OWN_HEADER, REQUEST, REQUESTS, REQUESTS_OF_BOTH

pytestmark = pytest.mark.vm

HEADER = re.compile(r"traceparent: 00-[0-9a-f]{32}-[0-9a-f]{16}-01\r\n")


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Host]:
    return run_hosts(tmp_path_factory.mktemp("hosts-"))


def one(spans: list[ExportedSpan], service: str, kind: int, path: str) -> ExportedSpan:
    (found,) = [
        span
        for span in spans
        if span.service == service and span.kind == kind and path_of(span) == path
    ]
    return found


def test_plain_requests_are_children_of_the_other_hosts_calls(hosts: dict[str, Host]) -> None:
    front, back = hosts["front"].spans, hosts["back"].spans
    for number in range(REQUESTS + 1):  # the last one is a body of many segments
        path = f"/items/plain-{number}"
        call = one(front, "calls", CLIENT, path)
        request = one(back, "nginx", SERVER, path)
        passed_on = one(back, "nginx", CLIENT, path)
        answer = one(back, "backend", SERVER, path)
        assert request.parent_span_id == call.span_id
        assert request.attributes["zerospan.parent.rule"] == "tcp-option"
        assert passed_on.parent_span_id == request.span_id
        assert answer.parent_span_id == passed_on.span_id
        (asked,) = [span for span in front if span.span_id == call.parent_span_id]
        assert path_of(asked) == f"/plain/{number}"
        trace = {span.trace_id for span in (asked, call, request, passed_on, answer)}
        assert len(trace) == 1


@pytest.mark.parametrize("way", ["tls", "through"])
def test_what_nobody_sees_does_not_end_a_trace(hosts: dict[str, Host], way: str) -> None:
    """The request that made the call stands for the call; `through` has a proxy between, which cannot read either."""
    front, back = hosts["front"].spans, hosts["back"].spans
    for number in range(REQUESTS):
        asked = one(front, "calls", SERVER, f"/{way}/{number}")
        passed_on = one(back, "nginx", CLIENT, f"/items/{way}-{number}")
        answer = one(back, "backend", SERVER, f"/items/{way}-{number}")
        assert passed_on.parent_span_id == asked.span_id
        assert passed_on.attributes["zerospan.parent.rule"] == "tcp-option"
        assert answer.parent_span_id == passed_on.span_id
        assert len({span.trace_id for span in (asked, passed_on, answer)}) == 1


def test_the_option_goes_through_tls_beside_the_header(hosts: dict[str, Host]) -> None:
    """Never with a wrong parent. One of the calls may begin a trace of its own: that was seen once, and is not explained."""
    front, back = hosts["front"].spans, hosts["back"].spans
    alone = 0
    for number in range(FIRST_OF_BOTH, FIRST_OF_BOTH + REQUESTS_OF_BOTH):
        asked = one(front, "calls", SERVER, f"/tls/{number}")
        passed_on = one(back, "nginx", CLIENT, f"/items/tls-{number}")
        answer = one(back, "backend", SERVER, f"/items/tls-{number}")
        assert answer.parent_span_id == passed_on.span_id
        if not passed_on.parent_span_id:
            alone += 1
            continue
        assert passed_on.parent_span_id == asked.span_id
        assert len({span.trace_id for span in (asked, passed_on, answer)}) == 1
    assert alone <= 1


@pytest.mark.parametrize(
    ("way", "services"), [("plain", ["nginx"]), ("proxied", ["haproxy", "nginx"])]
)
def test_the_header_goes_on_in_the_other_hosts_trace(
    hosts: dict[str, Host], way: str, services: list[str]
) -> None:
    """With a proxy that passes the header on as it came, too: each is the child of whoever asked it, and of nobody before."""
    front, back = hosts["front"].spans, hosts["back"].spans
    for number in range(FIRST_OF_BOTH, FIRST_OF_BOTH + REQUESTS_OF_BOTH + (way == "plain")):
        path = f"/items/{way}-{number}"
        asked = one(front, "calls", SERVER, f"/{way}/{number}")
        chain = [asked, one(front, "calls", CLIENT, path)]
        for service in services:
            chain += [one(back, service, SERVER, path), one(back, service, CLIENT, path)]
        chain.append(one(back, "backend", SERVER, path))
        assert [span.parent_span_id for span in chain[1:]] == [span.span_id for span in chain[:-1]]
        assert chain[2].attributes["zerospan.parent.rule"] == "traceparent"
        assert len({span.trace_id for span in chain}) == 1


def test_what_arrives_on_the_other_host(hosts: dict[str, Host]) -> None:
    """A header more where there was none; nothing else, and nothing of anybody else's."""
    echoed = hosts["front"].report["echoed"]
    plain = (REQUEST % b"").decode()
    assert len(HEADER.findall(echoed["chosen"])) == 1
    assert HEADER.sub("", echoed["chosen"]) == plain
    assert echoed["own"] == (REQUEST % OWN_HEADER).decode()
    assert echoed["unchosen"].startswith("GET /echo HTTP/1.1")
    assert "traceparent" not in echoed["unchosen"].lower()


def test_span_ids_are_never_used_twice(hosts: dict[str, Host]) -> None:
    ids = [span.span_id for host in hosts.values() for span in host.spans]
    assert len(ids) == len(set(ids))


def test_ledgers_balance(hosts: dict[str, Host]) -> None:
    for host in hosts.values():
        assert host.report["ledger"]["balanced"]
        assert not any(host.report["ledger"]["records"]["lost"].values())


def test_killing_zerospan_in_the_middle_of_load_harms_no_request(hosts: dict[str, Host]) -> None:
    """That nothing stays in the kernel is checked on the host itself (tests/vm/hosts/inside.py)."""
    killed = hosts["front"].report["killed"]
    assert killed["troubles"] == []
    assert all(
        after > before for before, after in zip(killed["before"], killed["after"], strict=True)
    )
