"""The page and the HTTP API over a store: a process of its own, which reads the store and touches nothing else.

    browser, Grafana → guard.py (host, origin, token, headers) → app.py (routes) → api.py, tempo.py, jaeger.py → store

`zerospan run` starts it as a child (child.py) and tells it the ledger and what cannot be seen over a page of shared
memory (board.py); `zerospan web` runs it alone. So nothing that a visitor asks for can hold up the tracer, and the
tracer's memory holds no web server. docs/api.md describes what is answered.
"""
