"""PostgreSQL's traffic of the bench: many shapes, values that differ, every statement a span."""

from __future__ import annotations

import pytest

from bench.statements import SHAPES, as_text, exchanges, statements, with_parameters
from tests.scenario import Run, facts


@pytest.mark.parametrize("send", [with_parameters, as_text])
def test_every_statement_becomes_a_span_with_its_text(send):
    run = Run().take(statements(600, send, connections=10)).finish()
    assert run.counts == {"captured": 600, "spans": 600}
    texts = {facts(span)["db.query.text"] for span in run.spans}
    assert 80 < len(texts) <= SHAPES
    assert {span.name.split()[0] for span in run.spans} == {"SELECT", "UPDATE", "INSERT"}


def test_values_in_the_text_differ_and_parameters_do_not_show():
    assert len({asked for asked, _ in exchanges(300, as_text)}) == 300
    texts = {asked.partition(b"B\0\0")[0] for asked, _ in exchanges(300, with_parameters)}
    assert len(texts) < 150
