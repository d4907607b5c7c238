"""The operator's rules about attributes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import ConfigError
from agent.redaction.policy import MAX_RULES, Action, Policy, Redaction, Rule

KEY = "0123456789abcdef"
ITEMS = (
    ("url.path", "/of/cust-42/x"),
    ("client.address", "10.0.0.1"),
    ("user_agent.original", "curl/8.0"),
    ("http.response.status_code", 200),
    ("db.query.text", "SELECT a FROM t WHERE password = ?"),
    ("process.command", "app --password=hunter2"),
    ("tags", ("a", "joe@example.com")),
)


def policy(*rules: Rule, hash_key: str = KEY) -> Policy:
    return Policy(Redaction(rules, hash_key))


def apply(*rules: Rule) -> dict[str, object]:
    return dict(policy(*rules).apply(ITEMS))


def test_without_rules_known_shapes_are_masked():
    assert Policy().apply(ITEMS) == (
        *ITEMS[:5],
        ("process.command", "app --password=REDACTED"),
        ("tags", ("a", "REDACTED")),
    )


def test_drop():
    left = apply(Rule(Action.DROP, "user_agent.*"), Rule(Action.DROP, "*.status_code"))
    assert left.keys() == dict(ITEMS).keys() - {"user_agent.original", "http.response.status_code"}
    assert "url.path" not in apply(Rule(Action.DROP, "url.*", "cust-"))
    assert "url.path" in apply(Rule(Action.DROP, "url.*", "nobody"))


def test_mask():
    left = apply(Rule(Action.MASK, "client.*"), Rule(Action.MASK, "*.status_code"))
    assert (left["client.address"], left["http.response.status_code"]) == ("REDACTED", "REDACTED")
    assert apply(Rule(Action.MASK, pattern="cust-[0-9]+"))["url.path"] == "/of/REDACTED/x"


def test_hash_is_the_same_for_the_same_value_and_key():
    rule = Rule(Action.HASH, "client.address")
    first = apply(rule)["client.address"]
    assert isinstance(first, str)
    assert (len(first), int(first, 16) >= 0) == (16, True)
    assert apply(rule)["client.address"] == first
    other = policy(rule, hash_key="another key of its own").value("client.address", "10.0.0.1")
    assert other != first
    assert apply(Rule(Action.HASH, pattern=r"cust-\d+"))["url.path"] != ITEMS[0][1]
    assert len(str(apply(Rule(Action.HASH, "*.status_code"))["http.response.status_code"])) == 16


def test_allow_ends_the_search():
    rules = (Rule(Action.ALLOW, "process.*"), Rule(Action.DROP), Rule(Action.MASK, "url.path"))
    assert apply(*rules) == {"process.command": "app --password=hunter2"}
    assert apply(Rule(Action.ALLOW, "http.*"), Rule(Action.DROP)) == {
        "http.response.status_code": 200
    }  # fmt: skip


def test_the_first_rule_that_fits_decides_and_patterns_go_on():
    left = apply(Rule(Action.MASK, "url.*", "cust"), Rule(Action.MASK, "url.*", "of"))
    assert left["url.path"] == "/REDACTED/REDACTED-42/x"


def test_name():
    assert Policy().name("GET /x/joe@example.com") == "GET /x/REDACTED"


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (Redaction((Rule(Action.MASK, pattern="("),)), "rule 1: the pattern '\\(' is no regular expression"),
        (Redaction((Rule(Action.MASK, pattern="a*"),)), "rule 1: the pattern 'a\\*' matches everything"),
        (Redaction((Rule(Action.MASK), Rule(Action.DROP, ""))), "rule 2: the key is empty"),
        (Redaction((Rule(Action.HASH),), "short"), "redaction.hash_key: rules that hash need a key of 16"),
        (Redaction((Rule(Action.DROP),) * (MAX_RULES + 1)), "more than 256 rules"),
    ],
)  # fmt: skip
def test_wrong_rules(settings, told):
    with pytest.raises(ConfigError, match=told):
        Policy(settings)


@given(st.text(max_size=50), st.sampled_from(["AKIAIOSFODNN7EXAMPLE", "joe@example.com", "4111111111111111"]))  # fmt: skip
def test_no_secret_leaves_whatever_is_masked_before(noise, secret):
    rules = policy(Rule(Action.MASK, "url.*", "[a-f]+"), Rule(Action.HASH, "url.*", "z"))
    assert secret not in str(
        rules.apply((("url.path", f"{noise} {secret} {noise}"), ("k", secret)))
    )
