/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * For whom a thread works: what `struct origin` tells of it.
 *
 * A thread has work of its own from the receipt of a request on. It hands that work to an idle thread by waking it, or
 * to a new one by making it. The wake that counts is one from a wait as condition variables and semaphores wait
 * (FUTEX_WAIT_BITSET, with which glibc waits for everything but mutexes): a mutex says nothing about who works for whom.
 * Neither do the locks of a runtime (`struct runtime`).
 *
 * A thread that was made works for that request until it has made calls and then wakes a thread that waits for a result, or
 * is woken by one that works for another request. If such a one wakes it before its first call, that may be about a lock; or
 * it belongs to a pool, and has its first job from there. Then only its exit tells: threads of pools stay. A thread that was woken need not
 * have taken the job that it was woken for, and one whose queue is not empty takes the next one without waiting. So what
 * a thread was handed ends when it wakes the thread that waits for the result, or responds itself.
 *
 * These ends tell more than the beginnings: whoever wakes the thread that received a request, or answers it, has done its
 * job. So jobs are numbered. A job of a thread is what it does between two ends, or from a wake where it is idle; its calls
 * carry its number, as do those of threads that it makes, and so does the answer of the thread that it woke last. No
 * number stands for two jobs, but a job may be cut in two by a lock that both threads wait for.
 */
#ifndef ZEROSPAN_WORK_H
#define ZEROSPAN_WORK_H

struct thread {
	u64 own_socket; /* the server's connection on which it received last; 0: none, or it was idle since */
	u64 cause_socket; /* the one whose work it was handed */
	u64 idle_at; /* the futex where it waited when it was handed work */
	u64 job; /* what it does: tid of who began it in the upper half, and a number; 0: nothing, or a request of its own */
	u64 result; /* the job of whoever woke it last since it received its request; or its own, which it has just answered */
	u64 result_ns; /* when that was */
	u32 own_turn;
	u32 cause_turn;
	u8 cause; /* enum cause; CAUSE_NONE once it received a request itself */
	u8 is_used; /* it made calls since it was handed work */
	u8 is_cause_mixed; /* what it was handed came from a thread with is_mixed */
	u8 is_cause_passed; /* it was made by a thread that had been woken for that work */
	u8 is_busy; /* calls or threads were made in its job */
	u8 is_made; /* its maker worked for cause_turn of cause_socket, or had just answered it; only the cause changes since */
	u8 is_told; /* it made a call of which only its exit will tell */
	u8 is_mixed; /* it received as a client since its own request */
	u8 is_answered; /* it sent something on its own connection since its request; without one: it answered another's last */
	u8 is_handed; /* it woke or made another thread since its request */
	u8 is_doubtful; /* it received another request before it did something about the one before */
	u8 _pad[5];
};

/*
 * What each thread works for, by tid. Inserted when a thread receives a request, is made by one that works, or is woken
 * by one; deleted when it ends. LRU, for processes that are not watched any more: what is forgotten is not claimed.
 */
BPF_TABLE("lru_hash", u32, struct thread, threads, 8192);

/* How the current process's runtime is read; NULL for most, at no other cost than that of its watch byte. */
static __always_inline struct runtime *runtime_now(void)
{
	u32 tgid = bpf_get_current_pid_tgid() >> 32;
	u8 *watch = watch_of(tgid);

	return watch && (*watch & WATCH_RUNTIME) ? runtimes.lookup(&tgid) : NULL;
}

#include "python.h"
#include "goroutine.h"
#include "loop.h"

/* The logical task that is running on this thread, by the runtime's kind. A branch per kind. */
static __always_inline void fill_task(struct origin *origin, const struct runtime *runtime)
{
	origin->task = 0;
	origin->task_parent = 0;
	if (runtime->kind == RUNTIME_GO)
		fill_goroutine(origin, runtime, 0);
}

static __always_inline bool is_cause_live(const struct thread *thread)
{
	return thread->cause == CAUSE_WOKEN || thread->cause == CAUSE_CREATED;
}

/* It was made for some work, and has done nothing about it yet: whoever it wakes or is woken by, that is its start. */
static __always_inline bool is_new(const struct thread *thread)
{
	return thread->job && !thread->idle_at && !thread->is_used;
}

/* Whether its exit tells for whom its calls were. */
static __always_inline bool is_exit_told(const struct thread *thread)
{
	return thread->is_told && thread->is_made;
}

/* What the thread does from here on is another job. Numbers begin with the time, since thread numbers are used again. */
static __always_inline void next_job(struct thread *thread, u32 tid)
{
	if (thread->job >> 32 == tid && !thread->is_busy)
		return;
	thread->job = (u64)tid << 32 | (u32)(thread->job ? thread->job + 1 : bpf_ktime_get_ns() >> 16);
	thread->is_busy = 0;
}

