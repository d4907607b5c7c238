"""Spans and what they are made of, in OpenTelemetry's words: pure values."""
