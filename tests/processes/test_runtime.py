"""What programs run on."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.binaries.go import GoBuild
from agent.processes.proc import ProcessFacts
from agent.processes.runtime import Kind, Runtime, cannot_see, kind_of, runtime_of


@pytest.mark.parametrize(
    ("exe", "runtime"),
    [
        ("/usr/bin/python3.11", Runtime(Kind.PYTHON, "3.11")),
        ("/root/.pyenv/versions/3.11.7/bin/python3.11", Runtime(Kind.PYTHON, "3.11.7")),
        ("/usr/bin/python3", Runtime(Kind.PYTHON, "3")),
        ("/usr/bin/node", Runtime(Kind.NODE)),
        ("/home/u/.nvm/versions/node/v18.19.1/bin/node", Runtime(Kind.NODE, "18.19.1")),
        ("/usr/lib/jvm/java-17-openjdk-amd64/bin/java", Runtime(Kind.JAVA, "17")),
        ("/usr/bin/ruby3.1", Runtime(Kind.RUBY, "3.1")),
        ("/usr/sbin/php-fpm8.2", Runtime(Kind.PHP, "8.2")),
        ("/usr/bin/dotnet", Runtime(Kind.DOTNET)),
        ("/usr/sbin/nginx", Runtime(Kind.NGINX)),
        ("/usr/sbin/haproxy", Runtime(Kind.HAPROXY)),
        ("/usr/local/bin/envoy", Runtime(Kind.ENVOY)),
        ("/usr/sbin/apache2", Runtime(Kind.APACHE)),
        ("/usr/bin/curl", Runtime(Kind.NATIVE)),
        ("/usr/bin/pythonic", Runtime(Kind.NATIVE)),
        ("/usr/bin/node_exporter", Runtime(Kind.NATIVE)),
    ],
)
def test_runtime_by_executable(exe: str, runtime: Runtime) -> None:
    assert runtime_of(ProcessFacts(1, exe=exe)) == runtime


@pytest.mark.parametrize(
    ("exe", "library", "runtime"),
    [
        ("/usr/sbin/uwsgi", "/usr/lib/libpython3.11.so.1.0", Runtime(Kind.PYTHON, "3.11")),
        ("/opt/python", "/usr/lib/libpython3.12.so.1.0", Runtime(Kind.PYTHON, "3.12")),
        (
            "/srv/Shop",
            "/usr/share/dotnet/shared/Microsoft.NETCore.App/8.0.1/libcoreclr.so",
            Runtime(Kind.DOTNET, "8.0.1"),
        ),
        ("/srv/app", "/usr/lib/jvm/lib/server/libjvm.so", Runtime(Kind.JAVA)),
        ("/usr/bin/ruby", "/usr/lib/libruby-3.1.so.3.1", Runtime(Kind.RUBY, "3.1")),
        ("/usr/bin/vim", "/usr/lib/libc.so.6", Runtime(Kind.NATIVE)),
    ],
)
def test_runtime_by_library(exe: str, library: str, runtime: Runtime) -> None:
    assert runtime_of(ProcessFacts(1, exe=exe), mapped=lambda: {library, "/x"}) == runtime


def test_go_by_build_info() -> None:
    runtime = runtime_of(ProcessFacts(1, exe="/srv/shop"), go=GoBuild("1.22.3"))
    assert runtime == Runtime(Kind.GO, "1.22.3")
    assert runtime.uses_goroutines
    assert not runtime.is_reactor
    assert not runtime.reuses_threads


def test_ruby_reuses_threads() -> None:
    assert runtime_of(ProcessFacts(1, exe="/usr/bin/ruby3.1")).reuses_threads


def test_java_by_release_file() -> None:
    asked = []

    def release(path: str) -> bytes:
        asked.append(path)
        return b'IMPLEMENTOR="Debian"\nJAVA_VERSION="17.0.9"\n'

    runtime = runtime_of(ProcessFacts(1, exe="/opt/jdk/bin/java"), release=release)
    assert runtime == Runtime(Kind.JAVA, "17.0.9")
    assert asked == ["/opt/jdk/release"]


def test_properties_of_kinds() -> None:
    reactors = {kind for kind in Kind if Runtime(kind).is_reactor}
    proxies = {kind for kind in Kind if Runtime(kind).is_proxy}
    assert reactors == {Kind.NGINX, Kind.HAPROXY, Kind.ENVOY, Kind.NODE}
    passing_on = {kind for kind in Kind if Runtime(kind).passes_on}
    assert proxies == {Kind.NGINX, Kind.APACHE}
    assert passing_on == proxies | {Kind.HAPROXY, Kind.ENVOY}
    assert [str(Runtime(Kind.PYTHON, "3.11")), str(Runtime(Kind.NGINX))] == ["python 3.11", "nginx"]
    assert (Runtime(Kind.NODE).name, Runtime(Kind.NATIVE).name) == ("nodejs", "")
    assert (Runtime(Kind.NODE).language, Runtime(Kind.NATIVE).language) == ("nodejs", "generic")


@pytest.mark.parametrize(
    ("kind", "mapped", "said"),
    [
        (Kind.PYTHON, {"/lib/libssl.so.3", "/lib/libc.so.6"}, ["TLS through libssl.so.3"]),
        (Kind.PYTHON, {"/x/libssl-81ffa89e.so.3"}, ["TLS through libssl-81ffa89e.so.3"]),
        (Kind.NATIVE, {"/lib/libgnutls.so.30.34.3"}, ["TLS through libgnutls.so.30.34.3"]),
        (Kind.NATIVE, {"/lib/libssl3.so"}, ["TLS through NSS"]),
        (Kind.NATIVE, {"/lib/libssless.so.1", "/lib/libsslcommon2.so"}, []),
        (Kind.NODE, set(), ["TLS inside node (its own OpenSSL)"]),
        (Kind.JAVA, set(), ["TLS inside the JVM (JSSE)"]),
        (Kind.GO, set(), ["TLS inside Go (crypto/tls)"]),
        (Kind.NATIVE, set(), []),
    ],
)
def test_what_cannot_be_seen(kind: Kind, mapped: set[str], said: list[str]) -> None:
    expected = tuple(f"{what}: encrypted connections are not decoded" for what in said)
    assert cannot_see(Runtime(kind), mapped, has_go_tls=lambda: True) == expected


def test_go_without_tls_hides_nothing() -> None:
    assert cannot_see(Runtime(Kind.GO), set()) == ()


@given(st.text(max_size=100))
def test_any_name_has_a_kind(name: str) -> None:
    assert kind_of(name).kind in Kind
