/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* What every call that moves bytes on a stream socket does, whatever the socket's family. */
#ifndef ZEROSPAN_TRANSFER_H
#define ZEROSPAN_TRANSFER_H

/* A transfer that makes no events is reported whenever it has moved so many more bytes. */
#define BULK_REPORT_BYTES (4 * 1024 * 1024)

/* Room for a payload comes in these sizes, since a reservation needs a constant. */
#define ROOM_SMALL  256
#define ROOM_MEDIUM 1024
#define ROOM_LARGE  4096
#define ROOM_HUGE   16384

struct data_record {
	struct data_event event;
	u8 payload[];
};

struct transfer {
	u64 socket;
	u64 time_ns;
	u64 start_ns;
	u64 position;
	u64 moved;
	u64 wanted;
	u32 sequence;
	u32 direction;
};

static __always_inline void fill_data(struct data_event *event, const struct transfer *transfer,
				      const struct socket_state *state, u32 captured)
{
	u32 other = !transfer->direction;

	fill_header(&event->header, EVENT_DATA, transfer->time_ns);
	event->socket = transfer->socket;
	event->start_ns = transfer->start_ns;
	event->position = transfer->position;
	event->other_position = state->position[other];
	event->other_last_ns = state->last_ns[other];
	event->size = transfer->moved;
	event->captured = captured;
	event->sequence = transfer->sequence;
	event->turn = state->turn;
	event->direction = transfer->direction;
	event->_pad = 0;
	if (transfer->direction == EGRESS && state->role == ROLE_SERVER) {
		fill_result(&event->origin);
		return;
	}
	fill_origin(&event->origin, transfer->direction == EGRESS);
	if (transfer->direction == EGRESS)
		fill_caller(&event->origin, transfer->socket);
}

/* Reserve, fill and submit one data_event with its payload. */
static __always_inline void report(const struct transfer *transfer, const struct socket_state *state,
				   const struct payload *payload)
{
	u64 room = payload->next ? transfer->wanted * 2 : transfer->wanted; /* see copy_payload */
	struct data_record *record;

	if (!has_room_for_data()) {
		count(COUNT_LOST_RING_FULL_DATA);
		return;
	}
	if (room <= ROOM_SMALL) {
		room = ROOM_SMALL;
		record = records.ringbuf_reserve(sizeof(struct data_record) + ROOM_SMALL);
	} else if (room <= ROOM_MEDIUM) {
		room = ROOM_MEDIUM;
		record = records.ringbuf_reserve(sizeof(struct data_record) + ROOM_MEDIUM);
	} else if (room <= ROOM_LARGE) {
		room = ROOM_LARGE;
		record = records.ringbuf_reserve(sizeof(struct data_record) + ROOM_LARGE);
	} else {
		room = ROOM_HUGE;
		record = records.ringbuf_reserve(sizeof(struct data_record) + ROOM_HUGE);
	}
	/* From here the verifier follows each size by itself, with `room` as a known number. */
	if (!record) {
		count(COUNT_LOST_RING_FULL_DATA);
		return;
	}
	fill_data(&record->event, transfer, state, copy_payload(record->payload, room, payload, transfer->wanted));
	count(COUNT_SUBMITTED);
	records.ringbuf_submit(record, wake_flags(sizeof(struct data_record) + room));
}

/* Bytes passed at `time_ns`: move the positions, and turn if the direction changed. Gives whether there is still
 * something to capture of this turn; what there is not only moves the positions. */
static __always_inline bool pass(struct socket_state *state, u64 socket, s64 moved, u32 direction, u64 time_ns)
{
	state->position[direction] += moved;
	state->last_ns[direction] = time_ns;
	if (state->direction != direction || !state->turn) {
		state->direction = direction;
		state->turn++;
		state->captured = 0;
		state->report_at = state->position[direction] + BULK_REPORT_BYTES;
		obey(state, socket, direction);
	} else if (state->captured >= state->budget) {
		obey(state, socket, direction);
	}
	return state->captured < state->budget || state->position[direction] >= state->report_at;
}

/*
 * Bytes passed that are not in user memory (sendfile, splice): they make no event. Whoever sends a file has sent a
 * head before it, and user space learns from the next event, or by asking, how far the connection has come.
 */
static __always_inline void passed_unseen(void *sk, s64 moved, u32 direction)
{
	u64 socket = known_identity(sk);
	struct socket_state *state = socket ? sockets.lookup(&socket) : NULL;

	if (!state || state->is_muted || moved <= 0)
		return;
	pass(state, socket, moved, direction, bpf_ktime_get_ns());
	state->tail = 0;
	count(COUNT_BULK_CALLS);
}

