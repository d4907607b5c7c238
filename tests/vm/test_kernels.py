"""Every scenario on every kernel: what a guest's own pytest said of it, reported here one by one."""

from __future__ import annotations

import pytest

from tests.vm.harness import Run


@pytest.mark.vm
def test_kernel(run: Run, scenario: str) -> None:
    result = run.result(scenario)
    if result.outcome == "skipped":
        pytest.skip(result.text)
    if result.outcome != "passed":
        pytest.fail(f"in the guest:\n{result.text}", pytrace=False)
