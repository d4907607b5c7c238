"""Shared facts."""

from __future__ import annotations

import os

from agent.web.board import MAX_BYTES, Board, read_board


def test_board():
    board = Board()
    assert read_board(-1) is None
    assert read_board(board.fd) is None
    board.tell({"ledger": {"n": 1}, "processes": []})
    assert read_board(board.fd) == {"ledger": {"n": 1}, "processes": []}
    board.tell({"n": 2})
    assert read_board(board.fd) == {"n": 2}
    # Half written.
    os.pwrite(board.fd, b"x", 18)
    assert read_board(board.fd) is None
    board.tell({"ledger": 1, "processes": ["x" * MAX_BYTES]})
    assert read_board(board.fd) == {"ledger": 1, "processes": None}
    board.close()
