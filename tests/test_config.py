"""Every setting: where it may come from, what wins, what is refused and how."""

from __future__ import annotations

import pytest

from agent.config import ENVIRONMENT, Config, Select, load
from agent.errors import ConfigError


def test_defaults():
    assert load(flags={}, environment={}) == Config()


@pytest.fixture
def file(tmp_path):
    """Write a configuration file."""

    def write(text: str):
        path = tmp_path / "zerospan.yaml"
        path.write_text(text)
        return path

    return write


def test_file(file):
    path = file(
        "select:\n  port: [80, 8080]\n  exe: ['*/nginx']\nexclude:\n  pid: [7]\n"
        "export: [console]\nring_kb: 1024\nkprobes: true\nshutdown_s: 2\nlog_level: debug\n"
    )
    assert load(flags={}, environment={}, path=path) == Config(
        select=Select(port=(80, 8080), exe=("*/nginx",)),
        exclude=Select(pid=(7,)),
        export=("console",),
        ring_kb=1024,
        kprobes=True,
        shutdown_s=2.0,
        log_level="debug",
    )


def test_empty_file(file):
    assert load(flags={}, environment={}, path=file("")) == Config()


def test_environment():
    environment = {
        "OTEL_TRACES_SAMPLER": "traceidratio",
        "OTEL_TRACES_SAMPLER_ARG": "0.5",
        "OTEL_RESOURCE_ATTRIBUTES": "a=b",
        "OTEL_PROPAGATORS": "b3,tracecontext",
        "ZEROSPAN_LOG_LEVEL": "ERROR",
        "ZEROSPAN_RING_KB": "256",
        "ZEROSPAN_WEB_TOKEN": "0123456789abcdef",
        "ZEROSPAN_RECEIVE_TOKEN": "fedcba9876543210",
        "UNRELATED": "x",
    }
    assert load(flags={}, environment=environment) == Config(
        web_token="0123456789abcdef",
        receive_token="fedcba9876543210",
        sampler="traceidratio",
        sampler_arg="0.5",
        resource_attributes="a=b",
        propagators="b3,tracecontext",
        log_level="ERROR",
        ring_kb=256,
    )
    assert set(ENVIRONMENT) < set(environment)


def test_command_line_rules_over_environment_over_file(file):
    path = file("ring_kb: 64\nlog_level: ERROR\nsampler: always_off\n")
    config = load(
        flags={"ring_kb": 256},
        environment={"ZEROSPAN_RING_KB": "128", "ZEROSPAN_LOG_LEVEL": "DEBUG"},
        path=path,
    )
    assert (config.ring_kb, config.log_level, config.sampler) == (256, "DEBUG", "always_off")


def test_empty_variable_is_none():
    assert load(flags={}, environment={"OTEL_TRACES_SAMPLER": ""}) == Config()


def test_flags_of_a_selection_add_to_the_file(file):
    path = file("select:\n  port: [80]\n  pid: [1]\n")
    config = load(flags={"select": {"port": [81]}, "exclude": {}}, environment={}, path=path)
    assert config.select == Select(port=(81,), pid=(1,))


BAD_FILES = {
    "what: 1\n": "there is no setting 'what'; there are capture_request_bytes",
    "select:\n  ports: [80]\n": "select has no 'ports'; it has container, exe, pid, port",
    "- 1\n": "must hold settings as",
    "7\n": "must hold settings as",
    "a: [\n": "is not YAML: ",
    "ring_kb: many\n": "setting ring_kb: Expected `int`, got `str`",
    "select: 7\n": "select must hold `pid`, `exe`, `port` or `container`",
    "exclude:\n": "exclude must hold `pid`",
    "select:\n  port: [x]\n": r"setting select.port\[0\]: Expected `int`, got `str`",
    "select: [80]\n": "select must hold",
    "ring_kb: [1]\n": "setting ring_kb: Expected `int`, got `array`",
}


@pytest.mark.parametrize(("text", "told"), BAD_FILES.items(), ids=BAD_FILES)
def test_bad_file(file, text, told):
    with pytest.raises(ConfigError, match=told) as caught:
        load(flags={}, environment={}, path=file(text))
    assert "\n" not in str(caught.value)


def test_bad_file_and_flags_together(file):
    with pytest.raises(ConfigError, match="select must hold"):
        load(
            flags={"select": {"port": [80]}, "exclude": {}},
            environment={},
            path=file("select: 7\n"),
        )


def test_file_that_is_no_text(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="is not YAML"):
        load(flags={}, environment={}, path=path)


def test_missing_file(tmp_path):
    with pytest.raises(ConfigError, match=r"cannot read the configuration file .*: No such file"):
        load(flags={}, environment={}, path=tmp_path / "no")


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        ({"ring_kb": 32}, "setting ring_kb: 32 is not a power of two from 64 to 1048576"),
        ({"ring_kb": 65}, "setting ring_kb: 65 is not a power of two"),
        ({"ring_kb": -64}, "setting ring_kb: -64 is not a power of two"),
        ({"max_connections": 1}, "setting max_connections: 1 is not from 16"),
        ({"capture_request_bytes": 1}, "setting capture_request_bytes: 1 is not from 128"),
        ({"capture_response_bytes": 1 << 20}, "setting capture_response_bytes: 1048576 is not"),
        ({"store_mb": 15}, "setting store_mb: 15 is not from 16 to 1048576"),
        ({"store_hours": 0}, "setting store_hours: 0.0 is not from 0 to 8784"),
        ({"shutdown_s": -1}, "setting shutdown_s: -1.0 is not from 0 to 60"),
        ({"shutdown_s": float("nan")}, "setting shutdown_s: nan is not from 0 to 60"),
        ({"nice": 20}, "setting nice: 20 is not from -20 to 19"),
        ({"log_level": "loud"}, "setting log_level: 'loud' is none of debug"),
        ({"select": {"port": [0]}}, "port 0 is not from 1 to 65535"),
        ({"exclude": {"port": [65536]}}, "port 65536 is not from 1 to 65535"),
        ({"select": {"pid": [0]}}, "pid 0 is not positive"),
    ],
)
def test_bad_value(flags, told):
    with pytest.raises(ConfigError, match=told):
        load(flags=flags, environment={})


def test_bad_variable():
    with pytest.raises(ConfigError, match="setting ring_kb: Expected `int`, got `str`"):
        load(flags={}, environment={"ZEROSPAN_RING_KB": "many"})


def test_contexts_are_propagated_in_one_way_or_in_both(file):
    path = file("propagate: [tcp-option, http-header]\nselect: {exe: [shop]}\n")
    assert load(flags={}, environment={}, path=path).propagate == ("tcp-option", "http-header")
    config = load(flags={"propagate": ["http-header"]}, environment={}, path=path)
    assert config.propagate == ("http-header",)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("propagate: [b3]\nselect: {exe: [shop]}\n", "'b3' is not tcp-option or http-header"),
        ("propagate: [tcp-option]\n", "needs to be told for which processes"),
        ("propagate_for: {exe: [shop]}\n", "propagate does not say how"),
        ("propagate: tcp-option\nselect: {exe: [shop]}\n", "setting propagate: Expected `array`"),
    ],
)
def test_what_is_wrong_with_how_contexts_are_propagated(file, text, told):
    with pytest.raises(ConfigError, match=told):
        load(flags={}, environment={}, path=file(text))
