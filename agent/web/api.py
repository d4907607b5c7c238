"""What the page asks for, as values of JSON's types. docs/api.md documents the keys."""

from __future__ import annotations

import time
from collections import defaultdict
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from agent import __version__
from agent.analysis import analyze
from agent.analysis.critical_path import critical_path
from agent.analysis.report import SHOWN_TRACES, grouped
from agent.query.dependencies import dependencies
from agent.query.parser import parse
from agent.query.red import services
from agent.query.search import search
from agent.query.window import window
from agent.show import as_json
from agent.store.reader import Listing, Order
from agent.web.asked import MAX_TRACES, BadRequest, NotFound, since, span_of_time, trace_id, whole
from agent.web.board import read_board

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from agent.analysis.finding import Finding
    from agent.spans.trace import ReadSpan, Trace
    from agent.web.readers import Timed

Json = dict[str, Any]
Asked = "Mapping[str, str]"

ANALYSED_SPANS: Final = 10_000
"""Of the newest traces: a second, and 20 MB while it lasts."""
TRACE_FINDING_SPANS: Final = 20_000
"""A larger trace is shown without findings."""
EVENTS_OF: Final = 100
"""Runs that are told."""


def traces(reader: Timed, asked: Mapping[str, str]) -> Json:
    """A list: filters as parameters."""
    listing = Listing(
        order=Order.SLOWEST if asked.get("order") == "slowest" else Order.RECENT,
        only_errors=asked.get("errors") in ("1", "true"),
        service=asked.get("service") or None,
        name=asked.get("name") or None,
        min_duration_ns=span_of_time(asked, "min_duration"),
        since_unix_ns=max(since(asked), whole(asked, "after_unix_ns", 0, 1 << 62)),
        limit=whole(asked, "limit", 100),
    )
    return {"traces": as_json.rows(reader.summaries(listing)), "now_unix_ns": time.time_ns()}


def query(reader: Timed, asked: Mapping[str, str]) -> Json:
    """What a query finds: traces in the form of the list, with the spans that matched."""
    found = search(
        reader,
        parse(asked.get("q", "")),
        limit=whole(asked, "limit", 100, 1_000),
        since_unix_ns=since(asked),
    )
    return {
        "traces": [
            {
                "trace_id": match.trace.trace_id,
                "start_unix_ns": match.trace.start_unix_ns,
                "duration_ns": match.trace.duration_ns,
                "spans": len(match.trace.spans),
                "errors": sum(one.status == 2 for one in match.trace.spans),
                "root_name": match.trace.root.name,
                "root_service": match.trace.root.service,
                "matched": [one.span_id for one in islice(match.spans, 100)],
                "numbers": dict(match.numbers),
            }
            for match in found
        ],
        "now_unix_ns": time.time_ns(),
    }


def trace(reader: Timed, id_: str) -> Json:
    """A whole trace, with its critical path and findings."""
    found = wanted(reader, id_)
    resources: list[Mapping[str, Any]] = []
    places: dict[int, int] = {}
    spans = []
    for depth, span in found.walk():
        place = places.get(id(span.resource))
        if place is None:
            place = places[id(span.resource)] = len(resources)
            resources.append(span.resource)
        parent = found.parent(span)
        spans.append(
            as_json.span(span)
            | {
                "resource": place,
                "depth": depth,
                "shown_parent_id": parent.span_id if parent is not None else None,
            }
        )
    reader.check()
    is_small = len(spans) <= TRACE_FINDING_SPANS
    return {
        "trace_id": found.trace_id,
        "start_unix_ns": found.start_unix_ns,
        "duration_ns": found.duration_ns,
        "resources": [dict(one) for one in resources],
        "spans": spans,
        "critical_path": [
            {
                "span_id": one.span.span_id,
                "start_unix_ns": one.start_unix_ns,
                "end_unix_ns": one.end_unix_ns,
            }
            for one in critical_path(found)
        ],
        "findings": _findings(analyze([found])) if is_small else [],
    }


