"""What threads are told to have been handed: the programs' own text, compiled for this machine, with a script of calls.

receive THREAD SOCKET TURN    the first bytes of a request came
answer THREAD SOCKET          the first bytes of its answer left
reply THREAD                  it received as a client
wake THREAD OTHER FUTEX       a thread wakes another one that waits there, as for a condition variable
expire THREAD OTHER FUTEX     the other one is woken by a timer, while this thread is on the processor
unlock THREAD OTHER FUTEX     a mutex: another kind of wait
make THREAD OTHER             a thread makes another one
call THREAD                   prints what it is told: cause, socket, turn
named THREAD                  as call, with the request's name though it is not clear
leave THREAD                  it is gone; prints so if that is told
number THREAD                 makes a call, and prints the number of its job, counted from where numbers begin
node THREAD                   from here on the process is one of Node.js
take THREAD SOCKET TURN       its loop's thread received something
return THREAD                 the callback for that is over
result THREAD                 prints what its answer says: the thread whose job it was, and that job's number; or in which
                              callback of a loop it is sent
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from agent.kernel.programs import probes_folder

NAMES = {0: "none", 1: "woken", 2: "created", 3: "backlog", 4: "unclear", 6: "result", 7: "loop"}
FIRST = 5000
OFFSETS = {
    "OFFSETOF_task_struct__tgid": 0,
    "OFFSETOF_task_struct__pid": 4,
    "OFFSETOF_task_struct__stack": 8,
    "OFFSETOF_pt_regs__orig_ax": 0,
    "OFFSETOF_pt_regs__si": 8,
    "OFFSETOF_pt_regs__di": 16,
    "OFFSETOF_task_struct__thread_DOT_fsbase": 0,
    "WATCH_BY_DEFAULT": 1,
    "WATCH_SLOTS": 1,
    "MAX_SOCKETS": 64,
    "RING_PAGES": 1,
}
HARNESS = r"""
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
typedef uint8_t u8; typedef uint16_t u16; typedef uint32_t u32; typedef uint64_t u64; typedef int64_t s64;
#define BPF_F_MMAPABLE 0
#define BPF_RINGBUF_OUTPUT(name, pages)
#define BPF_TABLE(kind, K, V, name, size) BPF_F_TABLE(kind, K, V, name, size, 0)
#define BPF_PERCPU_ARRAY(name, V, size) BPF_F_TABLE("array", u32, V, name, size, 0)
#define BPF_F_TABLE(kind, K, V, name, size, flags) \
	static V name##_values[64]; static bool name##_there[64]; \
	static u64 name##_at(const void *key) { u64 at = 0; memcpy(&at, key, sizeof(K) < 8 ? sizeof(K) : 8); return at % 64; } \
	static V *name##_lookup(K *key) { u64 at = name##_at(key); return name##_there[at] ? &name##_values[at] : NULL; } \
	static int name##_update(K *key, V *value) { \
		u64 at = name##_at(key); name##_values[at] = *value; name##_there[at] = true; return 0; } \
	static int name##_delete(K *key) { name##_there[name##_at(key)] = false; return 0; } \
	static struct { V *(*lookup)(K *); int (*update)(K *, V *); int (*delete)(K *); } name = { \
		name##_lookup, name##_update, name##_delete }
#define RAW_TRACEPOINT_PROBE(name) static int name(struct raw_tracepoint *ctx)
struct raw_tracepoint { u64 args[2]; };
struct task { u32 tgid, pid; char *stack; char stack_of_it[64]; };
enum { TGID = 7, REGISTERS_AT = 32 };
static struct task tasks[64];
static u32 now;
static u64 bpf_ktime_get_ns(void) { return 5000 << 16; }
static void *bpf_get_current_task(void) { return &tasks[now]; }
static u64 bpf_get_current_pid_tgid(void) { return (u64)TGID << 32 | now; }
#include "work.c"
static long copy(void *to, u32 size, const void *from) { memcpy(to, from, size); return 0; }
static void *task_now(void) { return &tasks[now]; }
static void *registers_of(void *task) { return ((struct task *)task)->stack_of_it + REGISTERS_AT; }
static void calls(u32 tid, u64 number, u64 command, u64 futex)
{
	u64 registers[3] = {number, command, futex};
	memcpy(registers_of(&tasks[tid]), registers, sizeof(registers));
}
int main(void)
{
	char verb[16];
	unsigned a, b, c;
	struct watch_slot watched = {};
	struct runtime runtime = {.locks_start = 0x9000, .locks_end = 0xa000};
	u32 zero = 0, tgid = TGID;
	read_kernel = copy;
	current_task = task_now;
	user_registers = registers_of;
	watched.watch[TGID] = WATCH_RUNTIME;
	watches.update(&zero, &watched);
	runtimes.update(&tgid, &runtime);
	for (u32 n = 0; n < 64; n++)
		tasks[n].tgid = TGID, tasks[n].pid = n, tasks[n].stack = tasks[n].stack_of_it;
	while (scanf("%15s %u", verb, &now) == 2) {
		if (!strcmp(verb, "receive") && scanf("%u %u", &a, &b) == 2)
			turned(a, b, ROLE_SERVER, INGRESS);
		else if (!strcmp(verb, "answer") && scanf("%u", &a) == 1)
			turned(a, 2, ROLE_SERVER, EGRESS);
		else if (!strcmp(verb, "take") && scanf("%u %u", &a, &b) == 2)
			callback_begins(a, b, 100 * b);
		else if (!strcmp(verb, "return"))
			callback_ends();
		else if (!strcmp(verb, "node"))
			runtimes.lookup(&tgid)->kind = RUNTIME_NODE;
		else if (!strcmp(verb, "reply"))
			turned(63, 0, ROLE_CLIENT, INGRESS);
		else if (!strcmp(verb, "make") && scanf("%u", &a) == 1)
			made_thread(a);
		else if (!strcmp(verb, "leave")) {
			struct thread *thread = threads.lookup(&now);
			if (thread && is_exit_told(thread))
				printf("left 0 0\n");
		} else if (!strcmp(verb, "call") || !strcmp(verb, "named")) {
			struct origin origin;
			fill_origin(&origin, true);
			if (!strcmp(verb, "named"))
				printf("%s %u %u\n", origin.cause == CAUSE_BACKLOG ? "backlog" : "unclear",
					(unsigned)origin.cause_socket, origin.cause_turn);
			else
				printf("%u %u %u\n", origin.cause, (unsigned)origin.cause_socket, origin.cause_turn);
		} else if (!strcmp(verb, "number")) {
			struct origin origin;
			fill_origin(&origin, true);
			printf("job %u %u\n", (u32)(origin.task_parent >> 32), (u32)origin.task_parent);
		} else if (!strcmp(verb, "result")) {
			struct origin origin;
			fill_result(&origin);
			if (origin.cause == CAUSE_LOOP) {
				printf("%u %u %u\n", origin.cause, (unsigned)origin.cause_socket, origin.cause_turn);
				continue;
			}
			const char *what = origin.cause == CAUSE_RESULT ? "job" : "nobody";
			printf("%s %u %u\n", what, (u32)(origin.task_parent >> 32), (u32)origin.task_parent);
		} else if (scanf("%u %x", &a, &c) == 2) {
			struct raw_tracepoint context = {{(u64)&tasks[a]}};
			bool is_mutex = !strcmp(verb, "unlock");
			calls(a, SYSCALL_FUTEX, is_mutex ? 128 : 128 | FUTEX_WAIT_BITSET | 256, c);
			if (!strcmp(verb, "expire"))
				calls(now, 1, 0, 0);
			else
				calls(now, SYSCALL_FUTEX, 128 | FUTEX_WAKE, c);
			sched_waking(&context);
		} else
			return 1;
	}
	return 0;
}
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("work")
    (folder / "main.c").write_text(HARNESS)
    (folder / "work.c").write_text((probes_folder() / "wake.c").read_text())
    built = folder / "work"
    subprocess.run(
        [
            *("cc", "-std=gnu17", "-O1", "-w", "-I", str(folder)),
            *("-I", str(probes_folder() / "include")),
            *(f"-D{name}={value}" for name, value in OFFSETS.items()),
            *("-o", str(built), str(folder / "main.c")),
        ],
        check=True,
    )
    return built


@pytest.fixture
def told(program: Path):
    def run(script: str) -> list[str]:
        done = subprocess.run([program], input=script, capture_output=True, text=True, check=True)
        lines = []
        for line in done.stdout.splitlines():
            if not line[0].isdigit():
                what, thread, number = line.split()
                if what == "job":
                    what = f"{thread}:{int(number) - FIRST}"
                elif what in ("unclear", "backlog"):
                    what = f"{what} {thread}/{number}"
                lines.append(what)
                continue
            cause, socket, turn = map(int, line.split())
            flags = "".join(
                name * bool(cause & bit)
                for name, bit in ((" used", 256), (" mixed", 512), (" passed", 1024))
            )
            is_known = cause & 255 in (1, 2, 7)
            lines.append(NAMES[cause & 255] + (f" {socket}/{turn}{flags}" if is_known else ""))
        return lines

    return run


def test_one_thread_receives_and_wakes_others(told):
    """Their calls overtake one another; the words of a condition variable are next to one another."""
    script = """
        receive 1 5 1  wake 1 2 0x100  receive 1 6 3  wake 1 3 0x104
        call 3  call 2  call 2  call 1
    """
    assert told(script) == ["woken 6/3", "woken 5/1", "woken 5/1 used", "none"]


def test_each_job_is_a_new_wake(told):
    script = "receive 1 5 1 wake 1 2 0x100 call 2 receive 1 6 1 wake 1 2 0x100 call 2"
    assert told(script) == ["woken 5/1", "woken 6/1"]


def test_who_wakes_the_one_that_waits_for_the_result_is_done(told):
    """The thread that waits has a request of its own, and keeps it."""
    script = """
        receive 1 5 1  wake 1 2 0x100  call 2  wake 2 1 0x200  call 2
        wake 1 3 0x100  call 3
    """
    assert told(script) == ["woken 5/1", "backlog", "woken 5/1"]


def test_a_worker_that_answers_is_done(told):
    script = "receive 1 5 1 wake 1 2 0x100 call 2 answer 2 5 call 2"
    assert told(script) == ["woken 5/1", "backlog"]


def test_a_request_received_counts_before_what_was_handed(told):
    assert told("receive 1 5 1 wake 1 2 0x100 receive 2 6 1 call 2") == ["none"]


@pytest.mark.parametrize(
    "how",
    [
        "expire 1 2 0x100",
        "unlock 1 2 0x100",
        "wake 1 2 0x9100",
    ],
)
def test_timers_mutexes_and_the_runtimes_locks_hand_nothing_over(told, how):
    assert told(f"receive 1 5 1 {how} call 2") == ["none"]


def test_who_has_nothing_hands_nothing_over(told):
    script = "receive 1 5 1 wake 1 2 0x100 call 2 wake 4 2 0x100 call 2 wake 4 3 0x100 call 3"
    assert told(script) == ["woken 5/1", "unclear", "none"]


def test_what_was_handed_is_not_handed_on(told):
    """A worker may wake the next one for what others have queued."""
    script = "receive 1 5 1 wake 1 2 0x100 wake 1 3 0x100 wake 2 3 0x100 call 3 call 2"
    assert told(script) == ["unclear", "woken 5/1"]


def test_a_lock_in_the_middle_of_the_work_is_no_new_work(told):
    script = """
        receive 1 5 1  wake 1 2 0x100  call 2
        wake 4 2 0x300  call 2
        receive 4 6 1  wake 4 2 0x300  call 2
    """
    assert told(script) == ["woken 5/1", "woken 5/1 used", "unclear"]


def test_a_thread_made_for_a_request(told):
    """It, and what it makes, work for that one, also after the answer."""
    script = "receive 1 5 1 answer 1 5 make 1 2 make 2 3 call 2 call 3 make 4 5 call 5"
    assert told(script) == ["created 5/1", "created 5/1", "none"]


def test_two_requests_before_anything_was_done_about_the_first(told):
    script = "receive 1 5 1 receive 1 6 1 wake 1 2 0x100 call 2 make 1 3 call 3"
    assert told(script) == ["unclear", "unclear"]
    script = "receive 1 5 1 answer 1 5 receive 1 6 1 wake 1 2 0x100 call 2"
    assert told(script) == ["woken 6/1"]


def test_answers_received_meanwhile_are_told(told):
    assert told("receive 1 5 1 reply 1 wake 1 2 0x100 call 2") == ["woken 5/1 mixed"]


def test_an_idle_thread_forgets_the_request_that_it_answered(told):
    """It is idle where it waits again; a lock in what it does after the answer is none of that."""
    script = (
        "receive 1 5 1 answer 1 5 wake 4 1 0x100 make 1 2 call 2 wake 4 1 0x100 make 1 3 call 3"
    )
    assert told(script) == ["created 5/1", "unclear"]
    script = "receive 1 5 1 answer 1 5 receive 4 6 1 answer 4 6 wake 4 1 0x100 make 1 2 call 2"
    assert told(script) == ["created 5/1"]
    script = "receive 1 5 1 answer 1 5 receive 4 6 1 wake 4 1 0x100 call 1"
    assert told(script) == ["woken 6/1"]


def test_a_thread_that_was_made_says_so_to_its_maker(told):
    """CPython's start() waits until the new thread runs; locks wake in both directions; then it works, and is joined."""
    script = """
        receive 1 5 1  make 1 2  wake 2 1 0x200  wake 3 2 0x300  wake 1 2 0x300  call 2
        call 2  wake 2 1 0x200  call 2
    """
    assert told(script) == ["created 5/1", "created 5/1 used", "backlog"]


def test_a_thread_that_was_made_and_is_woken_by_another_request(told):
    """It may belong to a pool, or have waited for a lock."""
    script = "receive 1 5 1 make 1 2 receive 4 6 1 wake 4 2 0x300 named 2 leave 2 leave 4"
    assert told(script) == ["unclear 5/1", "left"]
    script = "receive 1 5 1 make 1 2 receive 4 6 1 call 2 wake 4 2 0x300 call 2 leave 2"
    assert told(script) == ["created 5/1", "woken 6/1"]
    script = "receive 1 5 1 receive 1 6 1 make 1 2 named 2 leave 2"
    assert told(script) == ["unclear 6/1"]


def test_what_a_woken_thread_makes_is_as_sure_as_that(told):
    script = "receive 1 5 1 wake 1 2 0x100 make 2 3 make 3 4 call 3 call 4 make 1 6 call 6"
    assert told(script) == ["created 5/1 passed", "created 5/1 passed", "created 5/1"]
    script = "receive 1 5 1 wake 1 2 0x100 wake 4 2 0x100 make 2 3 call 3"
    assert told(script) == ["unclear"]


def test_who_wakes_the_one_that_waits_has_done_its_job(told):
    """Whoever it was woken by: two jobs change places."""
    script = """
        receive 1 5 1  wake 1 3 0x100  receive 2 6 1  wake 2 4 0x100
        number 3  number 4  number 4
        wake 4 1 0x200  result 1  result 1  wake 3 2 0x200  result 2
        number 4  wake 4 2 0x200  number 4
    """
    assert told(script) == ["3:0", "4:0", "4:0", "4:0", "nobody", "3:0", "4:1", "4:2"]


def test_who_has_given_the_result_and_lets_go_of_a_lock_gives_no_other(told):
    """As CPython's futures: notified first, unlocked afterwards."""
    script = """
        receive 1 5 1  wake 1 3 0x100  number 3  wake 3 1 0x200  wake 3 1 0x300  result 1
        receive 1 5 3  wake 1 3 0x100  number 3  wake 3 1 0x200  number 3  wake 3 1 0x200  result 1
    """
    assert told(script) == ["3:0", "3:0", "3:1", "3:2", "3:2"]


def test_locks_that_others_let_go_cut_no_job(told):
    script = """
        receive 1 5 1  wake 1 2 0x100  wake 3 2 0x300  number 2  wake 2 1 0x200
        wake 3 2 0x300  number 2  wake 3 2 0x300  wake 3 2 0x308  number 2
    """
    assert told(script) == ["2:0", "2:1", "2:1"]


def test_a_thread_that_a_worker_makes_after_its_answer(told):
    script = "receive 1 5 1 wake 1 2 0x100 receive 1 6 1 answer 2 5 make 2 3 named 3 leave 3"
    assert told(script) == ["backlog 5/1", "left"]
    script = "receive 1 5 1 wake 1 2 0x100 answer 2 5 result 2 number 2"
    assert told(script) == ["2:0", "2:1"]
    script = "receive 1 5 1 wake 1 2 0x100 answer 2 5 call 2 make 2 3 call 3 leave 3"
    assert told(script) == ["backlog", "backlog"]
    script = "receive 1 5 1 wake 1 2 0x100 answer 2 5 wake 1 2 0x100 make 2 3 call 3 leave 3"
    assert told(script) == ["created 5/1 passed"]


def test_locks_at_the_place_where_a_thread_is_idle_cut_no_job(told):
    """Java's threads wait for everything at a place of their own."""
    script = """
        receive 1 5 1  wake 1 2 0x100  number 2  wake 3 2 0x100  call 2  number 2
        wake 2 1 0x200  result 1  wake 3 2 0x100  number 2
    """
    assert told(script) == ["2:0", "unclear", "2:0", "2:0", "2:1"]


def test_who_has_only_begun_has_no_result(told):
    script = "receive 1 5 1 wake 1 3 0x100 number 3 wake 3 1 0x200 make 1 2 wake 2 1 0x200 result 1"
    assert told(script) == ["3:0", "3:0"]


def test_the_last_one_to_wake_it_has_the_result(told):
    script = """
        receive 1 5 1  wake 1 3 0x100  wake 1 4 0x100  number 3  number 4
        wake 3 1 0x300  wake 4 1 0x200  wake 9 1 0x200  result 1
        receive 1 5 3  result 1
    """
    assert told(script) == ["3:0", "4:0", "4:0", "nobody"]


def test_who_has_a_request_of_its_own_does_no_job_for_others(told):
    script = "receive 1 5 1 receive 2 6 1 wake 2 1 0x200 result 1 number 1"
    assert told(script) == ["nobody", "0:-5000"]


def test_a_worker_that_answers_has_done_that_request(told):
    script = """
        receive 1 5 1  wake 1 2 0x100  number 2  receive 1 6 1  wake 1 3 0x100
        answer 2 6  result 2  call 2  number 2  answer 2 5  result 2
    """
    assert told(script) == ["2:0", "2:0", "backlog", "2:1", "2:1"]


def test_a_loop_that_answers_another_request_than_it_received_last_tells_nothing(told):
    script = """
        receive 9 7 1 wake 9 2 0x100 number 2 receive 1 5 1 receive 1 6 1 wake 2 1 0x200
        answer 1 5 result 1
    """
    assert told(script) == ["2:0", "nobody"]


def test_an_idle_worker_that_is_woken_begins_another_job(told):
    """Nobody waited for the first one."""
    script = """
        receive 1 5 1  wake 1 2 0x100  number 2  wake 1 2 0x300  number 2  receive 1 5 3
        wake 1 2 0x300  number 2
    """
    assert told(script) == ["2:0", "2:0", "2:1"]


def test_what_threads_do_that_a_worker_made_is_of_its_job(told):
    script = """
        receive 1 5 1  wake 1 2 0x100  make 2 3  make 3 4  number 3  number 4
        wake 2 1 0x200  result 1  make 2 5  wake 5 2 0x300  wake 9 5 0x300  number 5  number 3
    """
    assert told(script) == ["2:0", "2:0", "2:0", "2:1", "2:0"]


def test_a_loop_works_for_what_it_received_until_its_callback_returns(told):
    """A thread is known for a loop's once a callback of it has returned."""
    script = """
        node 1  take 1 5 1  call 1  return 1  call 1
        take 1 5 3  call 1  take 1 6 2  call 1  return 1  call 1
        take 1 0 0  call 1
    """
    assert told(script) == ["none", "loop 0/0", "loop 5/3", "loop 6/2", "loop 0/2", "loop 0/0"]


def test_other_threads_of_a_loops_process_go_by_what_they_were_handed(told):
    script = "node 1 take 1 5 1 receive 1 5 1 return 1 take 2 6 1 wake 1 2 0x100 call 2"
    assert told(script) == ["woken 5/1"]


def test_only_nodes_loops_are_known_by_callbacks(told):
    assert told("take 1 5 1 return 1 take 1 5 3 call 1") == ["none"]


def test_an_answer_says_in_which_callback_it_is_sent(told):
    script = (
        "node 1 return 1 receive 1 5 1 take 1 5 1 return 1 take 1 6 2 result 1 return 1 result 1"
    )
    assert told(script) == ["loop 6/2", "loop 0/2"]
