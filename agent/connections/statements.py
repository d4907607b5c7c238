"""Exchanges by calls: statements that a process executes in an embedded database, without any socket.

A statement that gives rows is told twice: when its first row came, and at its end. All others are told at their end, with
their beginning. So whoever works for whom is decided at the beginning, as with requests. One thread at a time steps a
statement, and its address is its name until it ends.
"""

from __future__ import annotations

import typing
from collections import OrderedDict
from typing import Any, Final

from agent.connections.connection import Connection
from agent.protocols import Role
from agent.protocols.pairing import Exchange, Failure
from agent.protocols.sqlite import Outcome, Query, Sqlite, database_name
from agent.spans.span import Attributes
from agent.sql import split_comment

if typing.TYPE_CHECKING:
    from collections.abc import Callable

    from agent.connections.outcomes import Outcomes

BEGUN, ENDED, DONE = 1, 2, 3
"""As in `enum statement_stage` of probes/include/events.h."""
STAGES: Final = frozenset((BEGUN, ENDED, DONE))
MAX_RUNNING: Final = 4096
"""Statements under way; beyond, the oldest is given up. The kernel side follows 2048."""
MAX_DATABASES: Final = 4096
"""Open databases whose names are known; beyond, the one that was opened first is forgotten."""

NO_NETWORK: Final = (Attributes(()), b"")
"""`Connection.network` of what has none."""

Key = tuple[int, int]
"""Process, and address of the statement or of the database."""


class Statements:
    """See the module's text."""

    def __init__(
        self,
        outcomes: Outcomes,
        identify: Callable[[int], Any],
        own_stores: frozenset[str] = frozenset(),
    ) -> None:
        """As `table.Connections`. Of `own_stores`, by their names, nothing is told: who looks at traces makes no more of them."""
        self._own_stores = own_stores
        self._outcomes = outcomes
        self._follower = outcomes.follower
        self._kernel = outcomes.kernel
        self._ledger = outcomes.ledger
        self._identify = identify
        self._running: OrderedDict[Key, Exchange] = OrderedDict()
        self._databases: OrderedDict[Key, str] = OrderedDict()

    def take(self, fields: tuple[Any, ...], text: bytes) -> None:
        """How far a statement has come: `statement_event`, and its text where that comes with it."""
        time_ns, tgid, tid, _, _, statement, database, start_ns, rows, result, stage, _, _ = fields[
            :13
        ]
        key = (tgid, statement)
        exchange = self._running.pop(key, None)
        if stage == ENDED:
            if exchange is None:
                self._ledger.records_ignored["statement_unbegun"] += 1
                return
            # What was told of its beginning may have been another's, whose end was lost.
            if exchange.start_ns == start_ns:
                self._end(exchange, time_ns, Outcome(rows, result))
            else:
                self._lose(exchange)
                self._ledger.records_ignored["statement_unbegun"] += 1
            return
        if exchange is not None:
            self._lose(exchange)
        process = self._identify(tgid)
        if process is None:
            self._ledger.records_ignored["statement_filtered"] += 1
            return
        connection = Connection(0, tgid, process)
        connection.role = Role.CLIENT
        connection.network = NO_NETWORK
        text, carrier = split_comment(text)
        query = Query(text, self._databases.get((tgid, database), ""), carrier)
        exchange = Exchange(Sqlite, Role.CLIENT, query, start_ns)
        exchange.connection = connection
        self._ledger.captured += 1
        origin = fields[13:] if fields[13] or fields[17] else None
        self._follower.begun(exchange, tid, ((Sqlite.name, tgid, statement, start_ns), 0), origin)
        if stage == DONE:
            self._end(exchange, time_ns, Outcome(rows, result))
            return
        exchange.first_byte_ns = time_ns
        self._running[key] = exchange
        if len(self._running) > MAX_RUNNING:
            self._lose(self._running.popitem(last=False)[1], "statements_full")

    def opened(self, fields: tuple[Any, ...], name: bytes) -> None:
        """A database was opened: `database_event`."""
        key = (fields[1], fields[5])
        self._databases.pop(key, None)
        self._databases[key] = database_name(name)
        if len(self._databases) > MAX_DATABASES:
            self._databases.popitem(last=False)

    def exited(self, tgid: int, time_ns: int) -> None:
        """A process ended, or became another program."""
        for exchange in self._left(tgid):
            self._fail(exchange, time_ns, Failure.PROCESS_EXIT)

    def exclude(self, tgid: int) -> None:
        """A process is not traced any more."""
        for exchange in self._left(tgid):
            self._outcomes.abandon(exchange, self._ledger.filtered, "process_excluded")

    def finish(self, time_ns: int) -> None:
        """The agent stops: what is under way is told as far as it came."""
        for exchange in self._running.values():
            self._fail(exchange, time_ns, Failure.AGENT_EXIT)
        self._running.clear()

    def _left(self, tgid: int) -> list[Exchange]:
        """What was under way in a process, and is forgotten now."""
        for key in [key for key in self._databases if key[0] == tgid]:
            del self._databases[key]
        left = [key for key in self._running if key[0] == tgid]
        for key in left:
            self._kernel.forget_statement(*key)
        return [self._running.pop(key) for key in left]

    def _end(self, exchange: Exchange, time_ns: int, outcome: Outcome) -> None:
        exchange.response = outcome
        self._over(exchange, time_ns)

    def _fail(self, exchange: Exchange, time_ns: int, why: Failure) -> None:
        exchange.failure = why
        self._over(exchange, time_ns)

    def _over(self, exchange: Exchange, time_ns: int) -> None:
        if exchange.request.database in self._own_stores:
            self._outcomes.abandon(exchange, self._ledger.filtered, "own_store")
        else:
            self._outcomes.ended(exchange, time_ns)

    def _lose(self, exchange: Exchange, cause: str = "statement_end") -> None:
        """Its end was not told, or it is one too many."""
        self._outcomes.abandon(exchange, self._ledger.lost, cause)
