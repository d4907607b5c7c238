/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * What an event loop's thread does follows from: the receipt in whose callback it is.
 *
 * Node.js (libuv) calls back once for each read from a stream, and all that follows from what was read, with its ticks and
 * microtasks, runs before that callback is over. So from a receipt on until the callback returns, the thread works for what
 * it received. All else runs without a receipt, also directly behind one: timers, immediates, and what a pool of threads or a
 * connect has completed. Of that nothing is known here.
 */
#ifndef ZEROSPAN_LOOP_H
#define ZEROSPAN_LOOP_H

struct callback {
	u64 socket; /* received on, either end's; 0: none that is known, or its callback is over */
	u64 position; /* bytes that had been received on it then */
	u32 turn; /* of that socket */
	u32 _pad;
};

/*
 * By tid, of threads that run a loop. Inserted when a callback is over for the first time, so that other threads of such a
 * process have none; changed by each receipt and at the end of each callback; deleted when the thread ends (process.c). LRU, so that
 * without room the thread that has called back least lately goes, which begins anew.
 */
BPF_TABLE("lru_hash", u32, struct callback, callbacks, 8192);

static __always_inline bool is_loop_process(void)
{
	struct runtime *runtime = runtime_now();

	return runtime && runtime->kind == RUNTIME_NODE;
}

/* The thread received something; `socket` is 0 where nothing is read of it. */
static __always_inline void callback_begins(u64 socket, u32 turn, u64 position)
{
	u32 tid = bpf_get_current_pid_tgid();
	struct callback *callback = is_loop_process() ? callbacks.lookup(&tid) : NULL;

	if (!callback)
		return;
	callback->socket = socket;
	callback->turn = turn;
	callback->position = position;
}

static __always_inline void callback_ends(void)
{
	u32 tid = bpf_get_current_pid_tgid();
	struct callback *callback, over = {};

	if (!is_loop_process())
		return;
	callback = callbacks.lookup(&tid);
	if (callback)
		callback->socket = 0;
	else
		callbacks.update(&tid, &over);
}

static __always_inline void fill_callback(struct origin *origin)
{
	u32 tid = bpf_get_current_pid_tgid();
	struct callback *callback = callbacks.lookup(&tid);

	if (!callback)
		return;
	origin->cause = CAUSE_LOOP;
	origin->cause_socket = callback->socket;
	origin->cause_turn = callback->turn;
	origin->task = callback->position;
}

#endif