static __always_inline void fill_origin(struct origin *origin, bool is_call)
{
	struct runtime *runtime = runtime_now();
	u32 tid = bpf_get_current_pid_tgid();
	struct thread *thread = threads.lookup(&tid);

	origin->task = 0;
	origin->task_parent = 0;
	origin->cause_socket = 0;
	origin->cause_turn = 0;
	origin->cause = CAUSE_NONE;
	if (runtime)
		fill_task(origin, runtime);
	if (runtime && runtime->kind == RUNTIME_PYTHON)
		fill_context(origin, runtime);
	else if (runtime && runtime->kind == RUNTIME_NODE)
		fill_callback(origin);
	if (origin->cause != CAUSE_NONE)
		return;
	if (!thread || thread->cause == CAUSE_NONE)
		return;
	origin->cause_socket = thread->cause_socket;
	origin->cause_turn = thread->cause_turn;
	origin->cause = thread->cause | (thread->is_used ? CAUSE_USED : 0) |
			(thread->is_cause_mixed ? CAUSE_MIXED : 0) | (thread->is_cause_passed ? CAUSE_PASSED : 0);
	if (!is_call)
		return;
	thread->is_used = 1;
	thread->is_busy = 1;
	if (thread->is_made && thread->cause != CAUSE_CREATED)
		thread->is_told = 1;
	if (!runtime || runtime->kind != RUNTIME_GO)
		origin->task_parent = thread->job;
}

/* Of an answer: who did the job, told with its first bytes; or in which callback of a loop it is sent. */
static __always_inline void fill_result(struct origin *origin)
{
	u32 tid = bpf_get_current_pid_tgid();
	struct thread *thread = threads.lookup(&tid);

	origin->task = 0;
	origin->task_parent = 0;
	origin->cause_socket = 0;
	origin->cause_turn = 0;
	origin->cause = CAUSE_NONE;
	if (is_loop_process())
		fill_callback(origin);
	if (!thread || !thread->result)
		return;
	origin->task_parent = thread->result;
	origin->cause_socket = thread->result_ns;
	origin->cause = CAUSE_RESULT;
	thread->result = 0;
}

/* The first bytes of a turn passed on a connection: whether they are a request received or its answer. */
static __always_inline void turned(u64 socket, u32 turn, u8 role, u32 direction)
{
	u32 tid = bpf_get_current_pid_tgid();
	struct thread *thread = threads.lookup(&tid), fresh = {};

	if (!thread && role == ROLE_SERVER && direction == INGRESS) {
		threads.update(&tid, &fresh);
		thread = threads.lookup(&tid);
	}
	if (!thread)
		return;
	if (role == ROLE_SERVER && direction == INGRESS) {
		thread->is_doubtful = thread->own_socket && thread->own_socket != socket && !thread->is_answered &&
				      !thread->is_handed;
		thread->own_socket = socket;
		thread->own_turn = turn;
		thread->is_answered = 0;
		thread->is_handed = 0;
		thread->is_mixed = 0;
		thread->cause = CAUSE_NONE;
		thread->result = 0;
	} else if (role == ROLE_SERVER) {
		if (thread->own_socket == socket) {
			thread->is_answered = 1;
		} else if (thread->own_socket) {
			thread->result = 0;
		} else {
			thread->result = thread->job;
			thread->result_ns = bpf_ktime_get_ns();
			thread->is_busy =
				1; /* also if it made no calls: what it does from here on is not of this job */
			next_job(thread, tid);
			thread->cause_socket = socket;
			thread->cause_turn = turn - 1;
			thread->cause = CAUSE_BACKLOG;
			thread->is_answered = 1;
		}
		if (is_cause_live(thread) && thread->cause_socket == socket)
			thread->cause = CAUSE_BACKLOG;
	} else if (role == ROLE_CLIENT && direction == INGRESS) {
		thread->is_mixed = 1;
	}
}

/* The current thread makes another one, or a process, which works for the same. */
static __always_inline void made_thread(u32 child)
{
	u32 tid = bpf_get_current_pid_tgid();
	struct thread *maker = threads.lookup(&tid), made = {};

	if (!maker)
		return;
	if (maker->own_socket) {
		made.cause_socket = maker->own_socket;
		made.cause_turn = maker->own_turn;
		made.is_cause_mixed = maker->is_mixed;
		maker->is_handed = 1;
		made.is_made = !maker->is_doubtful;
		made.cause = made.is_made ? CAUSE_CREATED : CAUSE_UNCLEAR;
		next_job(&made, child);
	} else if (maker->cause != CAUSE_NONE) {
		made.cause_socket = maker->cause_socket;
		made.cause_turn = maker->cause_turn;
		made.is_cause_mixed = maker->is_cause_mixed;
		made.is_cause_passed = maker->is_cause_passed || maker->cause == CAUSE_WOKEN;
		made.cause = is_cause_live(maker) ? CAUSE_CREATED : maker->cause;
		made.job = maker->job;
		made.is_made = maker->is_answered && maker->cause == CAUSE_BACKLOG && !maker->is_busy;
		maker->is_busy = 1;
	} else {
		return;
	}
	threads.update(&child, &made);
}

#endif
