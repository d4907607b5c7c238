"""Control groups of containers and units."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.processes.cgroup import MAX_PATH, Cgroup, parse

ID = "c0ffee" + "0123456789" * 5 + "abcdef12"
POD = "pod12345678-1234-1234-1234-123456789abc"


@pytest.mark.parametrize(
    "path",
    [
        f"/docker/{ID}",
        f"/system.slice/docker-{ID}.scope",
        f"/kubepods/burstable/{POD}/{ID}",
        f"/kubepods.slice/kubepods-burstable.slice/kubepods-{POD}.slice/cri-containerd-{ID}.scope",
        f"/kubepods.slice/kubepods-{POD}.slice/crio-{ID}.scope",
        f"/system.slice/containerd.service/kubepods-burstable-{POD}.slice:cri-containerd:{ID}",
        f"/machine.slice/libpod-{ID}.scope/container",
        f"/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{ID}.scope",
        f"/../../{ID}",
        f"/docker/{'1' * 64}/docker/{ID}",
    ],
)
def test_container_shapes(path: str) -> None:
    assert parse(f"0::{path}\n".encode()) == Cgroup(path, container_id=ID)


def test_container_in_one_of_many_v1_hierarchies() -> None:
    raw = f"12:pids:/docker/{ID}\n3:cpu,cpuacct:/docker/{ID}\n1:name=systemd:/docker/{ID}\n0::/\n"
    assert parse(raw.encode()) == Cgroup(f"/docker/{ID}", container_id=ID)


def test_ecs_task() -> None:
    path = f"/ecs/{'a' * 32}/{'b' * 32}-1234567890"
    assert parse(f"4:memory:{path}\n".encode()).container_id == f"{'b' * 32}-1234567890"


def test_monitor_of_a_container_is_not_in_it() -> None:
    path = f"/machine.slice/libpod-conmon-{ID}.scope"
    assert parse(f"0::{path}\n".encode()) == Cgroup(path)


@pytest.mark.parametrize(
    ("path", "unit"),
    [
        ("/system.slice/nginx.service", "nginx"),
        ("/system.slice/system-shop.slice/shop@blue.service", "shop@blue"),
        ("/system.slice/my\\x2dshop.service", "my-shop"),
        ("/system.slice/shop.service/worker", "shop"),
        ("/user.slice/user-1000.slice/session-3.scope", ""),
        ("/user.slice/user-1000.slice/user@1000.service/app.slice/shop.service", "shop"),
        ("/user.slice/user-1000.slice/user@1000.service/init.scope", ""),
        ("/", ""),
    ],
)
def test_systemd_units(path: str, unit: str) -> None:
    assert parse(f"0::{path}\n".encode()) == Cgroup(path, unit=unit)


def test_unit_of_a_hybrid_hierarchy() -> None:
    raw = b"5:memory:/x\n1:name=systemd:/system.slice/shop.service\n0::/\n"
    assert parse(raw) == Cgroup("/system.slice/shop.service", unit="shop")


@given(st.one_of(st.binary(), st.from_regex(rb"(\d:[a-z=]*:/[^\n]*\n){0,9}")))
def test_anything_is_read_within_bounds(raw: bytes) -> None:
    cgroup = parse(raw)
    assert len(cgroup.path) <= MAX_PATH
    assert len(cgroup.container_id) in {0, 64, *range(41, 46)}
