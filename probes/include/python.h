/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * For which request a CPython context works.
 *
 * asyncio runs every task and every callback in a context of its own, copied from that of whoever made it, and which one
 * runs stands in the thread's state. So work is inherited when a context is copied:
 * - the context that received a request on a connection serves that connection: its work is the request that is there now;
 * - of the context that accepted a connection, the next copy serves that connection, and so do the copies of it that are
 *   made before its first request (the reader and the handler of asyncio's streams are such);
 * - any other copy works for what its maker worked for at that moment, and goes on to, whatever comes next.
 * A context in which requests of several connections are received is no task, but what a loop or a thread runs in: it
 * says nothing.
 */
#ifndef ZEROSPAN_PYTHON_H
#define ZEROSPAN_PYTHON_H

#define THREAD_KEYS 32 /* of thread-specific data, as many as lie in the first block (glibc) */

struct context_key {
	u64 address;
	u64 tgid;
};

struct python_context {
	u64 socket; /* whose request it works for; 0: none that is known */
	u64 accepted; /* the connection accepted last, until a copy takes it */
	u32 turn; /* of that request; 0: the one that is there now */
	u32 is_shared; /* requests of several connections are received in it */
};

/*
 * What contexts work for. Written whenever a context is copied, over what was there: addresses are used again at once.
 * LRU, since nobody tells when a context is gone; what is forgotten is not claimed.
 */
BPF_TABLE("lru_hash", struct context_key, struct python_context, python_contexts, 16384);

#if HAS_task_struct__thread_DOT_fsbase

/*
 * The context that this thread runs; 0 if there is none. address[0] is that of the thread-specific key, offset[0] of the
 * context in the thread's state, offset[1] of thread-specific data behind the thread pointer.
 */
static __always_inline u64 context_now(const struct runtime *runtime)
{
	u64 thread, state = 0, context = 0;
	u32 key = 0;

	if (read_user(&key, sizeof(key), (void *)runtime->address[0]) || key >= THREAD_KEYS)
		return 0;
	thread = read_u64((void *)bpf_get_current_task() + OFFSETOF_task_struct__thread_DOT_fsbase);
	if (read_user(&state, sizeof(state), (void *)(thread + runtime->offset[1] + 16 * (u64)key + 8)) || !state)
		return 0;
	read_user(&context, sizeof(context), (void *)(state + runtime->offset[0]));
	return context;
}

#else

static __always_inline u64 context_now(const struct runtime *runtime)
{
	return 0;
}

#endif

/* Find the key of the current context; false if there is none, or its runtime is another one. */
static __always_inline bool find_context(struct context_key *key)
{
	struct runtime *runtime = runtime_now();

	if (!runtime || runtime->kind != RUNTIME_PYTHON)
		return false;
	key->address = context_now(runtime);
	key->tgid = bpf_get_current_pid_tgid() >> 32;
	return key->address;
}

/* The turn of the request that was received last on a server's connection; 0 before the first. */
static __always_inline u32 request_turn(u64 socket)
{
	struct socket_state *state = sockets.lookup(&socket);

	if (!state || state->role != ROLE_SERVER)
		return 0;
	return state->direction == EGRESS && state->turn ? state->turn - 1 : state->turn;
}

/* A connection was accepted in the current context. */
static __always_inline void context_accepted(u64 socket)
{
	struct context_key key = {};
	struct python_context *context, fresh = {};

	if (!find_context(&key))
		return;
	context = python_contexts.lookup(&key);
	if (context) {
		context->accepted = socket;
		return;
	}
	fresh.accepted = socket;
	python_contexts.update(&key, &fresh);
}

/* Bytes of a request were received in the current context. */
static __always_inline void context_received(u64 socket)
{
	struct context_key key = {};
	struct python_context *context, fresh = {};

	if (!find_context(&key))
		return;
	context = python_contexts.lookup(&key);
	if (!context) {
		fresh.socket = socket;
		python_contexts.update(&key, &fresh);
		return;
	}
	if (context->socket && context->socket != socket)
		context->is_shared = 1;
	context->socket = socket;
	context->turn = 0;
}

/* The current context was copied. */
static __always_inline void context_copied(u64 copy)
{
	struct context_key key = {};
	struct python_context *maker, made = {};

	if (!copy || !find_context(&key))
		return;
	maker = python_contexts.lookup(&key);
	if (maker && maker->accepted) {
		made.socket = maker->accepted;
		maker->accepted = 0;
	} else if (maker && !maker->is_shared && maker->socket) {
		made.socket = maker->socket;
		made.turn = maker->turn ? maker->turn : request_turn(maker->socket);
	}
	key.address = copy;
	python_contexts.update(&key, &made);
}

static __always_inline void fill_context(struct origin *origin, const struct runtime *runtime)
{
	struct context_key key = {};
	struct python_context *context;

	key.address = context_now(runtime);
	key.tgid = bpf_get_current_pid_tgid() >> 32;
	origin->task = key.address;
	context = key.address ? python_contexts.lookup(&key) : NULL;
	if (!context || context->is_shared)
		return;
	origin->cause = CAUSE_TASK;
	origin->cause_socket = context->socket;
	origin->cause_turn = 0;
	if (context->socket)
		origin->cause_turn = context->turn ? context->turn : request_turn(context->socket);
}

#endif
