// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * The trace context of each request, where contexts are propagated to other hosts. Loaded only where the operator asks for
 * it: here alone the kernel side decides something, since a request must leave with its context. How it travels is another
 * probe (tcp_option.c, http_header.c).
 *
 *   a request is received   its context is that of its option, its traceparent header, or its sender on this host; else
 *                           a new trace. Its task works for it from now on.
 *   a request is sent       its context is that of the work for which its connection was opened, if it is the first;
 *                           else that of the work of its task; else a new trace. The span id is new each time.
 *   a response is received  the task goes on with the work for which the request was sent.
 *   a response is sent      the task works for nobody.
 *
 * A thread with several requests under way is an event loop, and what it sends may be for any of them: it works for nobody
 * then, unless it is a proxy that passes on at once what it receives. No context rather than a doubtful one.
 *
 * A request is what begins a turn on a connection: nothing is known of protocols here, but for what tells that a
 * connection is encrypted (nobody sees a span there, so its caller's span stands for it), an interim response of HTTP/1,
 * and a header that is there already. User space learns of each context by a context_event, and gives its spans those
 * ids. Connections whose beginning was not seen carry none.
 */
#include "events.h"
#include "prelude.h"
#include "maps.h"
#include "task.h"
#include "submit.h"
#include "work.h"
#include "socket.h"
#include "payload.h"
#include "insertion.h"
#include "transfer.h"
#include "context.h"
#include "flow.h"
#include "head.h"
#include "request.h"
#include "hooks.h"

/* The context that arrived in the option of bytes among those just received. */
static __always_inline bool take_arrived(u64 socket, u32 sequence, u32 moved, struct context *context)
{
	struct stamp *stamp = arriving.lookup(&socket);
	u32 ahead;

	if (!stamp)
		return false;
	ahead = stamp->sequence - sequence;
	if (ahead < moved) {
		*context = stamp->context;
		arriving.delete(&socket);
		return true;
	}
	if ((s32)ahead < 0)
		arriving.delete(&socket); /* of bytes that passed */
	return false;
}

static __always_inline void request_received(struct sock *sk, u64 socket, struct flow *flow, struct scratch *scratch,
					     u32 length, u32 sequence, u32 moved)
{
	struct context context = {};
	struct work work = {};
	struct worker worker = worker_now();
	struct near_key key = {};
	struct context *sent;
	u64 span_id = random_id();
	u32 at = 0;

	if (scratch && !flow->is_opaque)
		at = find_traceparent(scratch, length);
	fill_near(&key, sk, false, sequence);
	sent = near.lookup(&key);
	if (at && read_traceparent(scratch, at, &context)) {
		/* A header says it. */
	} else if (take_arrived(socket, sequence, moved, &context)) {
		/* An option says it. */
	} else if (sent) {
		context = *sent;
	} else {
		context.trace_id[0] = random_id();
		context.trace_id[1] = random_id();
	}
	if (sent)
		near.delete(&key);
	if (!flow->is_opaque)
		tell(socket, &context, span_id, sequence, INGRESS);
	work.socket = socket;
	work.context = context;
	if (!flow->is_opaque) {
		work.context.span_id = span_id;
		work.context.is_remote = 0;
	}
	flow->context = work.context;
	open_request(flow, &worker);
	works.update(&worker, &work);
}

static __always_inline void received(struct sock *sk, void *msg, u32 moved)
{
	u64 socket = known_identity(sk);
	struct socket_state *state = socket ? sockets.lookup(&socket) : NULL;
	struct payload payload = {};
	struct scratch *scratch;
	struct flow *flow;
	u8 turn;

	if (!state || state->role == ROLE_UNKNOWN)
		return;
	flow = flow_of(socket);
	if (!flow)
		return;
	turn = flow->turn;
	flow->turn = FLOW_INGRESS;
	if (state->role == ROLE_CLIENT) {
		struct worker worker = worker_now();
		struct work work = {};

		if (turn == FLOW_EGRESS)
			departing.delete(&socket);
		work.context = flow->context;
		if (work.context.trace_id[0] | work.context.trace_id[1])
			works.update(&worker, &work);
		else
			works.delete(&worker);
		return;
	}
	if (turn == FLOW_INGRESS)
		return; /* more of a request */
	find_payload(&payload, msg, moved);
	scratch = look(payload.base, payload.length);
	if (turn == FLOW_NEW && scratch && is_encrypted(scratch))
		flow->is_opaque = 1;
	request_received(sk, socket, flow, scratch, payload.length, sequence_of(sk, moved, false), moved);
}

/* For what a request is sent: it becomes the flow's context, for the response to go on with, whatever the request carries. */
static __always_inline void take_work(struct flow *flow)
{
	struct worker worker = worker_now();
	struct work *work = is_doubtful(&worker) ? NULL : works.lookup(&worker);

	if (flow->is_opened)
		flow->is_opened = 0;
	else if (work)
		flow->context = work->context;
	else
		__builtin_memset(&flow->context, 0, sizeof(flow->context));
}

/* A request is sent; gives whether there is a context that it could carry. */
static __always_inline bool request_sent(struct sock *sk, u64 socket, struct flow *flow, struct stamp *stamp)
{
	struct near_key key = {};
	u64 span_id = random_id();

	stamp->context = flow->context;
	if (!(stamp->context.trace_id[0] | stamp->context.trace_id[1])) {
		stamp->context.trace_id[0] = random_id();
		stamp->context.trace_id[1] = random_id();
	}
	if (!flow->is_opaque) {
		tell(socket, &stamp->context, span_id, stamp->sequence, EGRESS);
		stamp->context.span_id = span_id;
		stamp->context.is_remote = 0;
	} else if (!stamp->context.span_id) {
		/* Nobody would see a span that it could name. */
		return false;
	}
	fill_near(&key, sk, true, stamp->sequence);
	near.update(&key, &stamp->context);
	stamp->context.is_remote = 1;
	return true;
}

static __always_inline void sends(struct sock *sk, void *msg, u64 size)
{
	u64 socket = known_identity(sk), length = 0, base;
	struct socket_state *state = socket ? sockets.lookup(&socket) : NULL;
	struct worker worker = worker_now();
	struct scratch *scratch;
	struct stamp stamp = {};
	struct work *work;
	struct flow *flow;
	u8 turn;

	if (!state || state->role == ROLE_UNKNOWN)
		return;
	flow = flow_of(socket);
	if (!flow || flow->turn == FLOW_EGRESS)
		return;
	base = first_byte(msg, &length);
	scratch = look(base, length);
	turn = flow->turn;
	if (state->role == ROLE_SERVER) {
		if (scratch && is_interim(scratch))
			return;
		flow->turn = FLOW_EGRESS;
		end_request(flow);
		work = works.lookup(&worker);
		if (work && work->socket == socket)
			works.delete(&worker);
		return;
	}
	flow->turn = FLOW_EGRESS;
	if (scratch && turn == FLOW_NEW && is_encrypted(scratch))
		flow->is_opaque = 1;
	take_work(flow);
	stamp.sequence = read_u32((void *)sk + OFFSETOF_tcp_sock__write_seq);
	if (length > HEAD_BYTES)
		length = HEAD_BYTES;
	if (scratch && !flow->is_opaque && has_context(flow, scratch, length, !state->position[EGRESS], stamp.sequence))
		return; /* it has one already, which is better */
	if (request_sent(sk, socket, flow, &stamp) && is_chosen())
		depart(sk, socket, size, flow->is_opaque ? NULL : scratch, &stamp);
}

int propagate_sends(u64 *ctx)
{
	if (!is_watched())
		return 0;
	sends((struct sock *)ARGUMENT(ctx, 0), (void *)ARGUMENT(ctx, 1), ARGUMENT(ctx, 2));
	return 0;
}

int propagate_closes(u64 *ctx)
{
	void *sk = sock_of_file((void *)ARGUMENT(ctx, 1));
	u64 socket = sk ? known_identity(sk) : 0;
	struct flow *flow = socket ? flows.lookup(&socket) : NULL;

	if (!flow)
		return 0;
	end_request(flow);
	flows.delete(&socket);
	departing.delete(&socket);
	arriving.delete(&socket);
	return 0;
}

int propagate_received(u64 *ctx)
{
	s32 result = ARGUMENT(ctx, ARGUMENTS_tcp_recvmsg);
	u32 flags = ARGUMENT(ctx, 3);

	if (!is_watched() || result <= 0 || (flags & (MSG_PEEK | MSG_OOB | MSG_ERRQUEUE | MSG_TRUNC)))
		return 0;
	received((struct sock *)ARGUMENT(ctx, 0), (void *)ARGUMENT(ctx, 1), result);
	return 0;
}
