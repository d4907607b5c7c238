"""service.name of a program that nobody named, from how it was started.

The operator should recognise the service: `python3 app.py` is `app`, never `python3`. In order:

1. the program's own word in its title: `gunicorn: worker [shop]`, `puma 6.4 (tcp://…) [shop]`;
2. what a launcher runs: `gunicorn shop.web:app` is `shop.web`;
3. the script, module, jar or class that a runtime runs, without folder and ending;
4. the executable.

Arguments may hold secrets. Of them only file names, modules and classes in the places where the runtime expects
them become a name, and only if they look like one.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from agent.processes.runtime import Kind, kind_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from agent.processes.proc import ProcessFacts

MAX_NAME: Final = 128

_NAME: Final = re.compile(r"(?=.*[A-Za-z])\w[\w.@+-]*", re.ASCII)
_TAG: Final = re.compile(r"\[([A-Za-z_][\w.:-]*)\]$", re.ASCII)
_WSGI: Final = re.compile(r"([A-Za-z_][\w.]*):[A-Za-z_][\w.]*(?:\(.*\))?", re.ASCII)
_MODULE: Final = re.compile(r"[A-Za-z_][\w.]*", re.ASCII)
_VERSION_SUFFIX: Final = re.compile(
    r"-v?\d+(?:\.\d+)+(?:[.-](?:SNAPSHOT|RELEASE|FINAL|GA))?$", re.IGNORECASE
)
_SCRIPT_ENDING: Final = re.compile(
    r"\.(?:py|pyc|pyz|js|mjs|cjs|ts|rb|ru|php|phar|dll|jar|war|sh|bash|pl)$"
)
_VERSIONED_BINARY: Final = re.compile(r"(php-fpm|php-cgi)\d[\d.]*$")

GENERIC_NAMES: Final = frozenset({"__init__", "__main__", "index"})
"""Files that are named for their place: their folder says more."""
GENERIC_FOLDERS: Final = frozenset({"", ".", "..", "bin", "build", "dist", "lib", "out", "src"})

_WSGI_LAUNCHERS: Final = frozenset(
    {"gunicorn", "uvicorn", "hypercorn", "daphne", "granian", "waitress-serve"}
)
_RUN_LAUNCHERS: Final[Mapping[str, frozenset[str]]] = {
    "fastapi": frozenset({"run", "dev"}),
    "streamlit": frozenset({"run"}),
}
_TITLED: Final = frozenset({"gunicorn", "puma", "unicorn", "uwsgi", "celeryd", "sidekiq"})
"""Programs that write what they run into their title, in brackets at its end."""
_INTERPRETER: Final = re.compile(r"(?:python|pypy|node|nodejs|java|j?ruby|php|dotnet)[\d.]*$")
_SHELLS: Final = re.compile(r"(?:sh|bash|dash|zsh|ksh|ash|perl\d?[\d.]*)$")

_WITH_VALUE: Final[Mapping[Kind, frozenset[str]]] = {
    Kind.PYTHON: frozenset({"-W", "-X", "--check-hash-based-pycs"}),
    Kind.NODE: frozenset(
        {"-r", "--require", "--import", "--loader", "--experimental-loader", "-C", "--conditions"}
    ),
    Kind.JAVA: frozenset(
        {
            "-cp",
            "-classpath",
            "--class-path",
            "-p",
            "--module-path",
            "--upgrade-module-path",
            "--add-modules",
            "--add-exports",
            "--add-opens",
            "--add-reads",
            "--patch-module",
            "--limit-modules",
            "--enable-native-access",
        }
    ),
    Kind.RUBY: frozenset({"-I", "-r", "-C", "-E"}),
    Kind.PHP: frozenset({"-c", "-d", "-z", "-S", "-t"}),
    Kind.DOTNET: frozenset(
        {
            "--additionalprobingpath",
            "--depsfile",
            "--runtimeconfig",
            "--fx-version",
            "--roll-forward",
        }
    ),
}
"""Options whose value is the next argument."""
_INLINE_CODE: Final[Mapping[Kind, frozenset[str]]] = {
    Kind.PYTHON: frozenset({"-c", "-Ic", "-uc", "-sc", "-Bc", "-Ec"}),
    Kind.NODE: frozenset({"-e", "--eval", "-p", "--print", "-pe"}),
    Kind.RUBY: frozenset({"-e"}),
    Kind.PHP: frozenset({"-r"}),
}
"""Options after which there is a program text, and so no file to be named for."""
_PYTHON_MODULE: Final = re.compile(r"-[bBdEhiIOPqRsSuvVx]*m")
"""Options without a value may stand before the `m`, the module may follow in the same word."""
_JAVA_PROGRAM: Final = re.compile(r"(?:-jar|-m|--module)$")
_SPAWNED: Final = re.compile(r"from multiprocessing\.(?:spawn|forkserver|resource_tracker) import")


def program_name(facts: ProcessFacts) -> str:
    """Name a process by what it runs; empty if nothing is known of it at all."""
    words = _words(facts.argv)
    kind = kind_of(facts.executable_name).kind
    found = _tag(facts.argv)
    if found is None and kind in _READERS:
        found = _title(facts.argv) or _READERS[kind](words)
    elif found is None and _SHELLS.match(facts.executable_name):
        found = _script(words[1:2])
    return (found or _executable(facts, words))[:MAX_NAME]


def is_spawned_worker(facts: ProcessFacts) -> bool:
    """Python's multiprocessing started it as a fresh interpreter: it is a part of its parent's service."""
    return any(_SPAWNED.match(argument) for argument in facts.argv[1:6])


def _words(argv: Sequence[str]) -> tuple[str, ...]:
    """The arguments. A program that wrote a title has one argument holding all words."""
    if len(argv) == 1 and " " in argv[0]:
        return tuple(argv[0].split())
    return tuple(argv)


def _tag(argv: Sequence[str]) -> str | None:
    """What stands in brackets at the end of a title."""
    if not argv or " " not in argv[0]:
        return None
    title = argv[0].rstrip()
    found = _TAG.search(title)
    if found is None or _program(title) not in _TITLED:
        return None
    return found[1].partition(":")[0]


def _title(argv: Sequence[str]) -> str | None:
    """The program that a title begins with; None where the arguments stand as they were given."""
    if len(argv) != 1 or " " not in argv[0]:
        return None
    name = _program(argv[0])
    return name if _NAME.fullmatch(name) and not _INTERPRETER.match(name) else None


def _program(title: str) -> str:
    return _base(title.split(" ", 1)[0]).rstrip(":")


def _python(words: Sequence[str]) -> str | None:
    own = _base(words[0]).rstrip(":") if words else ""
    if own in _WSGI_LAUNCHERS:
        return _launched(own, words[1:])
    rest = _after_options(Kind.PYTHON, words, stop=_PYTHON_MODULE)
    if not rest:
        return None
    if rest[0].startswith("-"):
        if "m" not in rest[0]:
            return None  # `-`, the standard input, behind `--`
        module = rest[0][rest[0].index("m") + 1 :] or (rest[1] if len(rest) > 1 else "")
        arguments = rest[1:] if rest[0][-1] != "m" else rest[2:]
        if not _MODULE.fullmatch(module):
            return None
        return _launched(module, arguments)
    return _launched(_base(rest[0]), rest[1:]) or _script(rest)


def _launched(launcher: str, arguments: Sequence[str]) -> str | None:
    """What a launcher runs; for any other program its own name, if it is one."""
    name = _SCRIPT_ENDING.sub("", launcher)
    if name in _WSGI_LAUNCHERS:
        return _application(arguments) or name
    if verbs := _RUN_LAUNCHERS.get(name):
        return _script(arguments[1:2] if verbs.intersection(arguments[:1]) else ()) or name
    if name == "celery":
        return _value_of(arguments, ("-A", "--app")) or name
    if name in GENERIC_NAMES or launcher != name:
        return None
    return name if _NAME.fullmatch(name) else None


def _application(arguments: Sequence[str]) -> str | None:
    """The module in `module:application`; a bare module only where it cannot be an option's value."""
    for argument in arguments:
        found = _WSGI.fullmatch(argument)
        if found and found[1] not in {"unix", "fd", "egg"}:
            return found[1]
    if arguments and _MODULE.fullmatch(arguments[-1]):
        before = arguments[-2] if len(arguments) > 1 else ""
        if not before.startswith("-") or "=" in before:
            return arguments[-1]
    return None


