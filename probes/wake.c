// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * Threads that wake one another: how work gets to the threads of a pool (work.h).
 *
 * This tracepoint runs for every wake on the host, so it leaves at once unless a thread wakes another one of its own
 * process. A thread that waits for a futex and one that wakes it are both in futex(2), and the arguments of a thread's
 * system call lie at the top of its kernel stack: so nothing has to be kept of who waits where, and a wake by a timer
 * that happens to interrupt a thread of the same process is not taken for that thread's.
 */
#include "events.h"
#include "prelude.h"
#include "maps.h"
#include "task.h"
#include "work.h"

#define SYSCALL_FUTEX	  202
#define FUTEX_WAKE	  1
#define FUTEX_WAIT_BITSET 9
#define FUTEX_WAKE_BITSET 10
#define FUTEX_COMMAND	  0x7f

/* Not by bcc's names: see prelude.h. */
static void *(*current_task)(void) = (void *)158; /* BPF_FUNC_get_current_task_btf */
static void *(*user_registers)(void *task) = (void *)175; /* BPF_FUNC_task_pt_regs */

/* The futex that a thread is in a call about: its address, with the word's place in it left out, since a condition
 * variable has two next to one another. 0 if it is in no such call. */
static __always_inline u64 futex_of(void *registers, bool is_wake)
{
	u32 command;

	if (read_u64(registers + OFFSETOF_pt_regs__orig_ax) != SYSCALL_FUTEX)
		return 0;
	command = read_u64(registers + OFFSETOF_pt_regs__si) & FUTEX_COMMAND;
	if (is_wake ? command != FUTEX_WAKE && command != FUTEX_WAKE_BITSET : command != FUTEX_WAIT_BITSET)
		return 0;
	return read_u64(registers + OFFSETOF_pt_regs__di) & ~7ULL;
}

/* A thread that waits with a request of its own is woken: who has its result is done with the job. `waker` is NULL for a
 * thread that nothing is known of. */
static __always_inline void give_result(struct thread *waker, u32 waker_tid, struct thread *woken)
{
	if (!waker || waker->own_socket)
		return;
	if (woken->result >> 32 == waker->job >> 32 && !waker->is_busy)
		return; /* it has given it, and lets go of a lock now */
	if (is_new(waker) && !waker->is_busy)
		return;
	woken->result = waker->job;
	woken->result_ns = bpf_ktime_get_ns();
	next_job(waker, waker_tid);
	if (is_cause_live(waker))
		waker->cause = CAUSE_BACKLOG;
}

/* Whether a wake by `giver`, NULL for a thread without work, is about something else than new work. */
static __always_inline bool is_aside(const struct thread *giver, struct thread *woken, u64 futex)
{
	bool is_same = giver && giver->own_socket == woken->cause_socket && giver->own_turn == woken->cause_turn;

	if (is_new(woken)) {
		if (giver && !is_same)
			woken->cause = CAUSE_UNCLEAR;
		return true;
	}
	if (woken->idle_at == futex) {
		/* Some runtimes let a thread wait for everything at one place (Java): locks are let go by any thread. */
		if (!giver && woken->is_busy)
			woken->cause = CAUSE_UNCLEAR;
		return !giver && woken->is_busy;
	}
	if (woken->own_socket && (!giver || giver->is_answered)) {
		/* It has answered. Where it is idle it will be woken again, by a lock hardly. */
		woken->idle_at = futex;
		return true;
	}
	if (!giver)
		return true;
	if (woken->idle_at && (is_cause_live(woken) || woken->is_busy)) {
		/* In the middle of its work, for something that others hold; or it idles elsewhere from now on. */
		woken->cause = CAUSE_UNCLEAR;
		if (!giver->is_answered)
			woken->idle_at = futex;
		return true;
	}
	return false;
}

/* `waker` as above. */
static __always_inline void hand_over(struct thread *waker, u32 pid, u64 futex)
{
	struct thread *woken = threads.lookup(&pid), fresh = {};
	struct thread *giver = waker && waker->own_socket ? waker : NULL;

	if (!woken) {
		if (!giver)
			return;
		threads.update(&pid, &fresh);
		woken = threads.lookup(&pid);
		if (!woken)
			return;
	}
	if (is_aside(giver, woken, futex))
		return;
	woken->own_socket = 0;
	woken->is_answered = 0;
	woken->is_used = 0;
	woken->is_made = 0;
	woken->is_cause_passed = 0;
	woken->idle_at = futex;
	next_job(woken, pid);
	if (!giver || giver->is_doubtful) {
		woken->cause = CAUSE_UNCLEAR;
		return;
	}
	giver->is_handed = 1;
	woken->cause_socket = giver->own_socket;
	woken->cause_turn = giver->own_turn;
	woken->is_cause_mixed = giver->is_mixed;
	woken->cause = CAUSE_WOKEN;
}

RAW_TRACEPOINT_PROBE(sched_waking)
{
	void *task = (void *)ctx->args[0];
	u64 me = bpf_get_current_pid_tgid();
	u32 tid = (u32)me, pid;
	struct thread *woken;
	struct runtime *runtime;
	void *registers, *myself;
	u64 at, futex, offset;

	if (!tid || read_u32(task + OFFSETOF_task_struct__tgid) != me >> 32 || !is_watched())
		return 0;
	pid = read_u32(task + OFFSETOF_task_struct__pid);
	if (pid == tid)
		return 0;
	myself = current_task();
	registers = user_registers(myself);
	/* Read it as a number: the verifier allows no arithmetic with unknown numbers on a pointer of the kernel's. */
	at = read_u64(&registers);
	futex = futex_of((void *)at, true);
	if (!futex)
		return 0;
	/* Where registers lie on a stack is the same for all threads of a kernel. */
	offset = at - read_u64(myself + OFFSETOF_task_struct__stack);
	if (futex_of((void *)read_u64(task + OFFSETOF_task_struct__stack) + offset, false) != futex)
		return 0;
	runtime = runtime_now();
	if (runtime && futex >= runtime->locks_start && futex < runtime->locks_end)
		return 0;
	woken = threads.lookup(&pid);
	if (woken && woken->own_socket && !woken->is_answered)
		give_result(threads.lookup(&tid), tid, woken);
	else
		hand_over(threads.lookup(&tid), pid, futex);
	return 0;
}
