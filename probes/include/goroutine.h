/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* For which goroutine a call on a socket is made. */
#ifndef ZEROSPAN_GOROUTINE_H
#define ZEROSPAN_GOROUTINE_H

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

/* The goroutine that asked for a call on a socket, where another one carries it out. */
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

#endif