def _value_of(arguments: Sequence[str], options: tuple[str, str]) -> str | None:
    for index, argument in enumerate(arguments):
        option, _, value = argument.partition("=")
        if option in options:
            value = value or "".join(arguments[index + 1 : index + 2])
            return value.partition(":")[0] if _MODULE.match(value) else None
    return None


def _node(words: Sequence[str]) -> str | None:
    return _script(_after_options(Kind.NODE, words))


def _ruby(words: Sequence[str]) -> str | None:
    return _script(_after_options(Kind.RUBY, words))


def _php(words: Sequence[str]) -> str | None:
    if not words or "fpm" in words[0] or "cgi" in words[0]:
        return None
    return _script(_after_options(Kind.PHP, words))


def _dotnet(words: Sequence[str]) -> str | None:
    rest = _after_options(Kind.DOTNET, words)
    if rest and rest[0] == "exec":
        rest = _after_options(Kind.DOTNET, rest)
    return _script(rest) if rest and rest[0].endswith(".dll") else None


def _java(words: Sequence[str]) -> str | None:
    rest = _after_options(Kind.JAVA, words, stop=_JAVA_PROGRAM)
    if rest and rest[0] == "-jar":
        name = _script(rest[1:2])
        return name and _VERSION_SUFFIX.sub("", name)
    if rest and rest[0] in {"-m", "--module"}:
        rest = rest[1:]
    if not rest:
        return None
    main = rest[0].rpartition("/")[2].removesuffix(".java").rpartition(".")[2]
    return main if _NAME.fullmatch(main) else None


