"""Redaction of what others send: the same rules as for what zerospan reads itself.

An SDK writes what its program gave it. Values of a URL's query go by their place, secrets by their looks (agent/redaction),
and the operator's rules hold. Statements are taken as they come: SDKs are told whether to leave their values in.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Final

from agent.redaction import authority, path, query

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent.redaction import Policy
    from agent.spans.span import Value
    from agent.spans.trace import ReadSpan

URLS: Final = frozenset({"url.full", "http.url", "http.target", "url.original"})
"""Attributes that hold a URL, or the end of one."""
QUERIES: Final = frozenset({"url.query"})


def redacted(span: ReadSpan, resource: Mapping[str, Value], policy: Policy) -> ReadSpan:
    """The span as it may be kept, with a resource that is redacted already: many spans share one."""
    return dataclasses.replace(
        span,
        resource=resource,
        name=policy.name(span.name),
        status_message=policy.name(span.status_message),
        attributes=attributes(span.attributes, policy),
        events=tuple(
            dataclasses.replace(event, attributes=attributes(event.attributes, policy))
            for event in span.events
        ),
        links=tuple(
            dataclasses.replace(link, attributes=attributes(link.attributes, policy))
            for link in span.links
        ),
    )


def attributes(block: Mapping[str, Value], policy: Policy) -> dict[str, Value]:
    """A block as it may be kept."""
    return dict(policy.apply((key, _by_place(key, value)) for key, value in block.items()))


def _by_place(key: str, value: Value) -> Value:
    if isinstance(value, str):
        if key in URLS:
            return _url(value)
        if key in QUERIES:
            return query(value.encode("utf-8", "replace"))
    return value


def _url(url: str) -> str:
    """The query's values replaced (RFC 3986 §3.4); user information (§3.2.1) and a fragment do not leave at all.

    What stands for user information would be taken for an e-mail address in the end, and its host with it.
    """
    rest, question, asked = url.partition("#")[0].partition("?")
    scheme, colon, behind = rest.partition("://")
    if colon:
        host, slash, segments = behind.partition("/")
        host = authority(_bytes(host.rpartition("@")[2]))
        rest = f"{scheme}://{host}{slash}{path(_bytes(segments))}"
    else:
        rest = path(_bytes(rest))
    return f"{rest}?{query(_bytes(asked))}" if question else rest


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "replace")
