"""Generated traffic of a shop that is well: what no analysis may complain about, though much of it looks like trouble.

Checkout (host a) and payment (host b, whose clock is off), PostgreSQL, Redis, a resolver. Each kind of request has one
habit that a hasty analysis would take for a fault; each kind of fault is the same request with one thing gone wrong.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

from agent.spans.span import SpanKind
from agent.spans.trace import ReadSpan, Trace
from tests.analysis.story import MS, Story

SPREAD = 0.3
"""Standard deviation of the durations' logarithm."""


class Shop:
    """Makes requests, one trace each, some 100 ms apart; connections come from pools that are large enough."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.skew_ms = self.chance.uniform(-300, 300)
        self.now_ms = 0.0
        self.made = 0
        self.uses = 0

    def about(self, usual_ms: float) -> float:
        """A duration as they are: most near the usual one, some twice that."""
        return usual_ms * self.chance.lognormvariate(0, SPREAD)

    def story(self) -> Story:
        self.made += 1
        self.now_ms += self.chance.expovariate(1 / 100)
        return Story(self.made, at_ms=self.now_ms, service="checkout")

    def pooled(self) -> dict[str, object]:
        """Each of eight connections in turn, so never two calls at a time on one."""
        self.uses += 1
        return {
            "zerospan.connection.requests": 1 + self.uses // 8,
            "zerospan.connection.id": self.uses % 8,
        }

    def requests(self, count: int) -> list[Trace]:
        """Of all kinds, in random order."""
        return [self.chance.choice(KINDS)(self).trace for _ in range(count)]


def end(story: Story, root: ReadSpan, at_ms: float) -> Story:
    """Close the root, which was opened before its end was known."""
    story.spans[0] = replace(root, end_unix_ns=root.start_unix_ns + round(at_ms * MS))
    return story


def listing(shop: Shop) -> Story:
    """A transaction of different statements, and the same one twice."""
    story = shop.story()
    root = story.server(0, 0, name="GET /orders")
    at = shop.about(2)
    for text in ("BEGIN", "SELECT a FROM b", "SELECT c FROM d WHERE e = ?", "SELECT c FROM d WHERE e = ?", "COMMIT"):  # fmt: skip
        until = at + shop.about(2)
        story.sql(at, until, root, text, attributes=shop.pooled())
        at = until + shop.about(0.5)
    return end(story, root, at)


def product(shop: Shop) -> Story:
    """A cache that mostly hits; 20 commands in one pipeline."""
    story = shop.story()
    root = story.server(0, 0, name="GET /products/{id}")
    at = shop.about(1)
    is_hit = shop.chance.random() < 0.9
    story.redis(at, at + 1, root, f"GET product:{shop.made}", hit=is_hit)
    at += 1.2
    if not is_hit:
        until = at + shop.about(8)
        story.sql(at, until, root, "SELECT * FROM products WHERE id = ?", attributes=shop.pooled())
        story.redis(until + 0.2, until + 1, root, f"SET product:{shop.made} ?")
        at = until + 1
    for number in range(20):
        story.redis(at, at + 1 + number / 100, root, f"GET price:{number}", hit=True)
    return end(story, root, at + 2)


def order(shop: Shop) -> Story:
    """A check and then the work, on another host; a look-up through a search list; a mail that is sent later."""
    story = shop.story()
    root = story.server(0, 0, name="POST /orders")
    at = shop.about(2)
    for name in ("payment.shop.svc.cluster.local", "payment.svc.cluster.local"):
        story.dns(at, at + 1, root, name, "NXDOMAIN")
        at += 1.1
    story.dns(at, at + 1, root, "payment")
    at += 1.2
    for text, path in (("GET", "http://payment/limits/17"), ("POST", "http://payment/charges")):
        took = shop.about(30)
        call = story.http(
            at, at + took, root, f"{text} {path}", name=text, attributes=shop.pooled()
        )
        served = story.server(
            at + 0.4 + shop.skew_ms,
            at + took - 0.4 + shop.skew_ms,
            call,
            name=f"{text} {path[14:21]}",
            service="payment",
            host="b",
        )
        begin = at + 1 + shop.skew_ms
        query = story.sql(begin, begin + took / 2, served, "SELECT f FROM g", host="b", service="payment", attributes=shop.pooled())  # fmt: skip
        assert query.end_unix_ns < served.end_unix_ns
        at += took + shop.about(1)
    sent = story.span(at, at + 1, root, kind=SpanKind.PRODUCER, name="send mail")
    story.span(at + 40, at + 900, sent, kind=SpanKind.CONSUMER, name="send mail", service="mail")
    story.span(at, at + 300, root, name="write audit")
    return end(story, root, at + 2)


def overview(shop: Shop) -> Story:
    """A fan-out that is parallel, and an optional part that is not there."""
    story = shop.story()
    root = story.server(0, 0, name="GET /overview")
    ends = [10.0]
    for number in range(8):
        ends.append(3 + shop.about(30))
        story.http(2 + number / 10, ends[-1], root, f"GET http://stock/items/{number}", attributes=shop.pooled())  # fmt: skip
    last = max(ends) + 1
    story.http(last, last + 8, root, "GET http://reviews/of/17", error="404")
    return end(story, root, last + 10)


def missing(shop: Shop) -> Story:
    """Somebody asks for what there is not."""
    story = shop.story()
    client = story.http(0, 12, None, "GET http://checkout/nothing", error="404", service="bot")
    story.server(1, 11, client, name="GET", service="checkout")
    return story


KINDS: tuple[Callable[[Shop], Story], ...] = (listing, product, order, overview, missing)
