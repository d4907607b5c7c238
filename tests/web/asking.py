"""Requests of tests."""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
import urllib.request


def get(url: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    request = urllib.request.Request(url, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, dict(answer.headers), answer.read()
    except urllib.error.HTTPError as error:
        return error.code, dict(error.headers), error.read()


def told(url: str, **headers: str):
    status, _, body = get(url, **headers)
    assert status == 200, body
    return json.loads(body)


def query(text: str) -> str:
    return urllib.parse.quote(text)
