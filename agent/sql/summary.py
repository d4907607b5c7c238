"""What a statement does, in a few words: its operations and their targets, in order.

    SELECT * FROM users u JOIN orders o ON …           SELECT users orders
    INSERT INTO a (x) SELECT x FROM b                  INSERT a SELECT b
    WITH n AS (SELECT 1 FROM t) UPDATE u SET …         SELECT t UPDATE u
    CALL refresh(?)                                    CALL refresh

As in "Generating a summary of the query" of the stable semantic conventions for databases: words as they were written,
quotes kept, at most 255 characters, no cut word. What only names a part of the statement itself (an alias, a common
table expression, a savepoint, a cursor) is no target.

It is read from text without literals (agent/sql/literals.py), by a walk over its words. This is no parser: what it
does not know it leaves out, and a statement that begins with no known word has no summary.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

MAX_SUMMARY: Final = 255
"""Characters, as the conventions have it."""
MAX_TOKENS: Final = 2048
"""Of a statement: as many as 4 KB of text without literals can hold, nearly."""
MAX_DEPTH: Final = 64
"""Parentheses whose state is kept; what lies deeper belongs to the innermost."""

_PART = r"(?:\"[^\"]*+\"|`[^`]*+`|\[[^\]\[]*+\]|[\w$#@\x80-\U0010ffff]++)"
_TOKEN = re.compile(rf"{_PART}(?: ?\. ?{_PART})*|[(),;?=*:%]")


def _words(names: str) -> frozenset[str]:
    return frozenset(names.split())


_VERBS_ALONE = _words(
    "BEGIN COMMIT ROLLBACK ABORT END SAVEPOINT RELEASE SET SHOW RESET DISCARD CHECKPOINT GRANT REVOKE DECLARE FETCH "
    "MOVE CLOSE OPEN DEALLOCATE LISTEN UNLISTEN NOTIFY KILL FLUSH HELP DO VALUES PRAGMA ATTACH DETACH REINDEX XA UNLOAD "
    "HANDLER PURGE CHANGE IMPORT SECURITY SIGNAL PRINT WAITFOR IF WHILE BACKUP RESTORE COMMENT REFRESH"
)
_VERBS_BEFORE_TARGET = _words(
    "INSERT REPLACE UPDATE MERGE TRUNCATE COPY LOCK VACUUM ANALYZE ANALYSE DESCRIBE DESC USE TABLE CLUSTER LOAD "
    "OPTIMIZE CHECK REPAIR RENAME UPSERT"
)
_CALLS = _words("CALL EXEC EXECUTE")
_DEFINITIONS = _words("CREATE ALTER DROP")
_KINDS = _words(
    "TABLE VIEW INDEX DATABASE SCHEMA SEQUENCE FUNCTION PROCEDURE TRIGGER TYPE ROLE USER EXTENSION DOMAIN POLICY RULE SERVER "
    "PUBLICATION SUBSCRIPTION TABLESPACE COLLATION CAST OPERATOR AGGREGATE EVENT LOGIN SYNONYM PACKAGE COLUMN SYSTEM STATISTICS"
)
_COLLECTIONS = _words("TABLE VIEW")
_MODIFIERS = _words(
    "OR REPLACE TEMP TEMPORARY GLOBAL LOCAL UNLOGGED UNIQUE MATERIALIZED RECURSIVE EXTERNAL FOREIGN CONCURRENTLY IF NOT "
    "EXISTS VIRTUAL FULLTEXT SPATIAL CLUSTERED NONCLUSTERED ONLINE PUBLIC EDITIONABLE NONEDITIONABLE EVENT DEFINER"
)
_BEFORE_NAME = _words(
    "INTO ONLY TABLE TABLES LOW_PRIORITY HIGH_PRIORITY DELAYED QUICK IGNORE OVERWRITE OR ABORT FAIL ROLLBACK REPLACE LATERAL "
    "FULL FREEZE VERBOSE ANALYZE IF NOT EXISTS IMMEDIATE CONCURRENTLY DATA LOCAL INFILE EXTENDED FORMATTED TOP PERCENT ALL"
)
_END_OF_LIST = _words(
    "WHERE SET GROUP ORDER HAVING LIMIT UNION EXCEPT INTERSECT VALUES RETURNING WINDOW FETCH FOR OFFSET ON WHEN OUTPUT CONNECT "
    "START QUALIFY TABLESAMPLE PARTITION DO"
)
_JOIN_WORDS = _words("JOIN STRAIGHT_JOIN APPLY")
_OWN_FROM = _words("EXTRACT SUBSTRING TRIM OVERLAY POSITION SUBSTR LTRIM RTRIM")
_NO_FROM = _words("COPY FETCH MOVE REVOKE SHOW LOAD DEALLOCATE PREPARE")
_AFTER_EXPLAIN = _words(
    "ANALYZE ANALYSE VERBOSE EXTENDED PLAN QUERY FOR PARTITIONS FORMAT TREE JSON TRADITIONAL"
)
_NESTED_VERBS = _words("INSERT UPDATE DELETE MERGE REPLACE")
_BEFORE_NESTED = _words("( ) AS")


@dataclass(frozen=True, slots=True)
class Summary:
    """What a statement, or several with `;` between, does. Empty where it is not known, or where there is no single one."""

    text: str = ""
    """db.query.summary, and the span's name."""
    operation: str = ""
    """db.operation.name."""
    collection: str = ""
    """db.collection.name."""
    procedure: str = ""
    """db.stored_procedure.name."""
    batch_size: int = 0
    """db.operation.batch.size: statements in the text, where there are two or more."""


