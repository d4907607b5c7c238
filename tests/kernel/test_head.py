"""Heads of requests as the kernel side reads them: the programs' own text, compiled for this machine.

The program reads messages, each behind its size in four bytes, and tells of each: where a header would go, how many bytes the
whole request has, whether it has a traceparent; `no` for what is not a whole request.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.kernel.programs import probes_folder

HARNESS = r"""
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
typedef uint8_t u8; typedef uint16_t u16; typedef uint32_t u32; typedef uint64_t u64;
#define hide(value) asm volatile("" : "+r"(value))
#define read_anew() asm volatile("" ::: "memory")
#define SCRATCH_BYTES 2048
#define HEAD_BYTES 1024
#define BPF_PERCPU_ARRAY(name, V, size) \
	static V name##_value; \
	static V *name##_lookup(u32 *key) { return &name##_value; } \
	static struct { V *(*lookup)(u32 *); } name = { name##_lookup }
struct scratch { u8 bytes[SCRATCH_BYTES]; };
static u8 byte_at(const struct scratch *scratch, u32 at) { return scratch->bytes[at & (SCRATCH_BYTES - 1)]; }
#include "head.h"
int main(void)
{
	static struct scratch scratch;
	static u8 message[65536];
	u32 size, length, whole;

	while (fread(&size, sizeof(size), 1, stdin) == 1 && size <= sizeof(message)) {
		struct head *head;

		if (fread(message, 1, size, stdin) != size)
			return 1;
		length = size > HEAD_BYTES ? HEAD_BYTES : size;
		/* As look() leaves it: what stood there before is still behind. */
		memcpy(scratch.bytes, message, length);
		scratch.bytes[length & (SCRATCH_BYTES - 1)] = 0;
		head = read_head(&scratch, length);
		if (!is_whole_request(head, &scratch))
			printf("no");
		else if (size_of_request(head, &scratch, &whole))
			printf("%u %u", head->behind_line, whole);
		else
			printf("%u ?", head->behind_line);
		puts(head->traceparents ? " has" : "");
	}
	return 0;
}
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("head")
    (folder / "main.c").write_text(HARNESS)
    (folder / "head.h").write_text((probes_folder() / "include" / "head.h").read_text())
    binary = folder / "head"
    subprocess.run(["cc", "-std=gnu17", "-O1", "-w", "-o", binary, folder / "main.c"], check=True)
    return binary


def told(program: Path, *messages: bytes) -> list[str]:
    data = b"".join(len(message).to_bytes(4, "little") + message for message in messages)
    done = subprocess.run([program], input=data, capture_output=True, check=True)
    return done.stdout.decode().splitlines()


def request(line: str = "GET / HTTP/1.1", *headers: str, body: str = "") -> bytes:
    return "\r\n".join([line, "Host: a", *headers, "", body]).encode()


LINE = len("GET / HTTP/1.1\r\n")
PLAIN = len(request())

REQUESTS = {
    request(): f"{LINE} {PLAIN}",
    request("GET / HTTP/1.0"): f"{LINE} {PLAIN}",
    request("OPTIONS * HTTP/1.1"): f"{LINE + 4} {PLAIN + 4}",
    request("PATCH /a?b=c HTTP/1.1"): f"{LINE + 7} {PLAIN + 7}",
    request("DELETE /1 HTTP/1.1"): f"{LINE + 4} {PLAIN + 4}",
    request("GET / HTTP/1.1", body="more"): f"{LINE} {PLAIN}",
    request("PUT / HTTP/1.1", "Content-Length: 10", body="0123456789"): f"{LINE} {PLAIN + 20 + 10}",
    request("PUT / HTTP/1.1", "content-length:10"): f"{LINE} {PLAIN + 19 + 10}",
    request("PUT / HTTP/1.1", "CONTENT-LENGTH: 4294967297"): f"{LINE} {PLAIN + 28 + 1}",
    request("PUT / HTTP/1.1", "Content-Length: 0"): f"{LINE} {PLAIN + 19}",
    request("PUT / HTTP/1.1", "Content-Length: 1", "Content-Length: 1"): f"{LINE} ?",
    request("PUT / HTTP/1.1", "Transfer-Encoding: chunked"): f"{LINE} ?",
    request("GET / HTTP/1.1", "traceparent: 00-1-2-01"): f"{LINE} {PLAIN + 24} has",
    request("GET / HTTP/1.1", "TraceParent:x"): f"{LINE} {PLAIN + 15} has",
    request("GET / HTTP/1.1", "x-traceparent: 1"): f"{LINE} {PLAIN + 18}",
    request("GET / HTTP/1.1", "a: traceparent: 1"): f"{LINE} {PLAIN + 19}",
    request("GET / HTTP/1.1", body="\r\ntraceparent: 1\r\n"): f"{LINE} {PLAIN}",
    request("GET / HTTP/1.1", body="\r\nContent-Length: 7\r\n\r\n"): f"{LINE} {PLAIN}",
    request("GET / HTTP/1.1", "a: " + "b" * (1024 - PLAIN - 5)): f"{LINE} 1024",
}
OTHERS = (
    b"",
    b"GET",
    b"GET / HTTP/1.1\r\n",
    request()[:-1],
    request("GET / HTTP/1.1", "a: " + "b" * (1024 - PLAIN - 4)),
    request("GET / HTTP/2.0"),
    request("GET / HTTP/1.12"),
    request("GET / HTTP/1.2"),
    request("GET /"),
    request("get / HTTP/1.1"),
    request("GETS / HTTP/1.1"),
    request("CONNECT a:1 HTTP/1.1"),
    request("TRACE / HTTP/1.1"),
    request("BREW / HTTP/1.1"),
    request("HTTP/1.1 200 OK"),
    request().replace(b"\r\n", b"\n"),
    b"\r\n" + request(),
    request("GET / HTTP/1.1", "x", "x", "y: z"),
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"GET  HTTP/1.1\r\n\r\n"[4:],
    bytes(range(256)) * 8,
)


def test_requests(program: Path) -> None:
    assert told(program, *REQUESTS) == list(REQUESTS.values())


def test_what_is_no_whole_request(program: Path) -> None:
    assert [line.partition(" ")[0] for line in told(program, *OTHERS)] == ["no"] * len(OTHERS)


def test_what_was_looked_at_before_says_nothing_of_what_is_looked_at_now(program: Path) -> None:
    long = request("GET / HTTP/1.1", "traceparent: 00-1-2-01", "Content-Length: 5")
    cut = [long[:size] for size in range(len(long))]
    found = told(program, *(message for part in cut for message in (long, part)))
    # Of a beginning it can say that there is a traceparent, but not that it is whole.
    assert {line.partition(" ")[0] for line in found[1::2]} == {"no"}
    assert told(program, long, request()) == [
        f"{LINE} {len(long) + 5} has",
        f"{LINE} {PLAIN}",
    ]


@given(
    st.lists(st.text("ab: \t-", max_size=30), max_size=10),
    st.sampled_from(["", "traceparent: x"]),
    st.integers(0, 10**6),
)
def test_any_headers(program: Path, headers: list[str], own: str, length: int) -> None:
    """Wherever the lines end within the eight bytes that are looked at at once."""
    lines = [f"x:{header}" for header in headers]
    lines[len(lines) // 2 : len(lines) // 2] = [own] if own else []
    message = request("PUT / HTTP/1.1", *lines, f"Content-Length: {length}")
    expected = f"{LINE} {len(message) + length}{' has' if own else ''}"
    assert told(program, message) == [expected]
