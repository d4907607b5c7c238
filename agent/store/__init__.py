"""Traces kept on this host, in one SQLite file: written by the agent, read by everybody at the same time.

    Span → shape and values (shapes.py) → rows of one transaction (writer.py) → reader.py → ReadSpan, Trace

docs/store.md describes the file.
"""