def summarize(text: str) -> Summary:
    """The summary of a text without literals."""
    found = _TOKEN.findall(text)[:MAX_TOKENS]
    statements = [reader for part in _statements(found) if (reader := _Reader(part)).read().words]
    if not statements:
        return Summary()
    if len(statements) == 1:
        only = statements[0]
        procedures = only.targets if only.is_call else []
        return Summary(
            _joined([only.words]),
            _single(only.operations),
            "" if only.is_call or only.is_definition else _single(only.targets),
            _single(procedures),
        )
    operation = _single([word for reader in statements for word in reader.operations[:1]])
    collections = [
        _single(reader.targets) if not (reader.is_call or reader.is_definition) else ""
        for reader in statements
    ]
    return Summary(
        _joined([reader.words for reader in statements]),
        f"BATCH {operation}" if operation else "BATCH",
        _single(collections),
        "",
        len(statements),
    )


def _statements(tokens: list[str]) -> list[list[str]]:
    parts: list[list[str]] = [[]]
    for word in tokens:
        if word == ";":
            parts.append([])
        else:
            parts[-1].append(word)
    return [part for part in parts if part]


def _single(words: list[str]) -> str:
    """The word that all of them are, whatever their case; empty if they differ."""
    return words[0] if words and len({word.casefold() for word in words}) == 1 else ""


def _joined(statements: list[list[str]]) -> str:
    """All words; a statement that repeats the one before is told once."""
    out = ""
    before: list[str] = []
    for words in statements:
        if words == before:
            continue
        before = words
        for word in words:
            if len(out) + len(word) >= MAX_SUMMARY:
                return out
            out = f"{out} {word}" if out else word
    return out


