"""Which conditions SQL decides alone; and that it decides as `evaluate` does."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.query.evaluate import satisfies
from agent.query.parser import parse
from agent.query.plan import Planner, Sql
from agent.query.syntax import Field, Filter, Scope
from agent.store.reader import Process, Reader
from agent.store.schema import SLOTS
from agent.store.shapes import Shape, Slot
from agent.store.values import Type
from tests.query.made import conditions, random_spans, traces_of, written

SHAPES = {
    1: Shape("GET /a", 2, 0, {"method": "GET", "n": 1}, (Slot("path", Type.TEXT),)),
    2: Shape("GET /b", 2, 2, {"method": "GET"}, (Slot("n", Type.INTEGER), Slot("tags", Type.LIST))),
    3: Shape("query", 3, 0, {}, tuple(Slot(f"k{i}", Type.INTEGER) for i in range(SLOTS + 1))),
}
RESOURCES = {1: Process("front", {"zone": "a"}), 2: Process("back", {})}


def planned(text: str) -> Sql:
    spanset = parse(text).spanset
    assert isinstance(spanset, Filter)
    return Planner(SHAPES, RESOURCES).condition(spanset.condition)


PLANS = {
    "{ }": Sql("1"),
    "{ .none = 1 }": Sql("0"),
    '{ name = "query" || .none = 1 }': Sql("(shape IN (3))"),
    '{ name = "query" && .none = 1 }': Sql("0"),
    "{ kind = server }": Sql("shape IN (1,2)"),
    "{ status = error && duration > 5ns }": Sql("(shape IN (2) AND duration > ?)", (5,)),
    "{ duration != 5ns }": Sql("duration IS NOT ?", (5,)),
    '{ span.method = "GET" }': Sql("(shape IN (1,2))"),
    '{ span.path = "/x" }': Sql("((shape IN (1) AND v0 = ?))", ("/x",)),
    "{ span.path > 1 }": Sql("0"),
    "{ span.n >= 1.5 }": Sql("((shape IN (2) AND v0 >= ?))", (1.5,)),
    "{ span.n = 1 }": Sql("(shape IN (1) OR (shape IN (2) AND v0 = ?))", (1,)),
    "{ span.n = nil }": Sql("shape IN (3)"),
    '{ span.path =~ "/.*" }': Sql("((shape IN (1) AND matches_0(v0) = 1))"),
    '{ resource.zone = "a" }': Sql("resource IN (1)"),
    '{ .zone = "a" }': Sql("((resource IN (1)))"),
    "{ .zone = nil }": Sql("(resource IN (2))"),
    '{ span.tags = "x" }': Sql("((shape IN (2) AND 1))", is_exact=False),
    f"{{ span.k{SLOTS} = 1 }}": Sql("((shape IN (3) AND 1))", is_exact=False),
    '{ statusMessage = "x" }': Sql("more IS NOT NULL", is_exact=False),
    '{ statusMessage = "" }': Sql("1", is_exact=False),
    '{ rootName =~ "GET.*" }': Sql("trace IN (SELECT id FROM traces WHERE root_shape IN (1,2))"),
    '{ rootServiceName = "back" }': Sql("trace IN (SELECT id FROM traces WHERE root_resource IN (2))"),
    '{ rootServiceName = "none" }': Sql("0"),
    "{ traceDuration > 1ns }": Sql('trace IN (SELECT id FROM traces WHERE "end" - start > ?)', (1,)),
}  # fmt: skip


@pytest.mark.parametrize(("text", "sql"), PLANS.items())
def test_condition(text, sql):
    assert planned(text) == sql


def test_what_is_joined_is_looked_for_on_both_sides():
    planner = Planner(SHAPES, RESOURCES)
    query = parse("({ kind = client } > { duration > 1ns }) || { }")
    assert planner.candidates(query.spanset) == Sql(
        "SELECT trace FROM (SELECT trace FROM (SELECT trace FROM spans WHERE shape IN (3)) INTERSECT "
        "SELECT trace FROM (SELECT trace FROM spans WHERE duration > ?)) UNION "
        "SELECT trace FROM (SELECT trace FROM spans WHERE 1)",
        (1,),
    )


def test_numbers_that_sql_can_give():
    planner = Planner(SHAPES, RESOURCES)
    assert planner.whole_number(Field(Scope.INTRINSIC, "duration")) == Sql("duration")
    assert planner.whole_number(Field(Scope.SPAN, "n")) == Sql(
        "ifnull(CASE WHEN shape IN (2) THEN v0 END, constant_0(shape))"
    )
    assert [planner.functions["constant_0"](shape) for shape in SHAPES] == [1, None, None]
    assert planner.whole_number(Field(Scope.ANY, "k0")) == Sql("CASE WHEN shape IN (3) THEN v0 END")
    assert planner.whole_number(Field(Scope.ANY, "none")) == Sql("NULL")
    for other in ("zone", "path", f"k{SLOTS}"):
        assert planner.whole_number(Field(Scope.ANY, other)) is None
    assert planner.whole_number(Field(Scope.RESOURCE, "n")) is None


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.lists(conditions, min_size=20, max_size=20))
def test_sql_finds_the_spans_that_satisfy_a_condition(seed, texts):
    """All of them always, and no others where it says that it is exact."""
    spans = random_spans(random.Random(seed))
    traces = traces_of(spans)
    with tempfile.TemporaryDirectory() as folder:
        writer = written(spans, Path(folder) / "traces.db")
        with Reader(Path(folder) / "traces.db") as reader, reader.view():
            for text in texts:
                spanset = parse(f"{{ {text} }}").spanset
                assert isinstance(spanset, Filter)
                planner = Planner(reader.shapes, reader.resources)
                sql = planner.condition(spanset.condition)
                for name, function in planner.functions.items():
                    reader.connection.create_function(name, 1, function)
                found = {
                    (trace_id.hex(), span_id.hex())
                    for trace_id, span_id in reader.connection.execute(
                        "SELECT (SELECT trace_id FROM traces WHERE id = trace), span_id FROM spans "
                        f"WHERE {sql.text}",
                        sql.parameters,
                    )
                }
                expected = {
                    (trace.trace_id, span.span_id)
                    for trace in traces
                    for span in trace.spans
                    if satisfies(spanset.condition, span, trace)
                }
                assert found == expected if sql.is_exact else found >= expected, text
        writer.close()
