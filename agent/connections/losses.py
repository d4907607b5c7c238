"""Losses: turns that are missing, bytes that cannot be read, and where reading goes on after them.

A loss is counted where it shows: a turn number that is missing (see `Losses.lost`), or a position beyond the one
expected. An exchange is counted with its turn of requests, so each is counted once, whichever of its records are
missing; and nothing is read where it is not sure to begin, so no response meets another's request.
"""

from __future__ import annotations

import typing
from typing import Any, Final

from agent.connections.session import Session, Trouble
from agent.protocols import Role

if typing.TYPE_CHECKING:
    from agent.connections.connection import Connection
    from agent.connections.outcomes import Outcomes

LOST_RECORDS: Final = "ring_full"
MAX_TROUBLE: Final = 3
"""Times that a connection's bytes may be misunderstood before it is given up."""


class Losses:
    """See the module's text."""

    def __init__(self, outcomes: Outcomes) -> None:
        self._outcomes = outcomes

    def lost(self, connection: Connection, turn: int, fields: tuple[Any, ...] | None) -> bool:
        """The turn of the last event is not the one before `turn`. Gives whether to go on with the event at hand.

        Turns between them made no events: their records were lost. Without `fields` the connection is closing.
        """
        if turn <= connection.turn:
            self._outcomes.ledger.records_ignored["late"] += 1
            return False
        if connection.speaks is None:
            return True
        ledger, session = self._outcomes.ledger, connection.session
        requests = connection.request_direction
        seen = connection.expected[requests]
        if session is not None:
            seen = session.requests.end
            session.requests.end_turn(seen, connection.last_used_ns)
            session.step()
        is_cut = session is not None and session.is_within_request
        pending = connection.pending()
        if len(pending) == 1 and pending[0].response is not None:
            # The next request is out, so this response is whole: only when exactly it ended is not known.
            self._outcomes.ended(pending[0], connection.last_used_ns)
        else:
            for exchange in pending:
                self._outcomes.abandon(exchange, ledger.lost, LOST_RECORDS)
        self._outcomes.forget_pending(connection)
        self._outcomes.release(connection)
        connection.is_counted = False
        missed = count_requests(connection, connection.turn + 1, turn)
        missed += session is not None and (session.is_within_head or session.is_uncounted)
        if fields is not None and fields[14] == requests:
            # Where this request begins is known if just the response to the last one is missing.
            is_known = fields[7] == seen
            missed += not is_known
            if is_known and not is_cut:
                connection.skip_turn = 0
                connection.expected[requests], connection.expected[1 - requests] = seen, fields[8]
            else:
                self.skip(connection, turn + 1)
        else:
            self.skip(connection, turn)
        self._outcomes.count(ledger.lost, LOST_RECORDS, missed)
        if connection.is_pipelined and fields is not None:
            self._outcomes.mute(connection, "pipelined_loss")
            return False
        return True

    def give_up(self, connection: Connection, session: Session, turn: int) -> None:
        """What comes next in `turn` cannot be read: go on with the next turn of requests."""
        ledger, why = self._outcomes.ledger, session.trouble
        assert why is not None
        if session.failure is not None:
            self._outcomes.on_bug(session.name, session.failure)
        pending = connection.pending()
        is_request = turn & 1 == connection.request_parity
        connection.is_pipelined |= bool(pending) and session.is_uncounted and is_request
        for exchange in pending:
            self._outcomes.abandon(exchange, ledger.unparsed, why.value)
        self._outcomes.count(ledger.unparsed, why.value, int(session.is_uncounted))
        connection.trouble += why is not Trouble.GAP
        self._outcomes.release(connection)
        self._outcomes.forget_pending(connection)
        if is_request:
            self.skip(connection, turn + 1)
        else:
            self.skip(connection, turn)
            connection.resume_at = session.requests.end

    def skip(self, connection: Connection, turn: int) -> None:
        """Read nothing up to the end of a turn of responses."""
        connection.skip_turn = turn
        connection.resume_at = -1
        connection.is_counted = False
        # So the hot path leaves the connection to `_resume`.
        connection.expected[connection.request_direction] = -1

    def resume(self, connection: Connection, fields: tuple[Any, ...]) -> bool:
        """Whether an event is the beginning of the first request after what is skipped."""
        position, other_position, turn, direction = fields[7], fields[8], fields[13], fields[14]
        if direction != connection.request_direction:
            connection.skip_turn = max(turn, connection.skip_turn)
            connection.resume_at = other_position
            return False
        if turn <= connection.skip_turn:
            return False
        if position != connection.resume_at:
            self._outcomes.count(self._outcomes.ledger.unparsed, Trouble.GAP.value, 1)
            self.skip(connection, turn + 1)
            return False
        connection.skip_turn = 0
        connection.expected[direction], connection.expected[1 - direction] = (
            position,
            other_position,
        )
        return True

    def lost_undecided(self, connection: Connection, turn: int, positions: tuple[int, int]) -> None:
        """A connection closed before any protocol claimed it: lost, if its records were."""
        is_damaged = (
            connection.is_doubtful
            or connection.doubts > 0
            or list(positions) != connection.expected
        )
        if is_damaged and connection.role is not Role.UNKNOWN:
            self._outcomes.count(
                self._outcomes.ledger.lost, "ring_full_unclassified", (turn + 1) // 2
            )


def count_requests(connection: Connection, first: int, end: int) -> int:
    """How many of the turns from `first` to before `end` are requests'."""
    odd = 1 - connection.request_parity
    return (end + odd) // 2 - (first + odd) // 2
