// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * Trace contexts on their way to other hosts, in a traceparent header of HTTP/1 (W3C Trace Context). It changes what
 * leaves the host, and is loaded only where the operator asks for it, and where the kernel stands a trial before
 * (agent/kernel/trial.py).
 *
 * Sockets of chosen processes are put into a map when they are connected, whose program sees what is sent on them before
 * it is cut into segments. It puts the header behind the request line. What is a request, and where one begins, was found
 * out when the call began (propagate.c, head.h); here only the bytes before the place are looked at once more, for these
 * are now the kernel's, and nobody changes them any more.
 *
 * What goes wrong in the middle of a message would give its sender a wrong number of bytes sent, since the kernel counts the
 * inserted ones: so only what the send buffer takes whole gets a header.
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
#include "opening.h"
#include "hooks.h"

/* Client sockets of chosen processes. Inserted when they are connected, deleted by the kernel when they are closed. They are
 * let go when the map is. */
BPF_SOCKHASH(header_sockets, u64, MAX_FLOWS);

static long (*pull_data)(void *msg, u32 start, u32 end, u64 flags) = (void *)63; /* BPF_FUNC_msg_pull_data */
static long (*push_data)(void *msg, u32 start, u32 size, u64 flags) = (void *)90; /* BPF_FUNC_msg_push_data */

static __always_inline u8 hexadecimal(u64 digit)
{
	digit &= 15;
	hide(digit);
	return '0' + digit + ((9 - digit) >> 63) * ('a' - '0' - 10);
}

/* `value` as it is in memory, first byte lowest. */
static __always_inline void write_digits(u8 *to, u64 value)
{
	value = __builtin_bswap64(value);
#pragma unroll
	for (int i = 0; i < 16; i++) {
		hide(value);
		to[i] = hexadecimal(value >> (60 - 4 * i));
	}
}

static __always_inline void write_header(u8 *to, const struct insertion *insertion)
{
	__builtin_memcpy(to, "traceparent: 00-", 16);
	write_digits(to + 16, insertion->trace_id[0]);
	write_digits(to + 32, insertion->trace_id[1]);
	to[48] = '-';
	write_digits(to + 49, insertion->span_id);
	to[65] = '-';
	to[66] = '0';
	to[67] = '0' + insertion->is_sampled;
	to[68] = '\r';
	to[69] = '\n';
}

/* Whether a request line ends right before a place. */
static __always_inline bool ends_line(struct sk_msg_md *msg, u32 at)
{
	u64 before = at - LINE_END_SIZE;
	u8 *line = msg->data;
	u8 *end = msg->data_end;

	hide(before);
	if (before > HEAD_BYTES)
		return false;
	line += before;
	if (line + LINE_END_SIZE > end)
		return false;
	return line[0] == ' ' && (*(u64 *)(line + 1) & VERSION_MASK) == VERSION && line[9] == '\r' && line[10] == '\n';
}

int http_header_insert(struct sk_msg_md *msg)
{
	u64 thread = bpf_get_current_pid_tgid();
	struct insertion *insertion = insertions.lookup(&thread);
	struct flow *flow;
	u32 at;
	u8 *to, *end;

	if (!insertion || insertion->is_tried)
		return SK_PASS;
	insertion->is_tried = 1;
	at = insertion->at;
	if (at < LINE_END_SIZE || at >= HEAD_BYTES || msg->size > MAX_INSERTION_BYTES)
		return SK_PASS;
	if (pull_data(msg, 0, at, 0) || !ends_line(msg, at))
		return SK_PASS;
	if (push_data(msg, at, HEADER_SIZE, 0))
		return SK_PASS;
	/* It cannot fail: the bytes are a page of their own. What nobody wrote must not leave. */
	if (pull_data(msg, at, at + HEADER_SIZE, 0))
		return SK_DROP;
	to = msg->data;
	end = msg->data_end;
	if (to + HEADER_SIZE > end)
		return SK_DROP;
	write_header(to, insertion);
	insertion->is_done = 1;
	flow = flows.lookup(&insertion->socket);
	if (flow)
		flow->request_end += HEADER_SIZE;
	return SK_PASS;
}

int http_header_callbacks(struct bpf_sock_ops *ops)
{
	u64 socket = socket_cookie(ops);
	u32 what = ops->op;

	if (what == BPF_SOCK_OPS_TCP_CONNECT_CB) {
		connects(socket);
	} else if (what == BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB && is_connected(socket)) {
		int result = header_sockets.sock_hash_update(ops, &socket, BPF_NOEXIST);

		if (result)
			count(COUNT_HEADERLESS_SOCKETS);
	}
	return 1;
}
