"""Route templates, learnt per service: `/orders/4711` becomes `/orders/{id}`.

Nobody tells us a program's routes, so they are learnt from the paths that pass. A segment that looks like a value
(number, UUID, hash, date, e-mail, long token, escaped or non-ASCII text) is `{id}` at once. Other segments are
literals, kept in a tree by position; where one position under the same prefix shows more than MAX_LITERALS of them,
they were values after all, and collapse into `{id}`. File names collapse earlier, into `{file}`.

Whatever comes, a service has at most `limit` templates: further paths get none and are counted in `counts`. The
tree holds nothing but templates, so it is bounded too.

The fast path: with every digit turned into `0`, paths of one route become few shapes, and a dict of them answers.
What a segment looks like depends on its shape alone, so a shape stands for one template, unless a literal has
digits: `/v1/` and `/v2/` share a shape. Such an entry holds the slice of the path to look at.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

MAX_TEMPLATES: Final = 200
"""Default bound of a service's templates: more than span names are useful for, and what peers settled on."""
MAX_LITERALS: Final = 40
"""Literals at one position: few APIs have more resources under one prefix, any set of user names has."""
MAX_FILES: Final = 8
"""File names at one position."""
MAX_DEPTH: Final = 16
"""Segments of a path that gets a template."""
MAX_LITERAL: Final = 48
"""Bytes of a literal; longer ones are values."""
MAX_SHAPES: Final = 2048
"""Shapes remembered, each of at most MAX_SHAPE bytes; forgotten all at once beyond that."""
MAX_SHAPE: Final = 256

DIGITS_COLLAPSED: Final = bytes(0x30 if 0x30 <= byte <= 0x39 else byte for byte in range(256))
"""For bytes.translate: every digit becomes 0."""

# Each alternative looks at classes that treat all digits alike: the fast path relies on it.
_VALUE = re.compile(
    rb"""
      [0-9]+(?:[-_.:,T+Z]+[0-9]*)*      # a number, a date, a time, a range
    | [0-9A-Fa-f]{8}-[0-9A-Fa-f-]{27}   # a UUID
    | (?=[a-fA-F]*[0-9])[0-9A-Fa-f]{8,} # a hash
    | .*[0-9]{4}.*                      # order-10023
    | (?=[^0-9]*[0-9]).{20,}            # a token
    | .*[^A-Za-z0-9\-._~!$&'()*+,;=:].* # escapes, non-ASCII, e-mail addresses
    """,
    re.VERBOSE | re.DOTALL,
)
_FILE = re.compile(
    rb"[A-Za-z0-9\-._~!$&'()*+,;=:]*[A-Za-z0-9\-_~!$&'()*+,;=:]\.[A-Za-z][A-Za-z0-9]{0,5}"
)
# Values whose shapes come again: digits, perhaps after a word. The letters of a hash or a UUID hardly do.
_RECURRING = re.compile(rb"[A-Za-z]{0,12}[0-9\-_.:,+]+")
_DIGIT = re.compile(rb"[0-9]")
# Segments that are numbers or UUIDs. "#" stands for them: it occurs in no literal, so a segment of it is a value too.
_NUMBER = re.compile(rb"/[0-9]+(?=/|\Z)")
_UUID = re.compile(rb"/[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}(?=/|\Z)")

ID: Final = "{id}"
FILE: Final = "{file}"


@dataclass(slots=True)
class _Node:
    """One position under one prefix."""

    template: str | None = None
    """Set where a path ended here."""
    children: dict[bytes, _Node] = field(default_factory=dict)
    wildcards: dict[str, _Node] = field(default_factory=dict)
    collapsed: set[str] = field(default_factory=set)
    """Wildcards that stand for literals too."""
    files: int = 0
    """Children that are file names."""


@dataclass(slots=True)
class _Ambiguous:
    """A shape whose literals hold digits: the template depends on path[start:stop]."""

    start: int
    stop: int
    templates: dict[bytes, str] = field(default_factory=dict)