def findings(reader: Timed, asked: Mapping[str, str]) -> Json:
    """What the analyses find in the newest traces."""
    listing = Listing(since_unix_ns=since(asked), limit=whole(asked, "limit", 1_000))
    read: list[Trace] = []
    spans = 0
    for summary in reader.summaries(listing):
        if spans + summary.spans > ANALYSED_SPANS:
            break
        reader.check()
        one = reader.trace(summary.trace_id)
        if one is not None:
            read.append(one)
            spans += len(one.spans)
    return {"traces": len(read), "spans": spans, "findings": _findings(analyze(read))}


def red(reader: Timed, asked: Mapping[str, str]) -> Json:
    """Rate, errors and duration per service and operation."""
    start = since(asked, "1h")
    with reader.view():
        found = as_json.rows(services(reader, since_unix_ns=start))
        return {"services": found, **_extent(reader, start)}


def edges(reader: Timed, asked: Mapping[str, str]) -> Json:
    """Who calls whom."""
    start = since(asked, "1h")
    with reader.view():
        found = as_json.rows(dependencies(reader, since_unix_ns=start))
        return {"edges": found, **_extent(reader, start)}


def _extent(reader: Timed, since_unix_ns: int) -> Json:
    """What figures are made of."""
    found = window(reader, since_unix_ns=since_unix_ns)
    return {"spans": found.spans, "left_out": found.left_out}


def status(reader: Timed, board: int) -> Json:
    """The store, its runs, and what the agent says about itself, if one is there."""
    (spans, kept, first) = reader.connection.execute(
        "SELECT ifnull(sum(spans), 0), count(*), min(start) FROM traces"
    ).fetchone()
    return {
        "version": __version__,
        "store": {
            "traces": kept,
            "spans": spans,
            "first_unix_ns": first,
            "size_bytes": reader.path.stat().st_size,
            "runs": as_json.rows(islice(reader.runs(), EVENTS_OF)),
        },
        "agent": read_board(board),
        "now_unix_ns": time.time_ns(),
    }


def wanted(reader: Timed, text: str) -> Trace:
    """The trace of this id, which may be cut to its first digits if they are enough; else NotFound."""
    found = reader.trace(trace_id(text))
    if found is None:
        ids = reader.find(text)
        if len(ids) > 1:
            raise BadRequest(f"several traces begin with {text[:40]}: give more digits")
        found = reader.trace(ids[0]) if ids else None
    if found is None:
        raise NotFound(f"there is no trace {text[:40]}")
    return found


def service_names(reader: Timed) -> list[str]:
    """Of the whole store, in order."""
    return sorted({one.service for one in reader.resources.values()})


def operations(reader: Timed) -> dict[str, set[str]]:
    """Names of spans by service."""
    found: dict[str, set[str]] = defaultdict(set)
    for resource, shape in reader.connection.execute("SELECT DISTINCT resource, shape FROM spans"):
        found[reader.resources[resource].service].add(reader.shapes[shape].name)
    return found


def newest(reader: Timed, listing: Listing, keeps: Any) -> list[tuple[Trace, list[ReadSpan]]]:
    """Traces of a list with the spans that `keeps` holds for, without those that have none."""
    found = []
    for summary in reader.summaries(listing):
        reader.check()
        one = reader.trace(summary.trace_id)
        spans = [span for span in one.spans if keeps(span)] if one is not None else []
        if one is not None and spans:
            found.append((one, spans))
        if len(found) >= MAX_TRACES:
            break
    return found


def _findings(found: Iterable[Finding]) -> list[Json]:
    return [
        {
            **group.worst.as_json(),
            "count": len(group.findings),
            "trace_ids": group.trace_ids[:SHOWN_TRACES],
            "total_saving_ns": group.total_saving_ns,
        }
        for group in grouped(found)
    ]
