"""Where OTLP is received."""

from __future__ import annotations

import pytest

from agent.errors import ConfigError
from agent.receive.settings import Place, ReceiveSettings, receive_settings
from agent.redaction import Action, Redaction, Rule

TOKEN = "0123456789abcdef"


@pytest.mark.parametrize(
    ("urls", "grpc", "http"),
    [
        (["otlp"], Place("127.0.0.1", 4317), Place("127.0.0.1", 4318)),
        (["otlp+grpc://127.0.0.1"], Place("127.0.0.1", 4317), None),
        (["otlp+http://localhost:9/"], None, Place("127.0.0.1", 9)),
        (["otlp+http://[::1]:9", "otlp+grpc://[::1]"], Place("::1", 4317), Place("::1", 9)),
    ],
)
def test_places(urls, grpc, http):
    settings = receive_settings(urls)
    assert settings == ReceiveSettings(grpc=grpc, http=http)
    assert ReceiveSettings.from_json(settings.to_json()) == settings
    assert settings.ports == {place.port for place in (grpc, http) if place is not None}


def test_nothing_is_received_by_default():
    assert receive_settings([]) is None


def test_rules_and_token_reach_the_child():
    rules = Redaction((Rule(Action.HASH, "enduser.id"),), "a long random text")
    settings = receive_settings(["otlp+http://10.0.0.1"], token=TOKEN, redaction=rules)
    assert settings is not None
    assert (settings.token, settings.redaction) == (TOKEN, rules)
    assert ReceiveSettings.from_json(settings.to_json()) == settings


@pytest.mark.parametrize(
    ("urls", "token", "says"),
    [
        (["otlp+grpc://0.0.0.0"], "", "ZEROSPAN_RECEIVE_TOKEN"),
        (["otlp+http://[::]:4318"], "", "ZEROSPAN_RECEIVE_TOKEN"),
        (["otlp"], "short", "fewer than 16"),
        (["http://127.0.0.1"], "", "is none of otlp"),
        (["4317"], "", "is none of otlp"),
        (["otlp+grpc://collector:4317"], "", "an IP address"),
        (["otlp+grpc://127.0.0.1:x"], "", "is none of otlp"),
        (["otlp+grpc://127.0.0.1:0"], "", "is none of otlp"),
        (["otlp+http://127.0.0.1/v1"], "", "is none of otlp"),
        (["otlp+http://u:p@127.0.0.1"], "", "is none of otlp"),
        (["otlp", "otlp+grpc://127.0.0.1:9"], "", "given twice"),
    ],
)
def test_wrong_places(urls, token, says):
    with pytest.raises(ConfigError, match=says):
        receive_settings(urls, token=token)
