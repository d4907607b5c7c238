"""How long to wait after a failure."""

from __future__ import annotations

import pytest

from agent.export.retry import Retry


@pytest.mark.parametrize(
    ("failures", "jitter", "pause_s"),
    [
        (1, 1.0, 0.5),
        (2, 1.0, 1.0),
        (3, 1.0, 2.0),
        (3, 0.0, 1.0),
        (6, 1.0, 15.0),
        (5000, 0.5, 11.25),
    ],
)
def test_pauses_double_up_to_the_longest(failures, jitter, pause_s):
    assert Retry(first_s=0.5, longest_s=15.0).pause_s(failures, jitter) == pause_s
