"""What is told of SQLite's calls: the programs' own text, compiled for this machine, with a script of calls.

enter THREAD DEPTH CALL …        a function is called; DEPTH says how deep its frame lies, from 1 on
leave THREAD DEPTH CALL RESULT   it returns
end THREAD STATEMENT             a statement is reset or finalized
wait                             a long time passes
full, room                       the ring buffer is, or is not

CALL is `step STATEMENT`, `prepare TEXT STATEMENT`, `prepare_v3 TEXT STATEMENT` or `open NAME DATABASE`; numbers from 1 on stand for
addresses of statements and databases, and a TEXT is one word. `leave` says the kind of call alone.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from agent.kernel.programs import probes_folder
from tests.kernel.test_work import OFFSETS

HARNESS = r"""
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
typedef uint8_t u8; typedef uint16_t u16; typedef uint32_t u32; typedef uint64_t u64; typedef int64_t s64; typedef int32_t s32;
#define BPF_F_MMAPABLE 0
#define BPF_RB_NO_WAKEUP 1
#define BPF_RB_FORCE_WAKEUP 2
#define BPF_RB_AVAIL_DATA 0
#define BPF_TABLE(kind, K, V, name, size) BPF_F_TABLE(kind, K, V, name, size, 0)
#define BPF_PERCPU_ARRAY(name, V, size) BPF_F_TABLE("array", u32, V, name, size, 0)
#define BPF_F_TABLE(kind, K, V, name, size, flags) \
	static V name##_values[64]; static K name##_keys[64]; static bool name##_there[64]; \
	static int name##_at(K *key) { \
		for (int at = 0; at < 64; at++) if (name##_there[at] && !memcmp(&name##_keys[at], key, sizeof(K))) return at; \
		return -1; } \
	static V *name##_lookup(K *key) { int at = name##_at(key); return at < 0 ? NULL : &name##_values[at]; } \
	static int name##_update(K *key, V *value) { \
		int at = name##_at(key), used = 0; \
		for (int n = 0; n < 64; n++) used += name##_there[n]; \
		if (at < 0 && used >= (size < 64 ? size : 64)) return -7; \
		for (int n = 0; at < 0; n++) if (!name##_there[n]) at = n; \
		name##_keys[at] = *key; name##_values[at] = *value; name##_there[at] = true; return 0; } \
	static int name##_delete(K *key) { int at = name##_at(key); if (at >= 0) name##_there[at] = false; return 0; } \
	static struct { V *(*lookup)(K *); int (*update)(K *, V *); int (*delete)(K *); } name = { \
		name##_lookup, name##_update, name##_delete }
#define BPF_RINGBUF_OUTPUT(name, pages) \
	static char room[8192]; static bool is_full, is_reserved; static void tell(void *record); \
	static void *reserve(u64 size) { if (is_full || is_reserved) return NULL; is_reserved = true; memset(room, 0x5a, sizeof(room)); return room; } \
	static void submit(void *record, u64 flags) { is_reserved = false; tell(record); } \
	static void discard(void *record, u64 flags) { is_reserved = false; } \
	static u64 waiting(void *ring, u64 size, u64 what) { return 0; } \
	static struct { void *(*ringbuf_reserve)(u64); void (*ringbuf_submit)(void *, u64); void (*ringbuf_discard)(void *, u64); \
		u64 (*ringbuf_output)(void *, u64, u64); } name = { reserve, submit, discard, waiting }
struct pt_regs { unsigned long r15,r14,r13,r12,bp,bx,r11,r10,r9,r8,ax,cx,dx,si,di,orig_ax,ip,cs,flags,sp,ss; };
enum { TGID = 7, TEXT_AT = 248, STATEMENTS = 70 };
static char task[64];
static u32 now;
static u64 clock_ns = 1000;
static u64 bpf_ktime_get_ns(void) { return clock_ns; }
static void *bpf_get_current_task(void) { return task; }
static u64 bpf_get_current_pid_tgid(void) { return (u64)TGID << 32 | now; }
#include "sqlite.c"
static char statements[STATEMENTS][304];
static u64 number_of(u64 statement) { return statement ? (statement - (u64)statements) / 304 : 0; }
static void tell(void *record)
{
	struct event_header *header = record;
	struct statement_event *event = record;
	struct database_event *database = record;
	char text[4100] = "";
	if (header->kind == EVENT_DATABASE) {
		memcpy(text, (char *)record + sizeof(*database), database->captured);
		printf("opened %d %s\n", (int)database->database, text);
		return;
	}
	memcpy(text, (char *)record + sizeof(*event), event->captured);
	printf("%s %d rows=%d result=%d took=%d", (char *[]){"", "begun", "ended", "done"}[event->stage],
		(int)number_of(event->statement), (int)event->rows, event->result, (int)(header->time_ns - event->start_ns));
	if (event->captured > 40)
		printf(" %d bytes", event->captured);
	else if (event->captured)
		printf(" %s", text);
	if (event->database && event->stage != STATEMENT_ENDED)
		printf(" in %d", (int)event->database);
	printf("\n");
}
static u64 cookie;
static u64 cookie_here(void *ctx) { return cookie; }
static long copy(void *to, u32 size, const void *from)
{
	if ((u64)from < 4096)
		return -14;
	memcpy(to, from, size);
	return 0;
}
static long copy_text(void *to, u32 size, const void *from)
{
	if ((u64)from < 4096)
		return -14;
	snprintf(to, size, "%s", (const char *)from);
	return strlen(to) + 1;
}
static u32 function_of(const char *call)
{
	if (!strcmp(call, "step"))
		return SQLITE_STEP;
	if (!strcmp(call, "prepare"))
		return SQLITE_PREPARE;
	return strcmp(call, "open") ? SQLITE_PREPARE_FLAGS : SQLITE_OPEN;
}
int main(void)
{
	char verb[16], call[16], word[4096];
	unsigned depth, n, result;
	static u64 out[STATEMENTS];
	struct watch_slot watched = {};
	u32 zero = 0;
	watched.watch[TGID] = WATCH_YES;
	watches.update(&zero, &watched);
	for (u32 n = 0; n < COUNT_MAX; n++)
		counters.update(&n, &(u64){0});
	read_user = copy;
	read_user_text = copy_text;
	cookie_of = cookie_here;
	while (scanf("%15s", verb) == 1) {
		struct pt_regs regs = {};
		clock_ns += 1;
		if (!strcmp(verb, "wait")) { clock_ns += 2 * STALE_NS; continue; }
		if (!strcmp(verb, "full")) { is_full = true; continue; }
		if (!strcmp(verb, "room")) { is_full = false; continue; }
		if (!strcmp(verb, "unwatch")) { watched.watch[TGID] = WATCH_NO; watches.update(&zero, &watched); continue; }
		if (scanf("%u", &now) != 1)
			return 1;
		if (!strcmp(verb, "end")) {
			if (scanf("%u", &n) != 1) return 1;
			regs.di = (u64)statements[n];
			cookie = SQLITE_END;
			sqlite_enters(&regs);
			continue;
		}
		if (scanf("%u %15s", &depth, call) != 2)
			return 1;
		regs.sp = 100000 - 100 * depth;
		cookie = TEXT_AT << SQLITE_FUNCTION_BITS | function_of(call);
		if (!strcmp(verb, "leave")) {
			if (scanf("%u", &result) != 1) return 1;
			regs.ax = result;
			regs.sp += 8;
			sqlite_returns(&regs);
			continue;
		}
		if (!strcmp(call, "step")) {
			if (scanf("%u", &n) != 1) return 1;
			regs.di = n ? (u64)statements[n] : 0;
		} else {
			if (scanf("%4095s %u", word, &n) != 2) return 1;
			char *kept = strdup(word);
			out[n] = strcmp(call, "open") ? (u64)statements[n] : n;
			if (!strcmp(call, "open")) {
				regs.di = (u64)kept;
				regs.si = (u64)&out[n];
			} else {
				regs.di = 900;
				regs.si = (u64)kept;
				regs.dx = strcmp(kept, "cut_here") ? -1 : 3;
				*(u64 *)(strcmp(call, "prepare") ? &regs.r8 : &regs.cx) = (u64)&out[n];
				*(u64 *)statements[n] = 900;
				*(char **)(statements[n] + TEXT_AT) = strcmp(kept, "none") ? kept : NULL;
			}
		}
		sqlite_enters(&regs);
	}
	u32 full = COUNT_LOST_RING_FULL_STATEMENT, many = COUNT_LOST_STATEMENTS_FULL;
	if (*counters.lookup(&full) || *counters.lookup(&many))
		printf("lost %d %d\n", (int)*counters.lookup(&full), (int)*counters.lookup(&many));
	return 0;
}
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sqlite")
    (folder / "main.c").write_text(HARNESS)
    (folder / "sqlite.c").write_text((probes_folder() / "sqlite.c").read_text())
    built = folder / "sqlite"
    subprocess.run(
        [
            *("cc", "-std=gnu17", "-O1", "-w", "-I", str(folder)),
            *("-I", str(probes_folder() / "include")),
            *(f"-D{name}={value}" for name, value in (OFFSETS | {"RING_PAGES": 64}).items()),
            *("-o", str(built), str(folder / "main.c")),
        ],
        check=True,
    )
    return built


@pytest.fixture
def told(program: Path):
    def run(script: str) -> list[str]:
        done = subprocess.run([program], input=script, capture_output=True, text=True, check=True)
        return done.stdout.splitlines()

    return run


PREPARED = "enter 1 1 prepare SELECT 1 leave 1 1 prepare 0 "
ROW, DONE = 100, 101


def step(result: int, *, statement: int = 1, thread: int = 1) -> str:
    return f"enter {thread} 1 step {statement} leave {thread} 1 step {result} "


def test_a_statement_that_gives_no_row_is_one_record(told):
    assert told(PREPARED + step(DONE)) == ["done 1 rows=0 result=101 took=1 SELECT in 900"]
    assert told(PREPARED + step(19)) == ["done 1 rows=0 result=19 took=1 SELECT in 900"]


def test_rows_are_counted_and_not_told_one_by_one(told):
    assert told(PREPARED + step(ROW) * 1000 + step(DONE)) == [
        "begun 1 rows=1 result=100 took=1 SELECT in 900",
        "ended 1 rows=1000 result=101 took=2001",
    ]


def test_what_is_given_up_ends_there(told):
    assert told(PREPARED + step(ROW) * 3 + "end 1 1 end 1 1") == [
        "begun 1 rows=1 result=100 took=1 SELECT in 900",
        "ended 1 rows=3 result=0 took=6",
    ]


def test_each_execution_is_told(told):
    assert (
        told(PREPARED + (step(DONE) + "end 1 1 ") * 2)
        == ["done 1 rows=0 result=101 took=1 SELECT in 900"] * 2
    )


def test_a_statement_that_was_prepared_before_the_agent_came(told):
    """What it says is in its own memory; so the calls by which it came there need not have been seen."""
    script = PREPARED.replace("leave 1 1 prepare 0", "wait")
    assert told(script + step(DONE)) == ["done 1 rows=0 result=101 took=1 SELECT in 900"]


@pytest.mark.parametrize("call", ["prepare", "prepare_v3"])
def test_what_cannot_be_prepared_is_told(told, call):
    script = f"enter 1 1 {call} SELEC 1 leave 1 1 {call} 1 "
    assert told(script) == ["done 0 rows=0 result=1 took=1 SELEC in 900"]


def test_a_text_has_the_size_that_the_program_says(told):
    script = "enter 1 1 prepare cut_here 1 leave 1 1 prepare 1"
    assert told(script) == ["done 0 rows=0 result=1 took=1 cut in 900"]


def test_long_texts(told):
    for size, kept in ((254, 254), (255, 255), (256, 256), (4000, 4000)):
        script = f"enter 1 1 prepare {'x' * size} 1 leave 1 1 prepare 0 {step(DONE)}"
        assert told(script) == [f"done 1 rows=0 result=101 took=1 {kept} bytes in 900"]


def test_what_the_library_executes_within_a_call_is_not_told(told):
    script = """
        enter 1 1 prepare SELECT 1
            enter 1 5 prepare SCHEMA 2 leave 1 5 prepare 0
            enter 1 5 step 2 leave 1 5 step 100  end 1 2
        leave 1 1 prepare 0
        enter 1 1 step 1  enter 1 4 step 2 leave 1 4 step 101  leave 1 1 step 101
    """
    assert told(script) == ["done 1 rows=0 result=101 took=3 SELECT in 900"]


def test_threads_are_told_apart(told):
    script = PREPARED + "enter 3 1 prepare UPDATE 2 leave 3 1 prepare 0 "
    script += "enter 1 1 step 1 enter 3 9 step 2 leave 3 9 step 101 leave 1 1 step 101"
    assert told(script) == [
        "done 2 rows=0 result=101 took=1 UPDATE in 900",
        "done 1 rows=0 result=101 took=3 SELECT in 900",
    ]


def test_a_call_whose_return_was_missed_hides_nothing_for_long(told):
    """A jump out of a callback: the next calls are less deep, or as deep, or it is long ago."""
    missed = PREPARED + "enter 1 5 step 1 "
    assert told(missed + step(DONE)) == ["done 1 rows=0 result=101 took=1 SELECT in 900"]
    same = missed + "enter 1 5 step 1 leave 1 5 step 101"
    assert told(same) == ["done 1 rows=0 result=101 took=1 SELECT in 900"]
    deeper = missed + "enter 1 7 step 1 leave 1 7 step 101 "
    assert told(deeper) == []
    assert told(deeper + "wait enter 1 7 step 1 leave 1 7 step 101") == [
        "done 1 rows=0 result=101 took=1 SELECT in 900"
    ]


def test_a_return_whose_entry_was_not_seen(told):
    assert told(PREPARED + "leave 1 1 step 101 leave 1 3 step 100") == []


def test_an_address_that_is_prepared_again_was_given_up(told):
    """sqlite3_exec finalizes by a function of its own where its callback asks it to stop."""
    assert told(PREPARED + step(ROW) + PREPARED + step(DONE)) == [
        "begun 1 rows=1 result=100 took=1 SELECT in 900",
        "ended 1 rows=1 result=4 took=3",
        "done 1 rows=0 result=101 took=1 SELECT in 900",
    ]


def test_statements_without_a_text_are_the_librarys(told):
    assert told("enter 1 1 prepare none 1 leave 1 1 prepare 0 " + step(ROW) + step(DONE)) == []
    assert told(step(21, statement=0)) == []


def test_databases_are_told_by_their_names(told):
    script = "enter 1 1 open /tmp/a.db 8 leave 1 1 open 0 enter 1 1 open b 9 leave 1 1 open 14"
    assert told(script) == ["opened 8 /tmp/a.db"]


def test_losses_are_counted(told):
    assert told(PREPARED + "full " + step(ROW) + "room " + step(ROW) + step(DONE)) == [
        "ended 1 rows=2 result=101 took=6",
        "lost 1 0",
    ]
    many = "".join(
        f"enter 1 1 prepare SELECT {n} leave 1 1 prepare 0 {step(ROW, statement=n)}"
        for n in range(1, 67)
    )
    assert told(many)[-1] == "lost 0 2"


def test_processes_that_are_not_watched(told):
    assert told(PREPARED + "unwatch " + step(DONE)) == []
