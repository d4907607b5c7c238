"""Joins the probes into one program text, and finds the constants that this kernel gives it.

bcc rewrites only the text that it is handed, not what that text includes, and one text is needed for one ring buffer.
So our own `#include "…"` lines are pasted in place, once each, with `#line` marks, and the few files that bcc itself
includes come from `probes/stub`.

The text asks for what it needs of the kernel by the names of its constants, so there is no list to keep:

    OFFSETOF_<struct>__<member>     offset of a member in bytes; a dot in the member's path is written _DOT_
    HAS_<struct>__<member>          1 if there is such a member
    HAS_FUNCTION_<function>         1 if BTF knows the function
    ARGUMENTS_<function>            how many arguments it takes
    FUNCTION_ID_<function>          its type id, by which a trampoline is attached
    ENUM_<enum>__<name>             the value of an enumerator
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from agent.errors import KernelError
from agent.kernel.btf import Btf
from agent.kernel.programs import Probe, probes_folder

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_INCLUDE: Final = re.compile(r'^#include "([\w.]+)"$', re.MULTILINE)
_CONSTANT: Final = re.compile(
    r"\b(?:(OFFSETOF|HAS|ENUM)_([a-z]\w*?)__(\w+)|(HAS_FUNCTION|FUNCTION_ID|ARGUMENTS)_(\w+))\b"
)


def program_text(probes: Iterable[Probe]) -> str:
    """All probes as one C text."""
    seen: set[str] = set()
    return "".join(_paste(f"{probe.name}.c", f"{probe.name}.c", seen) for probe in probes)


def constants(text: str, btf_data: bytes | None = None) -> dict[str, int]:
    """Every constant that the text asks of the kernel; those it cannot give are left out, but for HAS_ ones."""
    asked = [
        (
            match.group(0),
            match.group(1) or match.group(4),
            match.group(2) or match.group(5),
            match.group(3),
        )
        for match in _CONSTANT.finditer(text)
    ]
    names = {subject for _, _, subject, _ in asked}
    btf = Btf(btf_data, names) if btf_data is not None else Btf.of_kernel(names)
    found = {}
    for constant, kind, subject, member in dict.fromkeys(asked):
        value = _look_up(btf, kind, subject, (member or "").replace("_DOT_", "."))
        if value is not None:
            found[constant] = value
    return found


def flags(known: Mapping[str, int]) -> list[str]:
    """Compiler flags that define the constants."""
    return [f"-D{name}={value}" for name, value in sorted(known.items())]


def _look_up(btf: Btf, kind: str, subject: str, member: str) -> int | None:
    if kind == "OFFSETOF":
        return btf.offset(subject, member)
    if kind == "HAS":
        return int(btf.offset(subject, member) is not None)
    if kind == "ENUM":
        return btf.enum_value(subject, member)
    if kind == "FUNCTION_ID":
        return btf.function_id(subject)
    if kind == "ARGUMENTS":
        return btf.argument_count(subject)
    assert kind == "HAS_FUNCTION", kind
    return int(btf.argument_count(subject) is not None)


def _paste(path: str, shown: str, seen: set[str]) -> str:
    text = (probes_folder() / path).read_text()
    parts = [f'#line 1 "probes/{shown}"\n']
    at = 0
    for match in _INCLUDE.finditer(text):
        name = match.group(1)
        parts.append(text[at : match.start()])
        if name not in seen:
            seen.add(name)
            parts.append(_paste(f"include/{name}", f"include/{name}", seen))
            line = text.count("\n", 0, match.end()) + 2
            parts.append(f'\n#line {line} "probes/{shown}"')
        at = match.end()
    parts.append(text[at:])
    if parts[-1] and not parts[-1].endswith("\n"):
        raise KernelError(f"probes/{path} does not end with a newline")
    return "".join(parts)
