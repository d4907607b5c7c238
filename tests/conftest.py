"""For all tests: property tests have no time limit per example, since the machine may be busy with a guest."""

from __future__ import annotations

import os

if "ZEROSPAN_GUEST" not in os.environ:  # a guest runs no properties, and reads its libraries slowly
    from hypothesis import HealthCheck, settings

    settings.register_profile(
        "zerospan", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
    )
    settings.load_profile("zerospan")
