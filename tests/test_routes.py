"""Paths in, templates out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.routes import MAX_DEPTH, MAX_FILES, MAX_LITERALS, MAX_SHAPES, MAX_TEMPLATES, Routes


@pytest.mark.parametrize(
    ("path", "template"),
    [
        (b"/", "/"),
        (b"", ""),
        (b"/orders", "/orders"),
        (b"/orders/", "/orders/"),
        (b"/orders/1", "/orders/{id}"),
        (b"/orders/1/lines/22", "/orders/{id}/lines/{id}"),
        (b"/v1/orders/1", "/v1/orders/{id}"),
        (b"/api/v2.1/x", "/api/v2.1/x"),
        (b"/u/3b241101-e2bb-4255-8caf-4136c566a962", "/u/{id}"),
        (b"/c/da39a3ee5e6b4b0d3255bfef95601890afd80709", "/c/{id}"),
        (b"/c/deadbeef", "/c/deadbeef"),
        (b"/c/deadbee0", "/c/{id}"),
        (b"/day/2026-11-22", "/day/{id}"),
        (b"/day/2026-11-22T10:00:00Z", "/day/{id}"),
        (b"/mail/a@example.com", "/mail/{id}"),
        (b"/o/order-10023", "/o/{id}"),
        (b"/t/eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3", "/t/{id}"),
        (b"/t/abcdefghijklmnopqrst1", "/t/{id}"),
        (b"/s/" + b"a" * 49, "/s/{id}"),
        (b"/s/caf%C3%A9", "/s/{id}"),
        (b"/s/caf\xc3\xa9", "/s/{id}"),
        (b"/s/\x00\n", "/s/{id}"),
        (b"/list;jsessionid=ABC/x", "/list/x"),
        (b"/static/app.js", "/static/app.js"),
        (b"/a//b", "/a//b"),
        (b"/..", "/.."),
    ],
)
def test_template(path, template):
    routes = Routes()
    assert [routes.template(path) for _ in range(3)] == [template] * 3
    assert routes.known(path) == template
    assert (routes.count, routes.counts["routes_full"]) == (1, 0)


def test_versions_that_share_a_shape_stay_apart():
    routes = Routes()
    for _ in range(3):
        for version in range(1, 6):
            path = b"/v%d/orders/%d" % (version, version * 7)
            assert routes.template(path) == f"/v{version}/orders/{{id}}"
    assert routes.count == 5


def test_a_value_between_versions_is_not_remembered_by_shape():
    routes = Routes()
    for number in range(10):
        assert routes.template(b"/v1/%d/s3" % number) == "/v1/{id}/s3"
        assert routes.template(b"/v2/%d/s4" % number) == "/v2/{id}/s4"


def test_many_literals_at_one_position_were_values():
    routes = Routes()
    names = [b"name" + bytes([97 + n // 26, 97 + n % 26]) for n in range(MAX_LITERALS + 1)]
    for name in names[:-1]:
        assert routes.template(b"/users/" + name + b"/posts") == f"/users/{name.decode()}/posts"
    assert routes.template(b"/users/" + names[-1] + b"/posts") == "/users/{id}/posts"
    assert routes.count == 1
    assert {routes.template(b"/users/" + name + b"/posts") for name in names} == {
        "/users/{id}/posts"
    }
    assert routes.template(b"/users/" + names[0] + b"/likes") == "/users/{id}/likes"


def test_a_literal_beside_values_stays():
    routes = Routes()
    assert routes.template(b"/users/17") == "/users/{id}"
    assert routes.template(b"/users/me") == "/users/me"
    assert routes.known(b"/users/you") is None


def test_files_collapse_early_and_leave_the_others_alone():
    routes = Routes()
    routes.template(b"/static/index")
    for number in range(MAX_FILES):
        name = b"img%c.png" % (97 + number)
        assert routes.template(b"/static/" + name) == "/static/" + name.decode()
    assert routes.template(b"/static/other.png") == "/static/{file}"
    assert routes.template(b"/static/imga.png") == "/static/{file}"
    assert routes.template(b"/static/index") == "/static/index"
    assert routes.count == 2


def test_positions_that_collapsed_under_one_prefix_only():
    routes = Routes()
    for number in range(MAX_LITERALS + 1):
        routes.template(b"/v1/%c%c1" % (97 + number // 26, 97 + number % 26))
    assert routes.template(b"/v1/xx1") == "/v1/{id}"
    for _ in range(2):
        assert routes.template(b"/v2/xx1") == "/v2/xx1"
        assert routes.template(b"/v2/xx2") == "/v2/xx2"
        assert routes.template(b"/v1/xx2") == "/v1/{id}"


def test_collapsing_joins_what_was_below():
    routes = Routes()
    for number in range(MAX_LITERALS):
        name = b"%c%c" % (97 + number // 26, 97 + number % 26)
        routes.template(b"/" + name)
        routes.template(b"/" + name + b"/%d/x" % number)
        routes.template(b"/" + name + b"/a.js")
    assert routes.template(b"/zz") == "/{id}"
    assert routes.template(b"/zz/5/x") == "/{id}/{id}/x"
    assert routes.template(b"/zz/a.js") == "/{id}/a.js"
    assert routes.count == 3


def test_the_cap():
    routes = Routes(limit=3)
    for name in (b"/a", b"/b", b"/c"):
        assert routes.template(name) is not None
    assert [routes.template(b"/d"), routes.template(b"/d")] == [None, None]
    assert routes.template(b"/a") == "/a"
    assert (routes.count, routes.counts["routes_full"]) == (3, 2)


def test_the_cap_does_not_forget_what_is_known_slowly():
    routes = Routes(limit=1)
    assert routes.template(b"/u/deadbee0") == "/u/{id}"
    assert routes.template(b"/u/deadbee1") == "/u/{id}"
    assert routes.counts["routes_full"] == 0


def test_deep_paths_have_no_template():
    routes = Routes()
    assert routes.template(b"/a" * (MAX_DEPTH - 1)) is not None
    assert routes.template(b"/a" * MAX_DEPTH) is None
    assert routes.known(b"/a" * 100) is None
    assert (routes.count, routes.counts["routes_full"]) == (1, 1)


def test_known_learns_nothing():
    routes = Routes()
    assert routes.known(b"/a/b") is None
    assert routes.count == 0


@given(st.lists(st.binary(max_size=40), max_size=40))
def test_templates_are_clean_text_whatever_comes(paths):
    routes = Routes(limit=10)
    for path in paths:
        template = routes.template(b"/" + path)
        assert template is None or (template.isascii() and (template.isprintable()))
        assert routes.known(b"/" + path) == template
    assert routes.count <= 10


@given(
    st.lists(
        st.lists(
            st.sampled_from(
                [b"v1", b"v2", b"a", b"b1", b"12", b"7", b"x.js", b"y2.js", b"ab-77", b""]
            ),
            max_size=4,
        ),
        max_size=60,
    )
)
def test_remembered_shapes_answer_what_the_tree_answers(paths):
    routes = Routes()
    for path in map(b"/".join, paths):
        assert routes.template(b"/" + path) == routes.known(b"/" + path)
    for path in map(b"/".join, paths):
        assert routes.template(b"/" + path) == routes.known(b"/" + path)


def test_memory_is_bounded():
    routes = Routes()
    for number in range(10000):
        routes.template(b"/x%x/%d/%s" % (number, number, b"z" * (number % 300)))
        routes.template(b"/%s/1" % b"9" * (number % 5))
    assert routes.count <= MAX_TEMPLATES
    for length in range(MAX_SHAPES + 10):
        routes.template(b"/%s.%s" % (b"1" * (length % 50), b"2" * (length // 50)))
    assert len(routes._shapes) <= MAX_SHAPES


def test_uuids_are_one_route_and_do_not_fill_the_table_of_shapes():
    routes = Routes()
    uuids = ("3b241101-e2bb-4255-8caf-4136c566a962", "a4e0880a-b357-4b08-82ed-c426c16a4a63")
    paths = [f"/orders/{uuid}/lines/{number}".encode() for uuid in uuids for number in (1, 22)]
    assert {routes.template(path) for path in paths} == {"/orders/{id}/lines/{id}"}
    assert routes.count == 1
    assert not routes._shapes
