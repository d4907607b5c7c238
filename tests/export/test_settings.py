"""Every standard variable and every URL form, right and wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import ConfigError
from agent.export.settings import (
    Compression,
    Console,
    File,
    Otlp,
    Reach,
    Store,
    Transport,
    settings_from,
)

GRPC, HTTP = Transport.GRPC, Transport.HTTP


@pytest.mark.parametrize(
    ("url", "expected", "name"),
    [
        ("console", Console(), "console"),
        ("file:/tmp/a b.json", File(Path("/tmp/a b.json")), "file:/tmp/a b.json"),
        ("store:/var/t.db", Store(Path("/var/t.db")), "store:/var/t.db"),
        ("otlp+grpc://h", Otlp(GRPC, "h", 4317), "otlp+grpc://h:4317"),
        ("otlp+grpc://h:1/", Otlp(GRPC, "h", 1), "otlp+grpc://h:1"),
        ("otlp+grpcs://h:1", Otlp(GRPC, "h", 1, is_tls=True), "otlp+grpcs://h:1"),
        ("otlp+http://h", Otlp(HTTP, "h", 4318), "otlp+http://h:4318"),
        ("otlp+http://h:80/", Otlp(HTTP, "h", 80), "otlp+http://h:80"),
        ("otlp+http://[::1]:9/x", Otlp(HTTP, "::1", 9, path="/x"), "otlp+http://[::1]:9/x"),
        ("otlp+https://h:9", Otlp(HTTP, "h", 9, is_tls=True), "otlp+https://h:9"),
    ],
)
def test_export_urls(url, expected, name):
    assert settings_from({}, [url]) == [expected]
    assert expected.name == name


ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
TRACES_ENDPOINT = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
PROTOCOL = "OTEL_EXPORTER_OTLP_PROTOCOL"
EXPORTER = "OTEL_TRACES_EXPORTER"


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        ({}, [Console()]),
        ({ENDPOINT: " ", EXPORTER: ""}, [Console()]),
        ({EXPORTER: "none", ENDPOINT: "http://h"}, []),
        ({EXPORTER: "console", ENDPOINT: "http://h"}, [Console()]),
        ({EXPORTER: "otlp"}, [Otlp(HTTP, "localhost", 4318)]),
        ({EXPORTER: "otlp", PROTOCOL: "grpc"}, [Otlp(GRPC, "localhost", 4317)]),
        ({EXPORTER: "otlp, console"}, [Otlp(HTTP, "localhost", 4318), Console()]),
        # The endpoint of all signals is a base; the one for traces is used as it is.
        ({ENDPOINT: "http://h:4318"}, [Otlp(HTTP, "h", 4318)]),
        ({ENDPOINT: "http://h:4318/base/"}, [Otlp(HTTP, "h", 4318, path="/base/v1/traces")]),
        ({TRACES_ENDPOINT: "http://h:4318/in"}, [Otlp(HTTP, "h", 4318, path="/in")]),
        ({TRACES_ENDPOINT: "http://h:4318"}, [Otlp(HTTP, "h", 4318, path="/")]),
        (
            {ENDPOINT: "http://a", TRACES_ENDPOINT: "http://b/v1/traces"},
            [Otlp(HTTP, "b", 80)],
        ),
        (
            {ENDPOINT: "https://otlp.example.org"},
            [Otlp(HTTP, "otlp.example.org", 443, is_tls=True)],
        ),
        ({ENDPOINT: "http://h:4317", PROTOCOL: "grpc"}, [Otlp(GRPC, "h", 4317)]),
        ({ENDPOINT: "https://h", PROTOCOL: "grpc"}, [Otlp(GRPC, "h", 443, is_tls=True)]),
        ({ENDPOINT: "h:5", PROTOCOL: "grpc"}, [Otlp(GRPC, "h", 5, is_tls=True)]),
        (
            {ENDPOINT: "h", PROTOCOL: "grpc", "OTEL_EXPORTER_OTLP_INSECURE": "True"},
            [Otlp(GRPC, "h", 4317)],
        ),
        (
            {
                ENDPOINT: "http://h:1",
                PROTOCOL: "http/protobuf",
                "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "grpc",
            },
            [Otlp(GRPC, "h", 1)],
        ),
    ],
)
def test_standard_variables_choose_the_destination(env, expected):
    assert settings_from(env, []) == expected


def test_a_commands_own_default_is_for_where_nothing_is_asked_for():
    store = Store(Path("/t.db"))
    assert settings_from({}, [], default=store) == [store]
    assert settings_from({EXPORTER: "console"}, [], default=store) == [Console()]
    assert settings_from({EXPORTER: "none"}, [], default=store) == []
    assert settings_from({ENDPOINT: "http://h"}, [], default=store) == [Otlp(HTTP, "h", 80)]
    assert settings_from({}, ["console"], default=store) == [Console()]


def test_everything_else_about_a_receiver():
    env = {
        "OTEL_EXPORTER_OTLP_HEADERS": "ignored=1",
        "OTEL_EXPORTER_OTLP_TRACES_HEADERS": "Authorization=Bearer%20a%3Db, x-tenant = t%2C1,",
        "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
        "OTEL_EXPORTER_OTLP_TIMEOUT": "2500",
        "OTEL_EXPORTER_OTLP_CERTIFICATE": "/ca.pem",
        "OTEL_EXPORTER_OTLP_CLIENT_KEY": "/key.pem",
        "OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE": "/cert.pem",
    }
    reach = Reach(
        headers=(("Authorization", "Bearer a=b"), ("x-tenant", "t,1")),
        compression=Compression.GZIP,
        timeout_s=2.5,
        certificate=Path("/ca.pem"),
        client_key=Path("/key.pem"),
        client_certificate=Path("/cert.pem"),
    )
    expected = Otlp(HTTP, "h", 4318, is_tls=True, reach=reach)
    assert settings_from(env, ["otlp+https://h"]) == [expected]
    assert settings_from({ENDPOINT: "https://h:4318", **env}, []) == [expected]
    assert "Bearer" not in repr(expected)


def test_grpc_metadata_is_in_lower_case():
    env = {"OTEL_EXPORTER_OTLP_HEADERS": "Authorization=x"}
    (settings,) = settings_from(env, ["otlp+grpc://h"])
    assert isinstance(settings, Otlp)
    assert settings.reach.headers == (("authorization", "x"),)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("", "--export: '' is not one of otlp+grpc://HOST"),
        ("http://h", "--export: 'http://h' is not one of"),
        ("file:", "--export: 'file:' is not one of"),
        ("store:", "--export: 'store:' is not one of"),
        ("otlp+http://", "--export: 'otlp+http://' is not one of"),
        ("otlp+http://h:0", "--export: 'otlp+http://h:0' is not one of"),
        ("otlp+http://h:99999", "--export: 'otlp+http://h:99999' is not one of"),
        ("otlp+http://[::1", "--export: 'otlp+http://[::1' is not one of"),
        ("otlp+http://a..b", "--export: 'otlp+http://a..b' is not one of"),
        ("otlp+http://h/a b", "--export: 'otlp+http://h/a b' is not one of"),
        ("otlp+http://h?x=1", "--export: 'otlp+http://h?x=1' has a query or fragment"),
        ("otlp+grpc://h/path", "--export: 'otlp+grpc://h/path' has a path"),
        ("otlp+http://u:secret@h", "--export: the URL holds credentials; give them as a header"),
        ("otlp+htp://u:secret@h", "--export: the URL (not shown, it may hold credentials) is not"),
    ],
)
def test_wrong_urls(url, message):
    with pytest.raises(ConfigError) as caught:
        settings_from({}, [url])
    assert str(caught.value).startswith(message)
    assert "secret" not in str(caught.value)


def test_a_destination_given_twice():
    with pytest.raises(ConfigError, match=r"--export: otlp\+http://h:4318 is given twice"):
        settings_from({}, ["otlp+http://h", "console", "otlp+http://h:4318/v1/traces"])


H = "OTEL_EXPORTER_OTLP_HEADERS"


@pytest.mark.parametrize(
    ("env", "message"),
    [
        ({EXPORTER: "zipkin"}, "OTEL_TRACES_EXPORTER: 'zipkin' is not none, otlp, console, or a"),
        ({EXPORTER: "otlp,none"}, "OTEL_TRACES_EXPORTER: 'otlp,none' is not none, otlp"),
        (
            {EXPORTER: "otlp,otlp"},
            "OTEL_TRACES_EXPORTER: otlp+http://localhost:4318 is given twice",
        ),
        ({ENDPOINT: "h:4318"}, "OTEL_EXPORTER_OTLP_ENDPOINT: 'h:4318' is not http://HOST"),
        ({ENDPOINT: "ftp://h"}, "OTEL_EXPORTER_OTLP_ENDPOINT: 'ftp://h' is not http://HOST"),
        ({TRACES_ENDPOINT: "http://"}, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'http://' is not http"),
        ({ENDPOINT: "http://a:secret@h"}, "OTEL_EXPORTER_OTLP_ENDPOINT: the URL holds credentials"),
        (
            {ENDPOINT: "http://h", PROTOCOL: "http/json"},
            "OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json' is not grpc or http/protobuf",
        ),
        (
            {ENDPOINT: "http://h", "OTEL_EXPORTER_OTLP_TRACES_COMPRESSION": "zstd"},
            "OTEL_EXPORTER_OTLP_TRACES_COMPRESSION: 'zstd' is not none or gzip",
        ),
        (
            {ENDPOINT: "http://h", "OTEL_EXPORTER_OTLP_TIMEOUT": "10s"},
            "OTEL_EXPORTER_OTLP_TIMEOUT: '10s' is not a whole number of milliseconds from 1 to",
        ),
        (
            {ENDPOINT: "http://h", "OTEL_EXPORTER_OTLP_TIMEOUT": "0"},
            "OTEL_EXPORTER_OTLP_TIMEOUT: '0' is not a whole number",
        ),
        (
            {ENDPOINT: "h", PROTOCOL: "grpc", "OTEL_EXPORTER_OTLP_INSECURE": "yes"},
            "OTEL_EXPORTER_OTLP_INSECURE: 'yes' is not true or false",
        ),
        (
            {ENDPOINT: "http://h", "OTEL_EXPORTER_OTLP_CLIENT_KEY": "k"},
            "OTEL_EXPORTER_OTLP_CLIENT_KEY needs OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE too",
        ),
        (
            {ENDPOINT: "http://h", "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE": "c"},
            "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE needs OTEL_EXPORTER_OTLP_CLIENT_KEY too",
        ),
        ({ENDPOINT: "http://h", H: "a=secret,b"}, f"{H}: entry 2 is not key=value"),
        ({ENDPOINT: "http://h", H: "a b=secret"}, f"{H}: entry 1: its name is not a http/protobuf"),
        (
            {ENDPOINT: "http://h", H: "Content-Length=secret"},
            f"{H}: entry 1: 'Content-Length' is set",
        ),
        (
            {ENDPOINT: "http://h", H: "a=secret%0d%0ab: c"},
            f"{H}: entry 1, 'a': the value is not pri",
        ),
        (
            {ENDPOINT: "http://h", PROTOCOL: "grpc", H: "x-bin=secret"},
            f"{H}: entry 1: its name is not a grpc header name",
        ),
    ],
)
def test_wrong_variables(env, message):
    with pytest.raises(ConfigError) as caught:
        settings_from(env, [])
    assert str(caught.value).startswith(message)
    assert "secret" not in str(caught.value)


texts = st.text(st.characters(codec="utf-8"), max_size=30)


@given(
    st.dictionaries(st.sampled_from([ENDPOINT, PROTOCOL, EXPORTER, H]), texts),
    st.lists(texts | texts.map("otlp+http://{}".format), max_size=2),
)
def test_any_value_is_understood_or_refused_in_one_sentence(env, urls):
    try:
        settings = settings_from(env, urls)
        sentence = ""
    except ConfigError as error:
        settings, sentence = [], str(error)
    assert sentence.isprintable()
    assert all(setting.name for setting in settings)
