"""What looks like a secret goes, wherever it stands in a text."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.redaction.secrets import has_card, is_luhn, is_secret, is_word, mask, mask_shapes

ALNUM = string.ascii_letters + string.digits
PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIEowIBAAKCAQEA\n-----END RSA PRIVATE KEY-----"


@pytest.mark.parametrize(
    ("value", "masked"),
    [
        ("curl/8.0", "curl/8.0"),
        ("Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101 Firefox/128.0", None),
        ("python3 app.py --port=8080", None),
        ("3b241101-e2bb-4255-8caf-4136c566a962", None),
        ("sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", None),
        ("basic functionality", None),
        ("Authorization: Bearer abcdef123456", "Authorization: Bearer REDACTED"),
        ("authorization=Basic dXNlcjpwYXNz", "authorization=Basic REDACTED"),
        ("x postgres://joe:pw@db/x y", "x postgres://REDACTED:REDACTED@db/x y"),
        ("https://token@h/", "https://REDACTED@h/"),
        (f"a {PEM} b", "a REDACTED b"),
        (PEM[:50], "REDACTED"),
        ("password=hunter2 next", "password=REDACTED next"),
        ('{"api_key": "a b", "x": 1}', '{"api_key": REDACTED, "x": 1}'),
        ("--client-secret=abc", "--client-secret=REDACTED"),
        ("mail joe.doe+x@example.co.uk!", "mail REDACTED!"),
        ("card 4111 1111 1111 1111.", "card REDACTED."),
        ("card 5 4111-1111-1111-1111", "card REDACTED"),
        ("order 4111111111111112", None),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln", "REDACTED"),
    ],
)
def test_mask(value, masked):
    assert mask(value) == (value if masked is None else masked)


def test_shapes_alone_leave_names_of_values():
    assert mask_shapes("WHERE password = $1 AND token=?") == "WHERE password = $1 AND token=?"
    assert mask_shapes("t.token = u.token AND m = joe@example.com") == "t.token = u.token AND m = REDACTED"  # fmt: skip


def letters(alphabet: str, least: int, most: int) -> st.SearchStrategy[str]:
    return st.text(alphabet, min_size=least, max_size=most)


SECRETS = st.one_of(
    letters(string.ascii_uppercase + string.digits, 16, 16).map("AKIA{}".format),
    letters(string.ascii_uppercase + string.digits, 16, 16).map("ASIA{}".format),
    letters(ALNUM, 36, 36).map("ghp_{}".format),
    letters(ALNUM + "_", 40, 82).map("github_pat_{}".format),
    letters(ALNUM, 20, 20).map("glpat-{}".format),
    letters(ALNUM + "-", 20, 40).map("xoxb-1{}".format),
    letters(ALNUM + "-_", 35, 35).map("AIza{}".format),
    letters(ALNUM, 24, 24).map("sk_live_{}".format),
    letters(ALNUM + "-_", 40, 90).map("sk-{}".format),
    letters(ALNUM, 36, 36).map("npm_{}".format),
    letters("0123456789abcdef", 32, 32).map("SK{}".format),
    letters(ALNUM + "-_", 12, 60).map("eyJ{}".format),
    letters(ALNUM + "-_", 12, 30).map("eyJhbGciOiJIUzI1NiJ9.eyJ{}.x1".format),
    letters(ALNUM, 3, 12).map("{}@example.com".format),
    st.just("4111111111111111"),
    st.just("5500-0000-0000-0004"),
    letters(ALNUM, 16, 64).map("-----BEGIN EC PRIVATE KEY-----{}-----END EC PRIVATE KEY-----".format),
)  # fmt: skip
AROUND = st.text(" \t'\"(),;<>[]{}!?=&|/\n", min_size=1, max_size=8)


@given(SECRETS, AROUND, AROUND, letters("abc ", 0, 20))
def test_no_secret_leaves_in_any_text(secret, before, after, more):
    for value in (secret, f"{more}{before}{secret}{after}{more}", f"a={secret}", f"a:{secret}"):
        assert secret not in mask(value)


@given(letters(ALNUM + "!#%._-", 6, 30), st.sampled_from(["password={}", "token: {}", '"secret": "{}"', "Bearer aa{}", "x://u:{}@h/"]))  # fmt: skip
def test_no_named_value_leaves(secret, form):
    if "#" in secret and form.startswith("x:"):
        return
    assert secret not in mask(form.format(secret)).replace("REDACTED", "")


@given(st.text(max_size=300))
def test_any_text_is_taken(value):
    assert len(mask(value)) <= 12 * len(value)
    is_secret(value)


def test_words():
    assert is_word("how-to-write-it")
    assert not is_word("aB3dE9")
    assert is_luhn("4111111111111111")
    assert has_card("12 4111 1111 1111 1111")
    assert not has_card("4111 1111 1111 1112")
