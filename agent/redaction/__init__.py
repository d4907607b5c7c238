"""What may leave a parser: secrets and control characters are taken out of text from the wire.

The first stage that turns bytes into attributes. Pure functions, linear in their input, with bounded output:

    text, utf8      bytes → bounded text without control characters; nothing is taken out
    path, query,    parts of URLs: by position where position tells, by looks elsewhere
    authority
    mask            any text: what looks like a credential, an e-mail address or a card number goes
    is_secret       one word, such as a path segment or a key's part
    shape           a command whose text is the same, for caches of texts; `free_digits`: where it may differ
    key, command    keys and commands of caches: `user:1234` → `user:{id}`, values → `?`
    document        keys of documents (MongoDB), values → `?`
    Policy          what the operator decides beyond that, by attribute

SQL is a subject of its own: `agent.sql`, which stands on this package.

What looks like a word cannot be told from one: a password in a path segment, such as /reset/hunter2, is not found.
"""

from __future__ import annotations

from agent.redaction.clean import MAX_TEXT, REDACTED, text, utf8
from agent.redaction.commands import command, document, free_digits, key, shape
from agent.redaction.policy import Action, Policy, Redaction, Rule
from agent.redaction.secrets import MIN_TOKEN, is_secret, is_token, is_word, mask, mask_shapes
from agent.redaction.url import MAX_KEY, MAX_PARAMETERS, authority, path, query

__all__ = [
    "MAX_KEY",
    "MAX_PARAMETERS",
    "MAX_TEXT",
    "MIN_TOKEN",
    "REDACTED",
    "Action",
    "Policy",
    "Redaction",
    "Rule",
    "authority",
    "command",
    "document",
    "free_digits",
    "is_secret",
    "is_token",
    "is_word",
    "key",
    "mask",
    "mask_shapes",
    "path",
    "query",
    "shape",
    "text",
    "utf8",
]
