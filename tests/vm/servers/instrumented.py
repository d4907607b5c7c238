"""A program that traces itself with the OpenTelemetry SDK: a span, within it a request that carries its context, and OTLP over HTTP.

    instrumented.py URL RECEIVER

Prints the trace's id. Its first request is over before it sends its spans, so zerospan sees it as it does any other program.
"""

from __future__ import annotations

import sys
import urllib.request

from opentelemetry import propagate, trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

url, receiver = sys.argv[1:]
provider = TracerProvider(resource=Resource({"service.name": "instrumented"}))
provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(endpoint=f"{receiver}/v1/traces")))
with provider.get_tracer("own").start_as_current_span("job", kind=trace.SpanKind.CLIENT) as span:
    headers: dict[str, str] = {}
    propagate.inject(headers)
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=60) as answer:
        answer.read()
provider.shutdown()
print(f"{span.get_span_context().trace_id:032x}")
