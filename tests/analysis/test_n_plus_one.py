"""The same statement again and again for one request."""

from __future__ import annotations

from agent.analysis import analyze
from agent.analysis.finding import Level, Severity
from agent.analysis.n_plus_one import n_plus_one
from agent.analysis.thresholds import Thresholds
from tests.analysis.story import MS, Story, found, ids

ITEMS = "SELECT * FROM items WHERE order_id = "


def page(count: int, *, parallel: bool = False, statement: str = ITEMS) -> Story:
    story = Story()
    root = story.server(0, 260)
    story.sql(0, 10, root, "SELECT * FROM orders")
    for number in range(count):
        at = 20 if parallel else 20 + 6 * number
        story.sql(at, at + 5, root, f"{statement}{number}")
    return story


def test_statements_that_differ_in_values_are_found_with_count_saving_and_hint() -> None:
    story = page(40)
    (finding,) = found(n_plus_one, story)
    assert finding.title == (
        "`GET /orders` of shop asks postgresql db:5432 `SELECT * FROM items WHERE order_id = ?` 40 times, "
        "one after another, 200 ms of 260 ms: one JOIN, or one WHERE … IN (…) over all ids, "
        "would save about 195 ms"
    )
    assert finding.saving_ns == 195 * MS
    assert finding.span_ids == ids(story.spans[0], *story.spans[2:])
    assert (finding.severity, finding.confidence.level) == (Severity.WARNING, Level.HIGH)
    assert finding.details["count"] == 40
    assert finding.details["statement"] == "SELECT * FROM items WHERE order_id = ?"


def test_the_threshold_decides() -> None:
    assert found(n_plus_one, page(4)) == []
    assert len(found(n_plus_one, page(5))) == 1
    assert found(n_plus_one, page(5), Thresholds(n_plus_one_calls=6)) == []
    assert found(n_plus_one, page(5), Thresholds(n_plus_one_min_saving_ns=21 * MS)) == []


def test_statements_at_the_same_time_wait_once() -> None:
    assert found(n_plus_one, page(40, parallel=True)) == []


def test_a_small_part_of_the_request_is_for_information() -> None:
    story = Story()
    root = story.server(0, 10_000)
    for number in range(6):
        story.sql(10 * number, 10 * number + 5, root, f"{ITEMS}{number}")
    assert [one.severity for one in found(n_plus_one, story)] == [Severity.INFO]


def test_statements_in_spans_of_an_sdk_belong_to_the_request() -> None:
    story = Story()
    root = story.server(0, 100)
    for number in range(6):
        wrapped = story.span(10 * number, 10 * number + 9, root, name="repository")
        story.sql(10 * number, 10 * number + 9, wrapped, f"{ITEMS}{number}")
    assert [one.details["owner_span_id"] for one in found(n_plus_one, story)] == [root.span_id]


def test_different_requests_are_not_counted_together() -> None:
    story = Story()
    root = story.server(0, 100)
    for number in range(6):
        story.sql(10 * number, 10 * number + 9, story.server(0, 100, root), f"{ITEMS}{number}")
    assert found(n_plus_one, story) == []


def test_failed_calls_and_those_about_the_connection_do_not_count() -> None:
    story = Story()
    root = story.server(0, 200)
    for number in range(10):
        story.sql(20 * number, 20 * number + 5, root, "BEGIN")
        story.sql(20 * number + 6, 20 * number + 9, root, f"{ITEMS}{number}", error="40001")
        story.redis(20 * number + 10, 20 * number + 15, root, "PING")
    assert found(n_plus_one, story) == []


def test_the_same_question_again_is_told_from_many_questions() -> None:
    story = page(6, statement="SELECT rate FROM vat -- ")
    (finding,) = found(n_plus_one, story)
    assert "asking once and keeping the answer would save" in finding.title
    assert finding.details["is_same_question"] is True


def test_writes_and_caches_have_their_own_hints() -> None:
    story = Story()
    root = story.server(0, 500)
    for number in range(6):
        at = 50 * number
        story.sql(at, at + 5, root, f"INSERT INTO log VALUES ({number})")
        story.redis(at + 10, at + 15, root, f"GET item:{number}")
        story.redis(at + 20, at + 25, root, f"EXPIRE item:{number} 60")
        story.sql(at + 30, at + 35, root, f"CALL refresh({number})")
    hints = {one.details["statement"]: one.details["hint"] for one in found(n_plus_one, story)}
    assert hints == {
        "INSERT INTO log VALUES (?)": "one INSERT of many rows",
        "GET item:?": "one MGET",
        "EXPIRE item:? ?": "a pipeline",
        "CALL refresh(?)": "one statement for all of them",
    }


def test_requests_of_one_route_are_found_with_less_certainty() -> None:
    story = Story()
    root = story.server(0, 100)
    for number in range(6):
        story.http(10 * number, 10 * number + 9, root, f"GET http://stock/items/{number}")
    (finding,) = found(n_plus_one, story)
    assert "asks stock:80 `GET /items/{id}` 6 times" in finding.title
    assert (finding.details["hint"], finding.confidence.level) == (
        "one request for all of them",
        Level.MEDIUM,
    )


def test_redacted_questions_may_differ() -> None:
    story = Story()
    root = story.server(0, 100)
    for number in range(6):
        story.http(10 * number, 10 * number + 9, root, "GET http://stock/items?id=REDACTED")
    assert [one.details["is_same_question"] for one in found(n_plus_one, story)] == [False]


def test_a_summary_alone_is_less_certain() -> None:
    story = Story()
    root = story.server(0, 100)
    attributes = {"db.query.text": "", "db.query.summary": "SELECT items"}
    for number in range(6):
        story.sql(10 * number, 10 * number + 9, root, "SELECT", attributes=attributes)
    assert [one.confidence.level for one in found(n_plus_one, story)] == [Level.MEDIUM]


def test_statements_that_are_not_known_may_all_differ() -> None:
    """Prepared before zerospan came: each execution names a statement whose text nobody saw."""
    story = Story()
    root = story.server(0, 100)
    missing = {"db.query.text": "", "zerospan.db.query.missing": "prepared_before_attach"}
    for number in range(12):
        story.sql(8 * number, 8 * number + 7, root, "postgresql", attributes=missing)
    assert analyze([story.trace]) == []
