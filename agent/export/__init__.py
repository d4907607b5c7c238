"""Spans leave the agent: as OTLP over gRPC or HTTP, into a file, or as trees for people.

    Span → Exports (batches of 512) → one Worker per exporter (bounded queue, one thread, retries) → Exporter

`settings` says where to, `endpoint` opens the exporters, `batch` is what the pipeline talks to. A batch is encoded
in the pipeline's thread, which makes its size known before it is queued; everything that can wait for a network, a
disk or a terminal happens in the worker's thread. Adding an exporter: one module with an `Exporter`, one line in
`endpoint`, and its settings.
"""
