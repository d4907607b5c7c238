/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * For whom a thread works: what `struct origin` tells of it.
 *
 * A thread has work of its own from the receipt of a request on. It hands that work to an idle thread by waking it, or
 * to a new one by making it. The wake that counts is one from a wait as condition variables and semaphores wait
 * (FUTEX_WAIT_BITSET, with which glibc waits for everything but mutexes): a mutex says nothing about who works for whom.
 * Neither do the locks of a runtime (`struct runtime`).
 *
 * Where idle threads are woken for each job this is exact. A worker whose queue is not empty takes the next job without
 * waiting: so what it was handed ends when it wakes the thread that waits for the result, or responds itself.
 */
#ifndef ZEROSPAN_WORK_H
#define ZEROSPAN_WORK_H

struct thread {
	u64 own_socket; /* the server's connection on which it received last; 0: none, or it was idle since */
	u64 cause_socket; /* the one whose work it was handed */
	u64 idle_at; /* the futex where it waited when it was handed work */
	u32 own_turn;
	u32 cause_turn;
	u8 cause; /* enum cause; CAUSE_NONE once it received a request itself */
	u8 is_used; /* it made calls since it was handed work */
	u8 is_cause_mixed; /* what it was handed came from a thread with is_mixed */
	u8 is_mixed; /* it received as a client since its own request */
	u8 is_answered; /* it sent something on its own connection since its request */
	u8 is_handed; /* it woke or made another thread since its request */
	u8 is_doubtful; /* it received another request before it did something about the one before */
	u8 _pad;
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
struct goroutine {
	u64 id;
	u64 parent;
};

/*
 * Who made the last net/http call on a client's socket, by the socket's identity: written by the go probe before each
 * request is sent, deleted when the socket is closed. LRU, since a program may be gone before its sockets are.
 */
BPF_TABLE("lru_hash", u64, struct goroutine, go_callers, 16384);

/*
 * offset[0..2] are those of goid, parentGoid and startpc in runtime.g; address[0] to before address[1] is the code that
 * begins the goroutines of net/http's client connections: those carry out what others ask for, and were made for the first
 * of them, so what they do is nobody's.
 * `g` is 0 for the goroutine that runs on this thread, whose place in thread-local storage is the same in all Go programs
 * for Linux on this processor.
 */
static __always_inline void fill_goroutine(struct origin *origin, const struct runtime *runtime, u64 g)
{
	u64 base, start = 0;

	if (!g) {
		base = read_u64((void *)bpf_get_current_task() + OFFSETOF_task_struct__thread_DOT_fsbase);
		if (read_user(&g, sizeof(g), (void *)(base - 8)) || !g)
			return;
	}
	if (read_user(&start, sizeof(start), (void *)(g + runtime->offset[2])) ||
	    (start >= runtime->address[0] && start < runtime->address[1]))
		return;
	read_user(&origin->task_parent, sizeof(origin->task_parent), (void *)(g + runtime->offset[1]));
	read_user(&origin->task, sizeof(origin->task), (void *)(g + runtime->offset[0]));
}

/* The logical task that is running on this thread, by the runtime's kind. A branch per kind. */
static __always_inline void fill_task(struct origin *origin, const struct runtime *runtime)
{
	origin->task = 0;
	origin->task_parent = 0;
	if (runtime->kind == RUNTIME_GO)
		fill_goroutine(origin, runtime, 0);
}

/* The same for a call on a socket: the goroutine that asked for it, where another one carries it out. */
static __always_inline void fill_caller(struct origin *origin, u64 socket)
{
	struct runtime *runtime = runtime_now();
	struct goroutine *caller;

	if (!runtime || runtime->kind != RUNTIME_GO)
		return;
	caller = go_callers.lookup(&socket);
	if (!caller)
		return;
	origin->task = caller->id;
	origin->task_parent = caller->parent;
}

static __always_inline bool is_cause_live(const struct thread *thread)
{
	return thread->cause == CAUSE_WOKEN || thread->cause == CAUSE_CREATED;
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
	if (origin->cause != CAUSE_NONE)
		return;
	if (!thread || thread->cause == CAUSE_NONE)
		return;
	origin->cause_socket = thread->cause_socket;
	origin->cause_turn = thread->cause_turn;
	origin->cause = thread->cause | (thread->is_used ? CAUSE_USED : 0) | (thread->is_cause_mixed ? CAUSE_MIXED : 0);
	if (is_call)
		thread->is_used = 1;
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
	} else if (role == ROLE_SERVER) {
		if (thread->own_socket == socket)
			thread->is_answered = 1;
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
		made.cause = maker->is_doubtful ? CAUSE_UNCLEAR : CAUSE_CREATED;
	} else if (is_cause_live(maker)) {
		made.cause_socket = maker->cause_socket;
		made.cause_turn = maker->cause_turn;
		made.is_cause_mixed = maker->is_cause_mixed;
		made.cause = CAUSE_CREATED;
	} else {
		return;
	}
	threads.update(&child, &made);
}

#endif
