"""Attribute names that analyses read and `agent.spans.semconv` does not have: those that other protocols' spans and
those of SDKs carry. docs/analysis.md says which analysis reads which.

https://opentelemetry.io/docs/specs/semconv/ (1.37); the two marked "old" are what SDKs sent before the stable database
conventions.
"""

from __future__ import annotations

from typing import Final

DB_COLLECTION_NAME: Final = "db.collection.name"
DB_OPERATION_NAME: Final = "db.operation.name"
DB_QUERY_SUMMARY: Final = "db.query.summary"
DB_QUERY_TEXT: Final = "db.query.text"
DB_RESPONSE_RETURNED_ROWS: Final = "db.response.returned_rows"
DB_RESPONSE_STATUS_CODE: Final = "db.response.status_code"
DB_SYSTEM_NAME: Final = "db.system.name"
DNS_QUESTION_NAME: Final = "dns.question.name"
HTTP_REQUEST_RESEND_COUNT: Final = "http.request.resend_count"
MESSAGING_SYSTEM: Final = "messaging.system"
OLD_DB_STATEMENT: Final = "db.statement"
OLD_DB_SYSTEM: Final = "db.system"
RPC_METHOD: Final = "rpc.method"
RPC_SERVICE: Final = "rpc.service"
RPC_SYSTEM: Final = "rpc.system"
SERVICE_VERSION: Final = "service.version"

CACHE_HIT: Final = "zerospan.cache.hit"
"""Boolean: whether a cache had what it was asked for. The conventions have no attribute that says so."""
CONNECTION_ID: Final = "zerospan.connection.id"
"""String or number: the same for all exchanges of one connection, and for no other connection of the host."""
CONNECTION_REQUESTS: Final = "zerospan.connection.requests"
"""Integer: the how-manieth exchange on its connection this is, from 1."""
CONNECTION_SETUP_TIME: Final = "zerospan.connection.setup_time"
"""Seconds from connect to the first request, on the first exchange of a connection: TCP, TLS and authentication."""
CONNECTION_WAIT_TIME: Final = "zerospan.connection.wait_time"
"""Seconds that a call waited for a free connection of its pool, where somebody knows."""
