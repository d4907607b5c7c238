"""Child or link, by when one ended and the other started."""

from __future__ import annotations

import pytest

from agent.traces.settle import TOLERANCE_NS, Relation, Tie, tie

END = 5_000_000


@pytest.mark.parametrize(
    ("start", "expected"),
    [
        (0, Tie.PARENT),
        (END, Tie.PARENT),
        (END + TOLERANCE_NS, Tie.PARENT),
        (END + TOLERANCE_NS + 1, Tie.LINK),
        (END * 1000, Tie.LINK),
    ],
)
def test_call_that_starts_after_the_answer_is_linked(start, expected):
    assert tie(Relation.WORK, parent_end_ns=END, child_start_ns=start) is expected


def test_parent_under_way_is_a_parent():
    assert tie(Relation.WORK, parent_end_ns=0, child_start_ns=END) is Tie.PARENT


@pytest.mark.parametrize("relation", [Relation.PEER, Relation.REMOTE])
def test_request_that_was_given_up_stays_in_its_trace(relation):
    assert tie(relation, parent_end_ns=END, child_start_ns=END * 1000) is Tie.PARENT