class Routes:
    """The templates of one service."""

    __slots__ = ("_numbered", "_root", "_shapes", "count", "counts", "kept", "limit", "renames")

    def __init__(self, *, limit: int = MAX_TEMPLATES, counts: Counter[str] | None = None) -> None:
        self.limit = limit
        self.count = 0
        """Templates learnt."""
        self.counts: Counter[str] = Counter() if counts is None else counts
        """routes_full: paths that got no template because there are too many, or because they are too deep."""
        self.renames = 0
        """How often templates changed that had been given before."""
        self.kept: dict[bytes, dict[Any, Any]] = {}
        """By `numbered`: what the users of templates keep for all paths of the same route (`kept_for`)."""
        self._root = _Node()
        self._shapes: dict[bytes, str | _Ambiguous] = {}
        self._numbered: dict[bytes, str] = {}
        """By path with "#" for numbers and UUIDs: a new shape is mostly that of a known route, with numbers of other lengths."""

    def template(self, path: bytes) -> str | None:
        """The template of a path, which is learnt from; None when there is no room for another one."""
        known = self._shapes.get(path.translate(DIGITS_COLLAPSED))
        if known.__class__ is str:
            return known  # the class test is twice as fast as isinstance
        if known is not None:
            hit = known.templates.get(path[known.start : known.stop])  # type: ignore[union-attr]
            if hit is not None:
                return hit
        return self._learn(path)

    def known(self, path: bytes) -> str | None:
        """The template of a path if it has one already: for paths that the service does not have (404)."""
        node: _Node | None = self._root
        for segment in _segments(path):
            if node is None:
                return None
            kind = _kind(segment)
            name = kind or ID
            is_wild = kind == ID or name in node.collapsed
            node = node.wildcards.get(name) if is_wild else node.children.get(segment)
        return None if node is None else node.template

    def kept_for(self, number: bytes, template: str) -> dict[Any, Any] | None:
        """Where one may keep what is the same for all paths that are `numbered` so, one of which has this template; None if
        there may be other templates among them. It is forgotten when templates change.
        """
        kept = self.kept.get(number)
        if kept is not None:
            return kept
        segments, names = number.split(b"/"), template.split("/")
        if len(segments) != len(names) or not all(
            segment in (b"", b"0") or (segment.isalpha() and name not in (ID, FILE))
            for segment, name in zip(segments, names, strict=True)
        ):
            return None
        if len(self.kept) >= MAX_SHAPES:
            self.kept.clear()
        kept = self.kept[number] = {}
        return kept

    def _learn(self, path: bytes) -> str | None:
        """The slow way: walk the tree, which grows, and remember the shape."""
        numbered = _NUMBER.sub(b"/#", path)
        has_uuid = False
        if b"-" in numbered:
            numbered, found = _UUID.subn(b"/#", numbered)
            has_uuid = found > 0
        template = self._numbered.get(numbered)
        if template is not None:
            if not has_uuid:  # the letters of one hardly come again
                self._add_shape(path.translate(DIGITS_COLLAPSED), template)
            return template
        segments = _segments(path)
        if len(segments) > MAX_DEPTH or (self.count >= self.limit and self.known(path) is None):
            self.counts["routes_full"] += 1
            return None
        node = self._root
        names: list[str] = []
        for segment in segments:
            node, name = self._step(node, segment)
            names.append(name)
        if node.template is None:
            node.template = "/".join(names)
            self.count += 1
        if len(path) <= MAX_SHAPE:
            self._remember(path, segments, names, node.template)
            if len(self._numbered) < MAX_SHAPES and all(
                segment in (b"", b"#") or (segment.isalpha() and name not in (ID, FILE))
                for segment, name in zip(numbered.split(b"/"), names, strict=True)
            ):
                self._numbered[numbered] = node.template
        return node.template

    def _step(self, node: _Node, segment: bytes) -> tuple[_Node, str]:
        """The next node for a segment, and the segment's name in a template."""
        kind = _kind(segment)
        name = kind or ID
        if kind == ID or name in node.collapsed:
            return node.wildcards.setdefault(name, _Node()), name
        literal = node.children.get(segment)
        if literal is None:
            return self._add_literal(node, segment, kind)
        return literal, segment.decode("ascii")

    def _add_literal(self, node: _Node, segment: bytes, kind: str | None) -> tuple[_Node, str]:
        """A new literal, or the wildcard that the position collapses into."""
        name = kind or ID
        is_file = kind == FILE
        if node.files < MAX_FILES if is_file else len(node.children) - node.files < MAX_LITERALS:
            node.files += is_file
            return node.children.setdefault(segment, _Node()), segment.decode("ascii")
        node.collapsed.add(name)
        wildcard = node.wildcards.setdefault(name, _Node())
        for literal in [each for each in node.children if _kind(each) == kind]:
            _merge(wildcard, node.children.pop(literal))
        node.files *= not is_file
        self._rename()
        return wildcard, name

    def _rename(self) -> None:
        """After a collapse: templates get their new text and are counted again."""
        self._shapes.clear()
        self.kept.clear()
        self._numbered.clear()
        self.renames += 1
        self.count = 0
        todo: list[tuple[_Node, list[str]]] = [(self._root, [])]
        while todo:
            node, names = todo.pop()
            if node.template is not None:
                node.template = "/".join(names)
                self.count += 1
            todo += [
                (child, [*names, each.decode("ascii")]) for each, child in node.children.items()
            ]
            todo += [(child, [*names, each]) for each, child in node.wildcards.items()]

    def _remember(
        self, path: bytes, segments: list[bytes], names: list[str], template: str
    ) -> None:
        """Answer the next path of this shape at once, if the shape is likely to come again and tells enough."""
        start = stop = position = 0
        is_value_between = False
        for segment, name in zip(segments, names, strict=True):
            if name in (ID, FILE):
                if _RECURRING.fullmatch(segment) is None:
                    return
                is_value_between = stop > 0
            elif _DIGIT.search(segment) is not None:
                if is_value_between:
                    return
                start = start if stop else position
                stop = position + len(segment)
            position += len(segment) + 1
        shape = path.translate(DIGITS_COLLAPSED)
        if stop == 0:
            self._add_shape(shape, template)
            return
        known = self._shapes.get(shape)
        if not isinstance(known, _Ambiguous):
            known = _Ambiguous(start, stop)
            self._add_shape(shape, known)
        # Under one prefix a position may have collapsed that is literal under another.
        if (known.start, known.stop) == (start, stop):
            known.templates[path[start:stop]] = template

    def _add_shape(self, shape: bytes, known: str | _Ambiguous) -> None:
        if len(self._shapes) >= MAX_SHAPES:
            self._shapes.clear()
        self._shapes[shape] = known


