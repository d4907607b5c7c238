"""What can go wrong, and who catches it.

AgentError
├─ ConfigError          cli: exit 2, one sentence with the setting's name
├─ KernelError          cli: exit 1
│  ├─ LayoutError       a header or a .toml in probes/ cannot be read; names the field
│  ├─ CompileError      with the compiler's text
│  ├─ LoadError         with the tail of the verifier's log and the program's name
│  ├─ AttachError       a required hook is missing; lists the hooks tried
│  └─ TrialError        daemon: contexts are not propagated, and it says why
├─ RecordingError       cli: exit 3; the file is no recording, or one of another layout
├─ SpanFileError        cli: exit 2; a file of spans is none (names the line), or lacks the trace that was asked for
├─ StoreError           cli: exit 3; the store is missing, no store, of a newer version, or in use
├─ QueryError           cli: exit 2; a query is wrong, and where
├─ ProtocolError        session: what is under way is given up, count
│  └─ Gap               session: likewise, bytes being missing
└─ ExportError          batch: retry or drop, count; knows whether a retry can help
"""

from __future__ import annotations


class AgentError(Exception):
    """Anything that zerospan reports in one sentence."""


class ConfigError(AgentError):
    """A flag, an environment variable or the configuration file is wrong."""


class KernelError(AgentError):
    """This kernel or machine does not do what was asked."""


class LayoutError(KernelError):
    """A layout or a description in probes/ cannot be read."""


class CompileError(KernelError):
    """The BPF program text does not compile."""


class LoadError(KernelError):
    """The kernel refused a program or a map."""


class AttachError(KernelError):
    """A required hook does not exist here."""


class TrialError(KernelError):
    """Sockets would not work as they should with what was asked for."""


class RecordingError(AgentError):
    """A file is not a recording, or one that this version cannot read."""


class SpanFileError(AgentError):
    """A file of spans cannot be read, or has not what was asked for."""


class StoreError(AgentError):
    """A store of traces cannot be opened, read or written."""


class QueryError(AgentError):
    """A query is not understood."""

    def __init__(self, message: str, *, column: int) -> None:
        super().__init__(f"column {column}: {message}")
        self.column = column
        """Where in the query's text, from 1."""


class ProtocolError(AgentError):
    """Bytes that the protocol does not allow."""


class Gap(ProtocolError):  # noqa: N818  (named for what happened)
    """Bytes that are needed were not captured."""


class ExportError(AgentError):
    """A batch could not be delivered."""

    def __init__(
        self, message: str, *, cause: str, retry: bool, retry_after_s: float | None = None
    ) -> None:
        super().__init__(message)
        self.cause = cause
        """Short and of few values: the key under which the ledger counts the loss."""
        self.retry = retry
        """Whether sending the same bytes again may succeed."""
        self.retry_after_s = retry_after_s
        """What the receiver asked for (RFC 9110 §10.2.3); None if it did not say."""
