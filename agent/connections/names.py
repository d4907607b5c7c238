"""Names that a process has looked up, by the addresses that it was told.

A database's protocol does not say whom the client meant to reach, an address alone does not tell a person, and outside
Kubernetes nobody else knows. An address that several names share has the one that the process asked for last.
"""

from __future__ import annotations

from typing import Final

MAX_NAMES: Final = 1024
"""Addresses of one process; beyond, the one that was learnt first is forgotten."""


class Names:
    """Those of one process. Addresses have 16 bytes, IPv4 mapped."""

    __slots__ = ("_by_address",)

    def __init__(self) -> None:
        self._by_address: dict[bytes, str] = {}

    def learn(self, address: bytes, name: str) -> bool:
        """`name` was answered with `address`. False if another address had to be forgotten for it."""
        known = self._by_address
        known.pop(address, None)
        is_full = len(known) >= MAX_NAMES
        if is_full:
            del known[next(iter(known))]
        known[address] = name
        return not is_full

    def of(self, address: bytes) -> str:
        """The name; empty without one."""
        return self._by_address.get(address, "")
