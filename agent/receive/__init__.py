"""OTLP from others: spans that instrumented programs make themselves join ours in the store.

    SDK ──OTLP──▶ server, a child of the agent ──▶ agent ──▶ queue of the store's worker
                  checks, decodes, redacts        counts

The server (`python -m agent.receive`) meets whatever a stranger may send, decodes it, and hands over plain values; the agent
builds spans of them and queues them for the one writer of the store. A sender gets its answer once its spans are queued; if
there is no room it is told to come back. The server does not see the store, and is not traced.
"""