/* Keep the last bytes of a call of which not all are captured: they tell how a chunked message ended. */
static __always_inline void keep_tail(struct socket_state *state, const struct payload *payload, s64 moved)
{
	u64 end = payload->base + payload->length - sizeof(state->tail);

	state->tail = 0;
	if (payload->base && !payload->next && moved >= sizeof(state->tail))
		read_user(&state->tail, sizeof(state->tail), (void *)end);
}

/*
 * `moved` bytes passed on a socket in one call, whose msghdr is `msg`. A turn is all that passes in one direction until
 * bytes pass in the other; of each turn the first `budget` bytes are captured, the rest only moves the positions.
 */
static __always_inline void transferred(struct sock *sk, void *msg, s64 moved, u32 direction, u32 sequence)
{
	u64 socket = identify(sk);
	struct socket_state *state = state_of(socket, sk, ROLE_UNKNOWN);
	struct payload payload = {};
	struct transfer transfer = {};
	u64 left;
	u32 before;

	if (!state || state->is_muted)
		return;
	transfer.socket = socket;
	transfer.time_ns = bpf_ktime_get_ns();
	transfer.position = state->position[direction];
	transfer.moved = moved;
	transfer.sequence = sequence;
	transfer.direction = direction;
	if (direction == EGRESS)
		transfer.start_ns = state->send_start_ns;
	before = state->turn;
	bool is_wanted = pass(state, socket, moved, direction, transfer.time_ns);

	if (state->turn != before)
		turned(socket, state->turn, state->role, direction);
	if (direction == INGRESS && state->role == ROLE_SERVER)
		context_received(socket);
	if (state->is_muted)
		return;
	if (direction == INGRESS)
		callback_begins(socket, state->turn, state->position[INGRESS]);
	if (msg)
		find_payload(&payload, msg, moved);
	left = state->budget > state->captured ? state->budget - state->captured : 0;
	if (!payload.base || moved > left)
		keep_tail(state, &payload, moved);
	if (!payload.base || !is_wanted) {
		count(COUNT_BULK_CALLS);
		return;
	}
	state->report_at = state->position[direction] + BULK_REPORT_BYTES;
	transfer.wanted = moved;
	if (transfer.wanted > left)
		transfer.wanted = left;
	state->captured += transfer.wanted;
	report(&transfer, state, &payload);
}

/* A call that moved nothing: end of file (0) or an error (negative errno). */
static __always_inline void stopped(struct sock *sk, s64 result, u32 direction)
{
	u64 socket = known_identity(sk);
	struct socket_state *state;

	if (result == -EAGAIN || result == -EINTR || result == -ERESTARTSYS || !socket)
		return;
	state = sockets.lookup(&socket);
	if (state)
		end_direction(state, socket, direction, -result);
}

/* Sequence number of the first of the bytes just moved: the kernel's stands behind them. */
static __always_inline u32 sequence_of(void *sk, s64 moved, bool is_egress)
{
	u32 behind;
	u8 shutdown = 0;

	if (is_egress)
		return read_u32(sk + OFFSETOF_tcp_sock__write_seq) - (u32)moved;
	behind = read_u32(sk + OFFSETOF_tcp_sock__copied_seq);
	read_kernel(&shutdown, sizeof(shutdown), sk + OFFSETOF_sock__sk_shutdown);
	/* The peer's FIN has a number, too; a call that takes the last bytes takes it with them. */
	if ((shutdown & RCV_SHUTDOWN) && behind == read_u32(sk + OFFSETOF_tcp_sock__rcv_nxt))
		behind--;
	return behind - (u32)moved;
}

/* A send or receive of `asked` bytes on a stream socket gave `result`. */
static __always_inline void moved(struct sock *sk, void *msg, u64 asked, s64 result, bool is_egress, u32 flags,
				  bool is_tcp)
{
	u32 sequence = 0;

	if (!is_egress && (flags & (MSG_PEEK | MSG_OOB | MSG_ERRQUEUE)))
		return; /* these bytes are not taken from the stream */
	if (!is_egress)
		callback_begins(0, 0, 0); /* until it is known that this is read */
	if (is_tcp && result > 0)
		sequence = sequence_of(sk, result, is_egress);
	if (is_tcp && is_egress)
		end_insertion(&sequence);
	if (result > 0)
		transferred(sk, !is_egress && (flags & MSG_TRUNC) ? NULL : msg, result, is_egress, sequence);
	else if (result < 0 || (asked && !is_egress))
		stopped(sk, result, is_egress);
}

/* A send begins: one that blocks moves its first byte long before it returns. */
static __always_inline void send_begins(struct sock *sk)
{
	u64 socket = known_identity(sk);
	struct socket_state *state;

	if (!socket)
		return;
	state = sockets.lookup(&socket);
	if (state && !state->is_muted)
		state->send_start_ns = bpf_ktime_get_ns();
}

#endif
