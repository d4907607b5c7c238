"""The ledger: what balances, and its printed form."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from agent.counters import Delivery, Ledger, Received


def balanced() -> Ledger:
    return Ledger(
        records_read=50,
        records_lost=Counter(ring_full_data=3),
        kernel={"submitted": 53},
        records_ignored=Counter(malformed=1),
        captured=20,
        built=12,
        lost=Counter(ring_full=3),
        unparsed=Counter(gap=1, garbage=2),
        filtered=Counter(process_excluded=2),
        sampled_out=5,
        emitted=7,
        exporters={"console": Delivery(emitted=7, exported=6, dropped=Counter(shutdown=1))},
        connections=Counter(opened=4, closed=4),
        parents=Counter(peer=12),
    )


def test_empty_ledger_balances():
    assert Ledger().is_balanced()


def test_balance():
    assert balanced().is_balanced()


@pytest.mark.parametrize("field", ["captured", "built", "sampled_out", "emitted"])
def test_anything_missing_shows(field):
    ledger = balanced()
    setattr(ledger, field, getattr(ledger, field) + 1)
    assert not ledger.is_balanced()


@pytest.mark.parametrize("field", ["lost", "unparsed", "filtered"])
def test_any_cause_counts(field):
    ledger = balanced()
    getattr(ledger, field)["other"] += 1
    assert not ledger.is_balanced()


@pytest.mark.parametrize(
    "delivery",
    [
        Delivery(emitted=7, exported=6),
        Delivery(emitted=6, exported=6),
        Delivery(emitted=7, exported=7, dropped=Counter(queue_full=1)),
    ],
)
def test_each_exporter_balances(delivery):
    ledger = balanced()
    ledger.exporters["other"] = delivery
    assert not ledger.is_balanced()


def test_pending():
    assert Delivery(emitted=9, exported=3, dropped=Counter(shutdown=1, refused=2)).pending == 3


def receiving(accepted: int, received: int) -> Ledger:
    ledger = balanced()
    ledger.received = Received(accepted=accepted, rejected=2)
    ledger.exporters["store:x"] = Delivery(
        emitted=7 + received, exported=7 + received, received=received
    )
    return ledger


def test_spans_of_others_balance():
    assert receiving(5, 5).is_balanced()
    assert not receiving(5, 4).is_balanced()
    shown = receiving(5, 5).as_json()
    assert shown["received"] == {"accepted": 5, "rejected": 2, "refused": {}}


def test_printed_form():
    assert json.loads(json.dumps(balanced().as_json())) == {
        "records": {
            "read": 50,
            "lost": {"ring_full_data": 3},
            "ignored": {"malformed": 1},
            "submitted": 53,
        },
        "exchanges": {
            "captured": 20,
            "spans": 12,
            "lost": {"ring_full": 3},
            "unparsed": {"gap": 1, "garbage": 2},
            "filtered": {"process_excluded": 2},
        },
        "spans": {"built": 12, "sampled_out": 5, "emitted": 7, "parents": {"peer": 12}},
        "exporters": {"console": {"emitted": 7, "exported": 6, "dropped": {"shutdown": 1}}},
        "connections": {"opened": 4, "closed": 4},
        "limits": {},
        "balanced": True,
    }
