"""What begins and ends a literal, a name and a comment in each database system.

A wrong guess about quoting turns a statement inside out: what follows is then shown where it should be hidden. So a
dialect states what is known, and where nothing is known (another system, an option that changes the meaning of a
backslash, a character set that hides one) everything from the doubtful place on is a value.

Sources: Cassandra 4.1's CQL grammar (Lexer.g); PostgreSQL 16 §4.1 and its src/backend/parser/scan.l; MySQL 8.4 §11.1 and MariaDB's knowledge base; Oracle 23
SQL Language Reference, Literals; Transact-SQL reference, Constants; https://sqlite.org/lang_expr.html and
https://sqlite.org/quirks.html.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

# Of possessive quantifiers only those of a single character class are used here and in what stands on this: those of
# groups are wrong in CPython before 3.11.5 (gh-106052), which Debian 12 has.

# What may stand in a name, so that a letter before a quote is the end of a name and no prefix.
_NAME = r"\w$\x80-\U0010ffff"

# A string: without a backslash's special meaning; with it; and with an unknown one, where a backslash before a quote
# takes all the rest. An end that does not come is the end of the text.
_PLAIN = r"{q}[^{q}]*+(?:{q}{q}[^{q}]*+)*{q}?"
_ESCAPED = r"{q}[^{q}\\]*+(?:(?:\\.|{q}{q})[^{q}\\]*+)*(?:{q}|\\)?"
_UNKNOWN = r"{q}[^{q}\\]*+(?:(?:{q}{q}|\\[^{q}])[^{q}\\]*+)*(?:{q}|\\.*+)?"

# PostgreSQL's whitespace_with_newline (scan.l): between the parts of one string; on one line they would be two.
_CONTINUED = r"(?:[ \t\f\v]|--[^\n\r]*+)*[\n\r](?:[ \t\n\r\f\v]|--[^\n\r]*+[\n\r])*"
# Oracle's q'[…]' and nq'!…!': the end is the delimiter's partner before a quote.
_Q_PREFIX = rf"(?:[qQ](?<![{_NAME}][qQ])|[nN][qQ](?<![{_NAME}][nN][qQ]))"
_Q_STRING = (
    r"\[.*?(?:\]'|\Z)|\{.*?(?:\}'|\Z)|\(.*?(?:\)'|\Z)|<.*?(?:>'|\Z)"
    r"|(?P<delimiter>[^\s\[{(<]).*?(?:(?P=delimiter)'|\Z)|\Z"
)


@dataclass(frozen=True, eq=False)
class Dialect:
    """How one system reads a statement. Compared by identity; there are few."""

    system: str
    """db.system.name."""
    backslash: bool | None = False
    """Whether it escapes in ordinary strings; None: unknown."""
    has_string_in_double_quotes: bool = False
    """Otherwise a name stands there."""
    has_brackets: bool = False
    """Names in `[…]`."""
    has_backticks: bool = False
    has_dollar_quotes: bool = False
    has_escape_strings: bool = False
    """E'…', in which a backslash escapes."""
    has_q_strings: bool = False
    has_hash_comments: bool = False
    has_dashes_with_space: bool = False
    """`--` begins a comment only before white space."""
    has_executable_comments: bool = False
    has_nested_comments: bool = False
    has_slash_comments: bool = False
    """`//` to the end of the line."""
    has_uuids: bool = False
    """Without quotes."""
    placeholders: str = ""
    """What stands before the number of a parameter."""
    is_known: bool = True

    def with_backslash(self, *, escapes: bool) -> Dialect:
        """The same where the session says what a backslash means.

        PostgreSQL reports `standard_conforming_strings`, MySQL the status SERVER_STATUS_NO_BACKSLASH_ESCAPES.
        """
        if escapes == self.backslash:
            return self
        return self._literal_backslash if not escapes else self._escaping_backslash

    def with_unknown_backslash(self) -> Dialect:
        """The same where nobody says what a backslash means."""
        return self if self.backslash is None else self._unknown_backslash

    @cached_property
    def tokens(self) -> re.Pattern[str]:
        """Everything that is not copied as it is. The group's name is the kind: `string`, `name`, `number`, `keep`,
        `space`, `block` (a comment that may nest), `rest`."""
        return re.compile("|".join(self._alternatives()), re.DOTALL)

    @cached_property
    def starts(self) -> re.Pattern[str]:
        """The first characters of tokens; of a string with a prefix, its quote."""
        chars = r"'\d.\-/"
        chars += r"\"`" if self.has_backticks else r"\""
        chars += "$" if self.has_dollar_quotes else ""
        chars += r"\[" if self.has_brackets else ""
        chars += "#" if self.has_hash_comments else ""
        chars += "*" if self.has_executable_comments else ""
        chars += "" if self.is_known else r"#\[`$"
        return re.compile(f"[{chars}{self.placeholders}]")

    @cached_property
    def is_plain(self) -> bool:
        """Whether a statement without its special characters may take the short way (agent/sql/literals.py)."""
        return self.is_known and self.backslash is not None

    @cached_property
    def _literal_backslash(self) -> Dialect:
        return replace(self, backslash=False)

    @cached_property
    def _escaping_backslash(self) -> Dialect:
        return replace(self, backslash=True)

    @cached_property
    def _unknown_backslash(self) -> Dialect:
        return replace(self, backslash=None)

    def _alternatives(self) -> list[str]:
        """In the order in which they are tried at one place."""
        body = {True: _ESCAPED, False: _PLAIN, None: _UNKNOWN}[self.backslash]
        strings = [rf"(?:[nNbBxX](?<![{_NAME}][nNbBxX]))?{body.format(q=chr(39))}"]
        strings += [rf"[uU]&(?<![{_NAME}][uU]&){_PLAIN.format(q=chr(39))}"]
        names = []
        found = []
        if self.has_escape_strings:
            # A string on the next line goes on in the same way.
            string = _ESCAPED.format(q="'")
            strings.insert(0, rf"[eE](?<![{_NAME}][eE]){string}(?:{_CONTINUED}{string})*")
        if self.has_q_strings:
            strings.insert(0, rf"{_Q_PREFIX}'(?:{_Q_STRING})")
        if self.has_dollar_quotes:
            tag = r"(?:[^\W\d]\w*+)?"
            strings.append(rf"\$(?<![{_NAME}]\$)(?P<tag>{tag})\$.*?(?:\$(?P=tag)\$|\Z)")
        if self.has_string_in_double_quotes:
            strings.append(body.format(q='"'))
        else:
            names.append(_PLAIN.format(q='"'))
        if self.has_backticks:
            names.append(_PLAIN.format(q="`"))
        if self.has_brackets:
            names.append(r"\[[^\]]*+(?:\]\][^\]]*+)*\]?")
        if not self.is_known:
            found.append("(?P<rest>" + "|".join(_DOUBTFUL) + ")")
        found.append(f"(?P<string>{'|'.join(strings)})")
        found.append(f"(?P<name>{'|'.join(names)})" if names else "(?P<name>(?!))")
        found.extend(self._comments())
        if self.placeholders:
            found.append(
                rf"(?P<keep>[{self.placeholders}](?<![\w{self.placeholders}].)\d{{1,5}}(?![\w.]))"
            )
        # A number with all that is glued to it.
        found.append(
            rf"(?P<number>(?:\.(?<![\w\"`\]]\.)\d|\d(?<![\w\x80-\U0010ffff]\d))[{_NAME}.]*+(?:(?<=[eE])[+-]\d[\w.]*+)?)"
        )
        return found

    def _comments(self) -> list[str]:
        lines = [r"--(?=[\s\x00-\x1f]|\Z)[^\n]*+" if self.has_dashes_with_space else r"--[^\n\r]*+"]
        if self.has_hash_comments:
            lines.append(r"\#[^\n]*+")
        if self.has_slash_comments:
            lines.append(r"//[^\n\r]*+")
        if self.has_executable_comments:
            # What is in it is executed by MySQL, so it is read; both ends count as space.
            lines.append(r"/\*M?!\d*+|\*/")
        return [f"(?P<space>{'|'.join(lines)})", r"(?P<block>/\*)"]


# What some systems take for one thing and some for another: all from there on is a value.
_DOUBTFUL = (
    r"--(?![\s]|\Z).*+",
    r"--[^\n\r]*+\r(?!\n).*+",
    r"\#.*+",
    r"\[[^\[\]'\"]*+['\"].*+",
    rf"{_Q_PREFIX}'.*+",
    r"`[^`'\"]*+['\"].*+",
    r"\$(?:[^\W\d]\w*+)?\$.*+",
    r"/\*M?!.*+",
    r"/\*[^*/]*+(?:(?:\*(?!/)|/(?!\*))[^*/]*+)*/\*.*+",
)

_POSTGRESQL = {
    "has_dollar_quotes": True,
    "has_escape_strings": True,
    "has_nested_comments": True,
    "placeholders": "$",
}
_MYSQL = {
    "has_string_in_double_quotes": True,
    "has_backticks": True,
    "has_hash_comments": True,
    "has_dashes_with_space": True,
    "has_executable_comments": True,
}

DIALECTS: Final = {
    dialect.system: dialect
    for dialect in (
        *(
            Dialect(system, **_POSTGRESQL)  # type: ignore[arg-type]  # facts by name
            for system in ("postgresql", "cockroachdb", "aws.redshift")
        ),
        *(
            Dialect(system, backslash=True, **_MYSQL)  # type: ignore[arg-type]
            for system in ("mysql", "mariadb")
        ),
        Dialect("cassandra", has_dollar_quotes=True, has_slash_comments=True, has_uuids=True),
        Dialect("oracle.db", has_q_strings=True, placeholders=":"),
        Dialect(
            "microsoft.sql_server", has_brackets=True, has_nested_comments=True, placeholders="@"
        ),
        Dialect("sqlite", has_brackets=True, has_backticks=True, placeholders="?:@$"),
        Dialect(
            "other_sql",
            backslash=None,
            has_string_in_double_quotes=True,
            has_escape_strings=True,
            placeholders="$:?",
            is_known=False,
        ),
    )
}
"""By db.system.name."""


def dialect_of(system: str) -> Dialect:
    """The dialect of a db.system.name; the careful one of a system that is not known."""
    return DIALECTS.get(system, DIALECTS["other_sql"])