_READERS: Final[Mapping[Kind, Callable[[Sequence[str]], str | None]]] = {
    Kind.PYTHON: _python,
    Kind.NODE: _node,
    Kind.RUBY: _ruby,
    Kind.PHP: _php,
    Kind.DOTNET: _dotnet,
    Kind.JAVA: _java,
}


def _after_options(
    kind: Kind, words: Sequence[str], *, stop: re.Pattern[str] | None = None
) -> Sequence[str]:
    """The words from the first that is no option of the runtime, or is the option that names what to run (`stop`).
    Nothing for program text on the command line."""
    with_value, inline = _WITH_VALUE[kind], _INLINE_CODE.get(kind, frozenset())
    index = 1
    while index < len(words):
        word = words[index]
        if word in inline:
            return ()
        if not word.startswith("-") and not (kind is Kind.JAVA and word.startswith("@")):
            return words[index:]
        if word in {"--", "-"}:
            return words[index + 1 :] if word == "--" else ()
        if stop is not None and stop.match(word):
            return words[index:]
        index += 2 if word in with_value else 1
    return ()


def _script(words: Sequence[str]) -> str | None:
    """The first word as the name of a script: without folder and ending."""
    if not words:
        return None
    parts = words[0].split("/")
    name = _SCRIPT_ENDING.sub("", parts[-1])
    if name in GENERIC_NAMES:
        name = next((part for part in parts[-2::-1] if part not in GENERIC_FOLDERS), name)
    return name if _NAME.fullmatch(name) else None


def _executable(facts: ProcessFacts, words: Sequence[str]) -> str:
    name = facts.executable_name
    if name == "busybox" and words:
        name = _base(words[0])
    # Debian's redis-server is a link to it; its title is `redis-server 127.0.0.1:6379`.
    if (
        name.startswith("redis-check-")
        and words
        and words[0].split(" ")[0].endswith("redis-server")
    ):
        name = "redis-server"
    if found := _VERSIONED_BINARY.match(name):
        return found[1]
    return name


def _base(path: str) -> str:
    return path.rpartition("/")[2]
