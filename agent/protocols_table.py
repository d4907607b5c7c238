"""docs/protocols.md, made from the protocols themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent.protocols import Protocol

_INTRODUCTION: Final = """\
# Protocols

`zerospan protocols` prints this page; each row is what the protocol's own file says of itself.

A protocol is recognized by its first bytes, never by a port number. A connection whose bytes no protocol claims, or
that turns to TLS or to another protocol, is muted in the kernel and counted in the ledger
([docs/ledger.md](ledger.md)). Values are taken out before anything leaves
([docs/redaction.md](redaction.md)); authentication is read over, and nothing of it is kept.

| protocol | roles | what is captured | what is not | tested against |
|---|---|---|---|---|
"""


def table(protocols: Mapping[str, type[Protocol]]) -> str:
    """The page, one row for each protocol, in the order of their names."""
    rows = (
        f"| {about.title} (`{name}`) | {about.roles} | {about.captured} | {about.omitted} | {about.tested} |"
        for name, about in ((name, protocols[name].about) for name in sorted(protocols))
    )
    return _INTRODUCTION + "\n".join(rows) + "\n"
