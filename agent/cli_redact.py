"""`zerospan redact-check`: what would leave of somebody's own samples."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final

import click

from agent import redaction
from agent.config import load
from agent.errors import ConfigError
from agent.redaction import Policy
from agent.sql import DIALECTS, dialect_of, split_comment, statement

LEAK_EXIT: Final = 4
"""A part of a sample that was marked as secret came through."""

MAX_SAMPLES_BYTES: Final = 64 * 1024 * 1024

STORES: Final = ("redis", "memcached")
SYSTEMS: Final = (*DIALECTS, *STORES)
_KEYS = {"url": "url.full", "text": "zerospan.sample", "system": "db.query.text"}


@click.command(name="redact-check")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--system", type=click.Choice(SYSTEMS), help="The samples are statements or commands of this database.")  # fmt: skip
@click.option("--key", help="The attribute that the samples are values of, for the rules of the file.")  # fmt: skip
@click.option("--config", "path", type=click.Path(path_type=Path), help="YAML file of settings, whose rules are applied.")  # fmt: skip
def redact_check(file: Path, system: str | None, key: str | None, path: Path | None) -> None:
    """Show what would leave of the samples in FILE, one a line.

    A line is a statement or command where --system says of which database, else a URL or a path if it begins like one,
    else any text. What stands between {{ and }} is marked as secret: if it comes through, the exit code is 4.
    """
    policy = Policy(load(flags={}, environment=os.environ, path=path).redaction)
    leaks = 0
    for number, line in enumerate(_lines(file), 1):
        if not line.strip():
            continue
        sample, secrets = unmarked(line)
        after = redacted(sample, policy, system=system, key=key)
        click.echo(f"{number} < {redaction.text(sample)}")
        click.echo(f"{number} > {after}")
        found = [secret for secret in secrets if secret in after]
        leaks += len(found)
        if found:
            click.echo(f"{number} ! {len(found)} of {len(secrets)} marked secrets came through")
    if leaks:
        click.echo(f"zerospan: {leaks} marked secrets came through", err=True)
        sys.exit(LEAK_EXIT)


def unmarked(line: bytes) -> tuple[bytes, list[str]]:
    """The line without its marks, and what stood between them."""
    parts = line.split(b"{{")
    sample, secrets = parts[0], []
    for part in parts[1:]:
        secret, closing, rest = part.partition(b"}}")
        sample += secret + rest if closing else b"{{" + part
        if closing and secret:
            secrets.append(secret.decode("utf-8", "replace"))
    return sample, secrets


def redacted(sample: bytes, policy: Policy, *, system: str | None, key: str | None) -> str:
    """What would leave of one sample, as the value of the attribute `key`, or of the one that is usual for its kind."""
    if system in STORES:
        kind, text = "system", redaction.command(sample.split(), system)
    elif system is not None:
        bare, _ = split_comment(sample)
        kind, text = "system", statement(bare, dialect_of(system)).text
    elif sample.startswith(b"/") or b"://" in sample.partition(b" ")[0]:
        kind, text = "url", url(sample)
    else:
        kind, text = "text", redaction.text(sample)
    left = policy.value(key or _KEYS[kind], text)
    return "(dropped)" if left is None else str(left)


def url(raw: bytes) -> str:
    """An absolute URL or a path as it would leave."""
    scheme, has_scheme, rest = raw.partition(b"://")
    begin = ""
    if has_scheme and not raw.startswith(b"/"):
        authority, slash, path = rest.partition(b"/")
        begin = f"{redaction.text(scheme, 32)}://{redaction.authority(authority)}"
        raw = slash + path
    path, question, query = raw.partition(b"#")[0].partition(b"?")
    shown = begin + redaction.path(path)
    return f"{shown}?{redaction.query(query)}" if question else shown


def _lines(file: Path) -> list[bytes]:
    try:
        with file.open("rb") as samples:
            return samples.read(MAX_SAMPLES_BYTES).splitlines()
    except OSError as error:
        raise ConfigError(f"cannot read the samples {file}: {error.strerror}") from error
