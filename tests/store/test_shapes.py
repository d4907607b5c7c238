"""Which attributes vary is learnt; no fact is lost by it."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from agent.store import shapes
from agent.store.shapes import Shape, Shaper, Slot
from agent.store.values import Type, clean, from_slot
from tests.store.made import any_spans, span


def attributes(shape: Shape, values: list[Any]) -> dict[str, Any]:
    own = {
        slot.key: from_slot(value, slot.type)
        for slot, value in zip(shape.slots, values, strict=True)
    }
    return {**shape.attributes, **own}


@given(st.lists(any_spans(), max_size=30))
def test_shape_and_values_together_are_the_attributes(spans):
    shaper = Shaper()
    for one in spans * 2:
        known, values = shaper.split(one)
        expected = {k: clean(v) for block in one.attributes for k, v in block.items}
        found = attributes(known.shape, values)
        assert {k: (type(v), v) for k, v in found.items()} == {
            k: (type(v), v) for k, v in expected.items()
        }


def test_an_attribute_of_many_values_becomes_a_slot_and_the_others_stay():
    shaper = Shaper()
    for number in range(50):
        known, values = shaper.split(
            span(1, number, attributes={"method": "GET", "path": f"/{number}"})
        )
    assert known.shape.attributes == {"method": "GET"}
    assert (known.shape.slots, values) == ((Slot("path", Type.TEXT),), ["/49"])


def test_values_that_are_equal_but_of_other_types_are_told_apart():
    shaper = Shaper()
    found = [shaper.split(span(1, 1, attributes={"n": value}))[0] for value in (1, True, 1.0, 1)]
    assert [known.shape.attributes["n"] for known in found] == [1, True, 1.0, 1]
    assert found[0] is found[3]
    assert len({id(known) for known in found}) == 3


def test_few_values_each_but_many_together_do_not_make_many_shapes():
    shaper = Shaper()
    met = set()
    for number in range(4000):
        digits = {f"k{place}": number // 7**place % 7 for place in range(4)}
        met.add(id(shaper.split(span(1, 1, attributes=digits))[0]))
    assert len(met) < 150


def test_what_varies_in_some_families_is_not_learnt_again_in_others():
    shaper = Shaper()
    for family in range(shapes.HINT_FAMILIES):
        for number in range(20):
            shaper.split(span(1, 1, name=f"f{family}", attributes={"path": f"/{number}"}))
    known, _ = shaper.split(span(1, 1, name="another", attributes={"path": "/1"}))
    assert known.shape.slots == (Slot("path", Type.TEXT),)


def test_names_without_end_do_not_fill_the_memory(monkeypatch):
    monkeypatch.setattr(shapes, "MAX_FAMILIES", 10)
    shaper = Shaper()
    for number in range(100):
        shaper.split(span(1, 1, name=f"name {number}"))
        assert len(shaper._families) <= 10


def test_keys_without_end_do_not_fill_the_memory(monkeypatch):
    monkeypatch.setattr(shapes, "MAX_KNOWN", 10)
    shaper = Shaper()
    for number in range(200):
        known, values = shaper.split(span(1, 1, attributes={f"key {number}": "x"}))
        assert attributes(known.shape, values) == {f"key {number}": "x"}
        (family,) = shaper._families.values()
        assert len(family.known) <= 10
        assert len(family.seen) <= 11


def test_a_shape_of_an_earlier_run_is_met_again():
    first = Shaper()
    for number in range(50):
        known, _ = first.split(span(1, 1, attributes={"path": f"/{number}", "n": 1, "ok": True}))
    second = Shaper()
    second.remember(Shape.from_row(known.shape.row()), 7)
    again, values = second.split(span(1, 1, attributes={"path": "/x", "n": 1, "ok": True}))
    assert (again.id, values) == (7, ["/x"])
