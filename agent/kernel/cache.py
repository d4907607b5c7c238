"""Compiled programs, kept from one start to the next.

Compiling is most of a start, and its result depends on nothing but the text, the constants of this kernel, and bcc. What
is kept would be loaded into the kernel, so it is read only from a directory of root's that nobody else may enter, and
only if the file is root's and nobody else may write it. (The kernel's verifier looks at it as at any program.) Whatever is wrong
with the directory or a file, there is no cache: compiling is always possible.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Final

from agent.kernel.compiled import Compiled

if TYPE_CHECKING:
    from collections.abc import Sequence

DIRECTORY: Final = Path("/var/cache/zerospan")
LIBRARY_FOLDERS: Final = (
    Path("/usr/lib/x86_64-linux-gnu"),
    Path("/usr/lib/aarch64-linux-gnu"),
    Path("/usr/lib64"),
    Path("/usr/lib"),
    Path("/usr/local/lib"),
)
KEPT: Final = 4
"""Files: of several kernels, or settings, of one machine."""
MAX_BYTES: Final = 1 << 20
_FORMAT: Final = "1"


def key_of(text: str, flags: Sequence[str], compiler: str) -> str:
    """The name of what this compiler makes of this text with these flags."""
    parts = (_FORMAT, compiler, text, *sorted(flags))
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def compiler_identity(library: str, folders: Sequence[Path] = LIBRARY_FOLDERS) -> str | None:
    """The library's file, its size and time; None if it is in none of the usual places."""
    for folder in folders:
        with contextlib.suppress(OSError):
            path = (folder / library).resolve(strict=True)
            found = path.stat()
            return f"{path} {found.st_size} {found.st_mtime_ns}"
    return None


def is_private(found: os.stat_result) -> bool:
    """Whether it is ours (root's, as a rule) and nobody else may write it, or enter it."""
    others = 0o077 if stat.S_ISDIR(found.st_mode) else 0o022
    return found.st_uid == os.geteuid() and not found.st_mode & others


def read(key: str, directory: Path = DIRECTORY) -> Compiled | None:
    """What is kept under a key; None if nothing is, or nothing that may be trusted."""
    try:
        if not _is_ours(directory):
            return None
        descriptor = os.open(directory / key, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode) or not is_private(found):
                return None
            digest, _, text = file.read(MAX_BYTES).partition(b"\n")
        if digest != _digest(text):
            return None
        return Compiled.from_json(text)
    except (OSError, ValueError, TypeError, AttributeError):
        return None


def write(key: str, compiled: Compiled, directory: Path = DIRECTORY) -> None:
    """Keep it; the oldest of more than KEPT goes. Nothing happens where that is not possible."""
    text = compiled.to_json()
    with contextlib.suppress(OSError):
        with contextlib.suppress(FileExistsError):
            directory.mkdir(mode=0o700)
        if not _is_ours(directory) or len(text) >= MAX_BYTES // 2:
            return
        unfinished = directory / f"{key}.{os.getpid()}"
        descriptor = os.open(
            unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600
        )
        with os.fdopen(descriptor, "wb") as file:
            file.write(_digest(text) + b"\n" + text)
        unfinished.replace(directory / key)
        by_age = sorted(directory.iterdir(), key=lambda path: path.lstat().st_mtime_ns)
        for path in by_age[:-KEPT]:
            path.unlink()


def has_any(directory: Path = DIRECTORY) -> bool:
    """Whether it may be worth asking before the compiler is loaded."""
    try:
        return any(directory.iterdir())
    except OSError:
        return False


def _digest(text: bytes) -> bytes:
    """Against files that were cut, as by a full disk."""
    return hashlib.sha256(text).hexdigest().encode()


def _is_ours(directory: Path) -> bool:
    found = directory.lstat()
    return stat.S_ISDIR(found.st_mode) and is_private(found)
