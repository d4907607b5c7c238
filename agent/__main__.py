"""`python -m agent` is `zerospan`."""

from __future__ import annotations

from agent.cli import main

main()
