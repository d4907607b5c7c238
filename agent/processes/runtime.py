"""What a program runs on, as far as it matters for tracing.

The executable's name tells most; the build info tells Go. Mapped libraries are looked at only where a name says
nothing: reading them is the dearest thing there is to read of a process.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Set

    from agent.binaries.go import GoBuild
    from agent.processes.proc import ProcessFacts


class Kind(enum.Enum):
    """The value is what `zerospan ps` prints."""

    PYTHON = "python"
    NODE = "node"
    GO = "go"
    JAVA = "java"
    RUBY = "ruby"
    PHP = "php"
    DOTNET = "dotnet"
    NGINX = "nginx"
    HAPROXY = "haproxy"
    ENVOY = "envoy"
    APACHE = "apache"
    NATIVE = "native"
    """Compiled, or an interpreter that we do not know."""


_RUNTIME_NAMES: Final[Mapping[Kind, str]] = {
    Kind.PYTHON: "cpython",
    Kind.NODE: "nodejs",
    Kind.GO: "go",
    Kind.JAVA: "java",
    Kind.RUBY: "ruby",
    Kind.PHP: "php",
    Kind.DOTNET: ".NET",
}
"""`process.runtime.name`, in the words of the convention where it has them."""

_LANGUAGES: Final[Mapping[Kind, str]] = {
    Kind.PYTHON: "python",
    Kind.NODE: "nodejs",
    Kind.GO: "go",
    Kind.JAVA: "java",
    Kind.RUBY: "ruby",
    Kind.PHP: "php",
    Kind.DOTNET: "dotnet",
    Kind.NGINX: "cpp",
    Kind.HAPROXY: "cpp",
    Kind.ENVOY: "cpp",
    Kind.APACHE: "cpp",
}


@dataclass(frozen=True, slots=True)
class Runtime:
    """A kind, and its version as far as it is known."""

    kind: Kind
    version: str = ""

    @property
    def name(self) -> str:
        """`process.runtime.name`; empty for a program that needs none."""
        return _RUNTIME_NAMES.get(self.kind, "")

    @property
    def language(self) -> str:
        """The language that back ends should show, as a value of `telemetry.sdk.language`."""
        return _LANGUAGES.get(self.kind, "generic")

    @property
    def is_reactor(self) -> bool:
        """One thread serves many connections in turns, and each turn is about one socket."""
        return self.kind in {Kind.NGINX, Kind.HAPROXY, Kind.ENVOY, Kind.NODE}

    @property
    def passes_on(self) -> bool:
        """It passes on what others say, so what it sends says nothing about itself."""
        return self.is_proxy or self.kind in {Kind.HAPROXY, Kind.ENVOY}

    @property
    def is_proxy(self) -> bool:
        """What it sends is for whom it received last. HAProxy receives from all that are ready and works afterwards:
        87 % of its parents were wrong at 64 connections (docs/accuracy.md); Envoy was not measured.
        """
        return self.kind in {Kind.NGINX, Kind.APACHE}

    @property
    def reuses_threads(self) -> bool:
        """A thread that the program makes may be an old one of the system's: Ruby keeps those that ended for three seconds,
        and 10 % of the parents of what they did were wrong at 64 requests.
        """
        return self.kind is Kind.RUBY

    @property
    def uses_goroutines(self) -> bool:
        """Work moves between threads at any time: which thread made a call says nothing."""
        return self.kind is Kind.GO

    def __str__(self) -> str:
        return f"{self.kind.value} {self.version}".rstrip()


_VERSIONED: Final = r"[-]?(\d+(?:\.\d+)*)?"
_EXECUTABLES: Final = (
    (re.compile(rf"(?:python|pypy){_VERSIONED}[dmt]?$"), Kind.PYTHON),
    (re.compile(r"(?:uwsgi|gunicorn|uvicorn|celery)()(?:-core)?$"), Kind.PYTHON),
    (re.compile(rf"(?:node|nodejs){_VERSIONED}$"), Kind.NODE),
    (re.compile(r"java()$"), Kind.JAVA),
    (re.compile(rf"j?ruby{_VERSIONED}$"), Kind.RUBY),
    (re.compile(r"(?:puma|unicorn)()$"), Kind.RUBY),
    (re.compile(rf"php(?:-fpm|-cgi)?{_VERSIONED}$"), Kind.PHP),
    (re.compile(r"dotnet()$"), Kind.DOTNET),
    (re.compile(r"(?:nginx|openresty|angie)()$"), Kind.NGINX),
    (re.compile(r"haproxy()$"), Kind.HAPROXY),
    (re.compile(r"envoy()$"), Kind.ENVOY),
    (re.compile(r"(?:apache2|httpd)()$"), Kind.APACHE),
)
"""By file name, the group being the version. Names of launchers count where only they are known (a process that is
gone): `puma` is no executable but a title."""

_LIBRARIES: Final = (
    (re.compile(r"libpython(\d\.\d+)[a-z]*\.so"), Kind.PYTHON),
    (re.compile(r"libcoreclr()\.so"), Kind.DOTNET),
    (re.compile(r"libjvm()\.so"), Kind.JAVA),
    (re.compile(r"libruby-?(\d\.\d+)?[\d.]*\.so"), Kind.RUBY),
    (re.compile(r"libnode()\.so"), Kind.NODE),
)
_DOTNET_VERSION: Final = re.compile(r"/Microsoft\.NETCore\.App/(\d+\.\d+\.\d+)")
_INSTALLED: Final = re.compile(r"/(?:[a-z]+-)?v?(\d+\.\d+\.\d+)[^/]*/bin/[^/]+$")
"""Version managers install into a folder named for the version: nvm, pyenv, rbenv, asdf."""
_JAVA_VERSION: Final = re.compile(r'^JAVA_VERSION="([\w.+-]{1,40})"', re.MULTILINE)
_JAVA_FOLDER: Final = re.compile(r"/(?:java|jdk|jre|openjdk|temurin|zulu)-?(\d+(?:\.\d+)*)")


def kind_of(name: str) -> Runtime:
    """What an executable's file name says; NATIVE if nothing."""
    for pattern, kind in _EXECUTABLES:
        if found := pattern.match(name):
            return Runtime(kind, found[1] or "")
    return Runtime(Kind.NATIVE)


