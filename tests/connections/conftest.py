"""What all tests of connections begin with."""

from __future__ import annotations

import pytest

from tests.scenario import Host


@pytest.fixture
def host() -> Host:
    return Host()
