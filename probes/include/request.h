/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * How a request departs with its context, by either way or both: has_context() looks whether it has one already, depart() has it take
 * the one that it was given.
 */
#ifndef ZEROSPAN_REQUEST_H
#define ZEROSPAN_REQUEST_H

#if PROPAGATE_HTTP_HEADER

/*
 * Look at the beginning of what is about to be sent at `sequence`: whether a request begins there, and where it ends.
 *
 * That one begins is known of the first bytes on a connection, and where the request before ended, if its head says how long
 * it is: so nothing within a body is taken for a request, whatever it looks like and whatever the server answered meanwhile.
 */
static __always_inline void begin_request(struct flow *flow, struct head *head, const struct scratch *scratch,
					  bool is_first, u32 sequence)
{
	u32 size = 0;

	if (!is_first && !(flow->is_end_known && flow->request_end == sequence))
		return;
	head->is_request = is_whole_request(head, scratch);
	flow->is_end_known = head->is_request && size_of_request(head, scratch, &size);
	flow->request_end = sequence + size;
}

/*
 * Whether the send buffer takes a message of `size` bytes and a header at once, so that no call ends in the middle of it.
 * Bytes take up to three times their number there, for what the kernel keeps of each segment. A program may have asked
 * for less to be in the queue than the buffer holds (TCP_NOTSENT_LOWAT).
 */
static __always_inline bool has_room(void *sk, u64 size)
{
	s32 room = read_u32(sk + OFFSETOF_sock__sk_sndbuf) - read_u32(sk + OFFSETOF_sock__sk_wmem_queued);
	u32 mark = read_u32(sk + OFFSETOF_tcp_sock__notsent_lowat);

	if (size > MAX_INSERTION_BYTES || (mark && mark <= MAX_INSERTION_BYTES))
		return false;
	return room > 3 * (s32)size + 4096;
}

static __always_inline bool has_context(struct flow *flow, struct scratch *scratch, u32 length, bool is_first,
					u32 sequence)
{
	struct head *head = read_head(scratch, length);

	if (!head)
		return true;
	begin_request(flow, head, scratch, is_first, sequence);
	return head->traceparents;
}

/* The request gets a header, if that is sure not to harm it. `scratch` is NULL if nothing is known of it. */
static __always_inline void insert_header(void *sk, u64 socket, u64 size, const struct scratch *scratch,
					  struct stamp *stamp)
{
	u32 zero = 0;
	struct head *head = heads.lookup(&zero);
	u64 thread = bpf_get_current_pid_tgid();
	struct insertion insertion = {};

	if (!scratch || !head || !head->is_request || !has_room(sk, size))
		return;
	insertion.trace_id[0] = stamp->context.trace_id[0];
	insertion.trace_id[1] = stamp->context.trace_id[1];
	insertion.span_id = stamp->context.span_id;
	insertion.is_sampled = stamp->context.decision != DECISION_NOT_SAMPLED;
	insertion.socket = socket;
	insertion.at = head->behind_line;
	insertion.sequence = stamp->sequence;
	insertions.update(&thread, &insertion);
}

#else

static __always_inline bool has_context(struct flow *flow, struct scratch *scratch, u32 length, bool is_first,
					u32 sequence)
{
	return find_traceparent(scratch, length);
}

static __always_inline void insert_header(void *sk, u64 socket, u64 size, const struct scratch *scratch,
					  struct stamp *stamp)
{
}

#endif

/* By each of the ways that were asked for. */
static __always_inline void depart(void *sk, u64 socket, u64 size, const struct scratch *scratch, struct stamp *stamp)
{
#if PROPAGATE_TCP_OPTION
	departing.update(&socket, stamp);
#endif
	insert_header(sk, socket, size, scratch, stamp);
}

#endif