def runtime_of(
    facts: ProcessFacts,
    *,
    go: GoBuild | None = None,
    mapped: Callable[[], Set[str]] = frozenset,
    release: Callable[[str], bytes] = lambda _path: b"",
) -> Runtime:
    """Tell what a process runs on. `release` reads a file as the process sees it, for Java's version."""
    if go is not None:
        return Runtime(Kind.GO, go.version)
    named = kind_of(facts.executable_name)
    if named.kind is Kind.JAVA:
        return Runtime(Kind.JAVA, _java_version(facts.exe, release))
    installed = _INSTALLED.search(facts.exe)
    if installed and named.kind in _RUNTIME_NAMES:
        return Runtime(named.kind, installed[1])
    if named.version or (named.kind is not Kind.NATIVE and named.kind not in _LOOK_INSIDE):
        return named
    return _mapped_runtime(named, mapped())


_LOOK_INSIDE: Final = frozenset({Kind.PYTHON, Kind.DOTNET, Kind.RUBY})
"""Kinds of which a library's name tells the version if the executable's does not."""


def _mapped_runtime(named: Runtime, mapped: Set[str]) -> Runtime:
    for path in sorted(mapped):
        name = path.rpartition("/")[2]
        for pattern, kind in _LIBRARIES:
            if (found := pattern.match(name)) and named.kind in {kind, Kind.NATIVE}:
                version = _DOTNET_VERSION.search(path) if kind is Kind.DOTNET else found
                return Runtime(kind, (version[1] if version else "") or "")
    return named


def _java_version(exe: str, release: Callable[[str], bytes]) -> str:
    """From the file `release` that every JDK since 7 has beside `bin`, else from the folder's name."""
    home = exe.removesuffix("/bin/java")
    if home != exe:
        content = release(f"{home}/release").decode("ascii", "replace")
        if found := _JAVA_VERSION.search(content):
            return found[1]
    found = _JAVA_FOLDER.search(exe)
    return found[1] if found else ""


_TLS_LIBRARY: Final = re.compile(
    r"(?:libssl|libgnutls|libssl3|libnss3|libwolfssl|libmbedtls|libs2n|libbotan-\d|libconscrypt\w*"
    r"|libnetty_tcnative\w*)(?:-[0-9a-f]+)?(?:[.-][\w.]*)?\.so[\d.]*$"
)
_NSS: Final = re.compile(r"libssl3\.so$")


def cannot_see(
    runtime: Runtime, mapped: Set[str], *, has_go_tls: Callable[[], bool] = lambda: False
) -> tuple[str, ...]:
    """What of a traced process stays invisible, one sentence each."""
    names = sorted({path.rpartition("/")[2] for path in mapped})
    said = [
        f"TLS through {'NSS' if _NSS.match(name) else name}: encrypted connections are not decoded"
        for name in names
        if _TLS_LIBRARY.match(name)
    ]
    if runtime.kind is Kind.NODE and not said:
        said.append("TLS inside node (its own OpenSSL): encrypted connections are not decoded")
    if runtime.kind is Kind.JAVA:
        said.append("TLS inside the JVM (JSSE): encrypted connections are not decoded")
    if runtime.kind is Kind.GO and has_go_tls():
        said.append("TLS inside Go (crypto/tls): encrypted connections are not decoded")
    return tuple(said[:MAX_SENTENCES])


MAX_SENTENCES: Final = 8
"""A process that maps more TLS libraries than this is playing games."""