class _Reader:
    """One statement's walk. A level is what is between two parentheses."""

    def __init__(self, tokens: list[str]) -> None:
        self.tokens = tokens
        self.words: list[str] = []
        """Operations and targets, in order."""
        self.operations: list[str] = []
        self.targets: list[str] = []
        self.is_call = False
        self.is_definition = False
        """Its target is no table or view."""
        self._names: set[str] = set()
        """Common table expressions."""
        self._verb = ""
        """The last operation, in capitals."""
        self._wants = ""
        """What the next name is: a `table` of a list that FROM or JOIN opened, a `target`, the name of a `with`."""
        self._is_list = False
        """A comma brings another table."""
        self._ignores_from = False
        self._has_with = False
        self._levels: list[tuple[bool, bool, str, bool]] = []

    def read(self) -> _Reader:
        """Walk to the end."""
        at = self._start(0)
        while at < len(self.tokens):
            word = self.tokens[at]
            if word in "(),?=*:%":
                self._punctuation(word, at)
                at += 1
            else:
                at = self._word(word, word.upper(), at)
        return self

    def _start(self, at: int) -> int:
        """A statement's first words; gives where the rest begins."""
        while at < len(self.tokens) and self.tokens[at] == "(":
            at += 1
        if at >= len(self.tokens):  # beyond: what was opened may not be closed
            return at
        word = self.tokens[at]
        upper = word.upper()
        if upper == "EXPLAIN":
            return self._explain(at)
        if upper == "WITH":
            self._wants = "with"
            self._has_with = True
            return at + 1
        if upper == "START" and self._upper(at + 1) == "TRANSACTION":
            self._operation(f"{word} {self.tokens[at + 1]}")
            return len(self.tokens)
        if upper == "PREPARE":
            self._operation(word)
            # The name is the session's own, and AS or FROM comes before what is prepared.
            return self._start(at + 3) if self._upper(at + 2) == "AS" else len(self.tokens)
        return self._define(at) if upper in _DEFINITIONS else self._verb_at(word, upper, at)

    def _verb_at(self, word: str, upper: str, at: int) -> int:
        """An operation that stands where one may stand."""
        if upper in _CALLS:
            self._operation(word)
            self.is_call = True
            # EXEC @result = procedure
            at += 3 if self._upper(at + 1).startswith("@") and self._upper(at + 2) == "=" else 1
            self._wants = "target"
            return at
        if upper in ("SELECT", "DELETE"):
            self._operation(word)
            return at + 1
        if upper in _VERBS_BEFORE_TARGET:
            self._operation(word)
            self._ignores_from = upper in _NO_FROM
            self._wants = "target"
            self._is_list = upper in ("UPDATE", "TRUNCATE", "LOCK", "VACUUM", "ANALYZE")
            return at + 1
        if upper in _VERBS_ALONE:
            self._operation(word)
            self._ignores_from = upper in _NO_FROM
            # A cursor is declared FOR a query; of all others nothing more is told.
            return at + 1 if upper == "DECLARE" else len(self.tokens)
        return len(self.tokens)

    def _explain(self, at: int) -> int:
        self._operation(self.tokens[at])
        at += 1
        if self._upper(at) == "(":
            while at < len(self.tokens) and self.tokens[at] != ")":
                at += 1
            at += 1
        while self._upper(at) in _AFTER_EXPLAIN or self._upper(at) == "=":
            at += 1
        return self._start(at)

    def _define(self, at: int) -> int:
        """CREATE TABLE IF NOT EXISTS name"""
        verb = self.tokens[at]
        at += 1
        while self._upper(at) in _MODIFIERS and self._upper(at + 1) not in ("(", ""):
            at += 1
        kind = self._upper(at)
        if kind not in _KINDS:
            self._operation(verb)
            return len(self.tokens)
        self._operation(f"{verb} {self.tokens[at]}")
        self._ignores_from = True
        self.is_definition = kind not in _COLLECTIONS
        at += 1
        while self._upper(at) in _MODIFIERS:
            at += 1
        self._wants = "target" if kind != "INDEX" or self._upper(at) != "ON" else ""
        return at

    def _word(self, token: str, upper: str, at: int) -> int:
        """A word in the middle; gives where to go on."""
        before = self._upper(at - 1) if at else ""
        if upper == "SELECT":
            self._operation(token)
            self._ignores_from = self._is_list = False
            self._wants = ""
        elif upper == "WITH" and (
            self._upper(at + 1) == "RECURSIVE" or self._upper(at + 2) in ("AS", "(")
        ):
            self._wants = "with"
            self._has_with = True
        elif upper in _NESTED_VERBS and before in _BEFORE_NESTED and self._upper(at + 1) != "(":
            self._ignores_from = False
            return self._verb_at(token, upper, at)
        elif self._wants and upper not in _BEFORE_NAME and upper not in _END_OF_LIST:
            self._name(token, upper, at)
        else:
            self._keyword(upper, before)
        return at + 1

    def _keyword(self, upper: str, before: str) -> None:
        if upper == "FROM":
            if not self._ignores_from and before != "DISTINCT":
                self._wants = "table"
                self._is_list = True
        elif upper in _JOIN_WORDS:
            self._wants = "table"
            self._is_list = True
        elif upper == "INTO":
            self._wants = "target"
        elif upper == "USING" and self._verb in ("DELETE", "MERGE"):
            self._wants = "table"
            self._is_list = True
        elif upper in _END_OF_LIST:
            self._wants = ""
            self._is_list = False

    def _name(self, token: str, upper: str, at: int) -> None:
        """The name that was wanted."""
        wanted, self._wants = self._wants, ""
        if wanted == "with":
            if upper == "RECURSIVE":
                self._wants = "with"
            else:
                self._names.add(_plain(token))
        elif upper in ("OUTFILE", "DUMPFILE", "STDIN", "STDOUT") or token[0] in "@#:":
            return
        elif wanted == "table" and self._upper(at + 1) == "(":
            return  # a function that gives rows
        elif _plain(token) not in self._names and not token[0].isdigit():
            self.targets.append(token)
            self.words.append(token)

    def _punctuation(self, mark: str, at: int) -> None:
        if mark == "(":
            before = self._upper(at - 1) if at else ""
            if len(self._levels) < MAX_DEPTH:
                self._levels.append((self._is_list, self._ignores_from, self._verb, self._has_with))
            self._has_with = False
            self._ignores_from = self._ignores_from or before in _OWN_FROM
            if self._wants != "table":
                self._is_list = False
                self._wants = ""
        elif mark == ")":
            self._wants = ""
            if self._levels:
                self._is_list, self._ignores_from, self._verb, self._has_with = self._levels.pop()
        elif mark == ",":
            if self._is_list:
                self._wants = "table"
            elif self._has_with and self._upper(at - 1) == ")":
                self._wants = "with"
        elif self._wants != "with":
            self._wants = ""

    def _operation(self, word: str) -> None:
        self._verb = word.upper()
        self.operations.append(word)
        self.words.append(word)

    def _upper(self, at: int) -> str:
        return self.tokens[at].upper() if 0 <= at < len(self.tokens) else ""


def _plain(name: str) -> str:
    return name.strip('"`[]').casefold()
