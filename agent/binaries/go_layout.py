"""Where things lie in the memory of a Go program, by the version of Go that built it.

The members of `runtime.g` moved between releases, and not between the patches of a release. The numbers were read from the
debug information of programs built by 1.21.13, 1.22.10, 1.23.9, 1.24.11, 1.25.5, 1.26.6 and 1.27.3. Of another release
nothing is known: a new one may move them again.

In all of these `net/http.persistConn.conn` is at 80, and from its `*net.TCPConn` it is one pointer to a structure in
which `Sysfd`, the descriptor, is at 16.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

_RELEASE: Final = re.compile(r"1\.(\d+)(?=\D|$)")


@dataclass(frozen=True, slots=True)
class Goroutine:
    """Offsets in `runtime.g`."""

    goid: int
    parent_goid: int
    start_pc: int
    """The function that the goroutine runs."""


LAYOUTS: Final[Mapping[int, Goroutine]] = {
    21: Goroutine(152, 272, 296),
    22: Goroutine(152, 272, 296),
    23: Goroutine(160, 280, 304),
    24: Goroutine(160, 280, 304),
    25: Goroutine(152, 272, 296),
    26: Goroutine(152, 280, 304),
    27: Goroutine(152, 280, 304),
}
"""By the second number of the release."""


def goroutine_of(version: str) -> Goroutine | None:
    """The layout of a release such as `1.22.3`; None if it is not known."""
    found = _RELEASE.match(version)
    return LAYOUTS.get(int(found[1])) if found else None