def numbered(path: bytes) -> bytes:
    """The path with a 0 for up to 8 digits in a row, so that numbers of different lengths look alike.

    Segments of nothing but digits are values, whatever their length, so paths of which all other segments are words have the
    same template if they look alike.
    """
    shape = path.translate(DIGITS_COLLAPSED)
    return shape.replace(b"00", b"0").replace(b"00", b"0").replace(b"00", b"0")


def _segments(path: bytes) -> list[bytes]:
    """The path's segments without their parameters, one more than can have a template at most."""
    segments = path.split(b"/", MAX_DEPTH + 1)
    if b";" in path:
        return [segment.partition(b";")[0] for segment in segments]
    return segments


def _kind(segment: bytes) -> str | None:
    """What a segment is by its looks: `{id}`, `{file}` (one that collapses early), or None, a literal."""
    if len(segment) > MAX_LITERAL:
        return ID
    if segment.isalpha():
        return None
    if _FILE.fullmatch(segment) is not None:
        return FILE
    return ID if _VALUE.fullmatch(segment) is not None else None


def _merge(into: _Node, other: _Node) -> None:
    """Let `into` stand for both."""
    into.template = into.template or other.template
    into.collapsed |= other.collapsed
    for name, child in other.children.items():
        _merge(into.children.setdefault(name, _Node()), child)
    for wildcard, child in other.wildcards.items():
        _merge(into.wildcards.setdefault(wildcard, _Node()), child)
    into.files = sum(_kind(name) == FILE for name in into.children)
