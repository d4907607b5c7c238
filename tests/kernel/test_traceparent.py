"""The traceparent header as the kernel side finds and reads it: the programs' own text, compiled for this machine.

The program reads messages, each behind its size in four bytes, and tells of each the ids and the sampling decision that its
header gives; `no` where there is none, or none that is valid.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.kernel.programs import probes_folder
from agent.traces.context import extract

HARNESS = r"""
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
typedef uint8_t u8; typedef uint16_t u16; typedef uint32_t u32; typedef uint64_t u64;
#define __always_inline inline
#define hide(value) asm volatile("" : "+r"(value))
#define read_anew() asm volatile("" ::: "memory")
#define BPF_PERCPU_ARRAY(name, V, size) \
	static V name##_value; \
	static V *name##_lookup(u32 *key) { return &name##_value; } \
	static struct { V *(*lookup)(u32 *); } name = { name##_lookup }
enum decision { DECISION_NONE, DECISION_SAMPLED, DECISION_NOT_SAMPLED };
struct user_segment { u64 base, length; };
static long read_user(void *to, u32 size, const void *from) { memcpy(to, from, size); return 0; }
static long read_kernel(void *to, u32 size, const void *from) { memcpy(to, from, size); return 0; }
static u64 read_u64(const void *from) { return *(u64 *)from; }
#define OFFSETOF_msghdr__msg_iter 0
#define OFFSETOF_iov_iter__iov_offset 0
#define OFFSETOF_iov_iter__iter_type 0
#define OFFSETOF_IOV 0
#define ENUM_iter_type__ITER_IOVEC 0
#include "context.h"
int main(void)
{
	static u8 message[65536];
	u32 size;

	while (fread(&size, sizeof(size), 1, stdin) == 1 && size <= sizeof(message)) {
		struct context context = {};
		struct scratch *scratch;
		u32 at;

		if (fread(message, 1, size, stdin) != size)
			return 1;
		scratch = look((u64)message, size);
		at = scratch ? find_traceparent(scratch, size > HEAD_BYTES ? HEAD_BYTES : size) : 0;
		if (!at || !read_traceparent(scratch, at, &context)) {
			puts("no");
			continue;
		}
		for (int i = 0; i < 24; i++)
			printf("%02x%s", ((u8 *)&context)[i], i == 15 ? " " : "");
		printf(" %u\n", context.decision);
	}
	return 0;
}
"""
TRACE, SPAN = "0123456789abcdef" * 2, "fedcba9876543210"
VALUE = f"00-{TRACE}-{SPAN}-01"


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("traceparent")
    (folder / "main.c").write_text(HARNESS)
    (folder / "context.h").write_text((probes_folder() / "include" / "context.h").read_text())
    binary = folder / "traceparent"
    subprocess.run(["cc", "-std=gnu17", "-O1", "-w", "-o", binary, folder / "main.c"], check=True)
    return binary


def told(program: Path, *messages: bytes) -> list[str]:
    data = b"".join(len(message).to_bytes(4, "little") + message for message in messages)
    done = subprocess.run([program], input=data, capture_output=True, check=True)
    return done.stdout.decode().splitlines()


def request(*headers: str, body: str = "") -> bytes:
    return "\r\n".join(["GET / HTTP/1.1", *headers, "", body]).encode()


def expected(value: str) -> str:
    """What user space reads of the same header."""
    found = extract({"traceparent": value})
    if found is None:
        return "no"
    return f"{found.trace_id.hex()} {found.span_id.hex()} {1 if found.is_sampled else 2}"


def test_where_it_stands(program: Path) -> None:
    whole = f"{TRACE} {SPAN} 1"
    assert told(
        program,
        request(f"traceparent: {VALUE}"),
        request("Host: a", f"TraceParent:{VALUE}", "Accept: */*"),
        request("a: " + "b" * 800, f"traceparent: {VALUE}"),
        request("Host: a"),
        request(f"x-traceparent: {VALUE}"),
        request(f"x: traceparent: {VALUE}"),
        request("a: " + "b" * 1024, f"traceparent: {VALUE}"),
        b"",
    ) == [whole, whole, whole, "no", "no", "no", "no", "no"]


def test_what_was_looked_at_before_says_nothing_of_what_is_looked_at_now(program: Path) -> None:
    long = request(f"traceparent: {VALUE}")
    value_end = long.index(VALUE.encode()) + len(VALUE)
    cut = [long[:size] for size in range(value_end - len(VALUE) - 14)]
    found = told(program, *(message for part in cut for message in (long, part)))
    assert found[::2] == [f"{TRACE} {SPAN} 1"] * len(cut)
    assert found[1::2] == ["no"] * len(cut)


@given(
    st.integers(0, len(VALUE) - 1),
    st.sampled_from("0123456789abcdefABF-g \t"),
    st.lists(st.text("ab: \t-", max_size=30), max_size=8),
)
def test_it_is_read_as_user_space_reads_it(
    program: Path, at: int, character: str, before: list[str]
) -> None:
    """With any one character of it changed, wherever the lines before it end within the eight bytes looked at at once."""
    value = VALUE[:at] + character + VALUE[at + 1 :]
    lines = [f"x:{header}" for header in before]
    found = told(program, request(*lines, f"traceparent: {value}"))
    assert found == [expected(value)]
