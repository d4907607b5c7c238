"""gzip with and without isal."""

from __future__ import annotations

import gzip as reference
import importlib
import sys
import zlib

from hypothesis import given
from hypothesis import strategies as st

from agent.export import compress


@given(st.binary(max_size=5000))
def test_what_is_compressed_comes_back(body):
    assert reference.decompress(compress.gzip(body)) == body


def test_without_isal_zlib_does_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "isal", None)
    monkeypatch.setitem(sys.modules, "isal.isal_zlib", None)
    try:
        importlib.reload(compress)
        assert reference.decompress(compress.gzip(b"spans" * 100)) == b"spans" * 100
        assert vars(compress)["_compress"] is zlib.compress
    finally:
        monkeypatch.undo()
        importlib.reload(compress)
