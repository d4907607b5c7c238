/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Sockets: their identity, their addresses, and the state that is kept of them. */
#ifndef ZEROSPAN_SOCKET_H
#define ZEROSPAN_SOCKET_H

#if HAVE_TRAMPOLINES
/* bcc declares this helper as returning u32, which cuts the cookie in half. */
static u64 (*socket_cookie)(void *sk) = (void *)46; /* BPF_FUNC_get_socket_cookie */
#endif

/* The identity of a socket that may be new to us. Makes its cookie if it has none yet. */
static __always_inline u64 identify(struct sock *sk)
{
#if HAVE_TRAMPOLINES
	return socket_cookie(sk);
#else
	/* A kprobe may not call the helper, and a cookie nobody asked for is 0: use the address, unique while it lives. */
	return (u64)sk;
#endif
}

/* The identity of a socket if we may know it, else 0. */
static __always_inline u64 known_identity(void *sk)
{
#if HAVE_TRAMPOLINES
	return read_u64(sk + OFFSETOF_sock_common__skc_cookie);
#else
	return (u64)sk;
#endif
}

/* The sock of a socket, where the kernel's type on the pointer is not needed. */
static __always_inline void *sock_of_any(void *socket)
{
	return (void *)read_u64(socket + OFFSETOF_socket__sk);
}

static __always_inline struct sock *sock_of(struct socket *socket)
{
#if HAVE_TRAMPOLINES
	struct sock *sk;

	/* A plain load keeps the kernel's type on the result, which identify() needs; bcc would make it a
	 * bpf_probe_read, and the result a number. */
	asm volatile("%0 = *(u64 *)(%1 + %2)" : "=r"(sk) : "r"(socket), "i"(OFFSETOF_socket__sk));
	return sk;
#else
	return sock_of_any(socket);
#endif
}

/* The sock of a socket's file; NULL for one that has none any more. */
static __always_inline void *sock_of_file(void *file)
{
	return sock_of_any((void *)read_u64(file + OFFSETOF_file__private_data));
}

static __always_inline void map_ipv4(u8 *address, const void *from)
{
	__builtin_memset(address, 0, 10);
	address[10] = 0xff;
	address[11] = 0xff;
	read_kernel(address + 12, 4, from);
}

static __always_inline void fill_addresses(struct open_event *event, void *sk)
{
	u16 family = read_u16(sk + OFFSETOF_sock_common__skc_family);
	void *net = (void *)read_u64(sk + OFFSETOF_sock_common__skc_net);

	event->family = family;
	event->netns = read_u32(net + OFFSETOF_net__ns_DOT_inum);
	if (family == AF_INET) {
		map_ipv4(event->local_address, sk + OFFSETOF_sock_common__skc_rcv_saddr);
		map_ipv4(event->remote_address, sk + OFFSETOF_sock_common__skc_daddr);
	} else if (family == AF_INET6) {
		read_kernel(event->local_address, 16, sk + OFFSETOF_sock_common__skc_v6_rcv_saddr);
		read_kernel(event->remote_address, 16, sk + OFFSETOF_sock_common__skc_v6_daddr);
	} else {
		void *peer = (void *)read_u64(sk + OFFSETOF_unix_sock__peer);

		__builtin_memset(event->local_address, 0, 16);
		__builtin_memset(event->remote_address, 0, 16);
		event->peer_socket = peer ? known_identity(peer) : 0;
		event->local_port = 0;
		event->remote_port = 0;
		return;
	}
	event->peer_socket = 0;
	event->local_port = read_u16(sk + OFFSETOF_sock_common__skc_num);
	event->remote_port = __builtin_bswap16(read_u16(sk + OFFSETOF_sock_common__skc_dport));
}

/* Send the open_event of a socket, unless it was sent. */
static __always_inline void announce(struct socket_state *state, u64 socket, void *sk)
{
	struct open_event *event;

	if (state->is_announced)
		return;
	event = records.ringbuf_reserve(sizeof(struct open_event));
	if (!event) {
		count(COUNT_LOST_RING_FULL_OPEN);
		return;
	}
	fill_header(&event->header, EVENT_OPEN, bpf_ktime_get_ns());
	event->socket = socket;
	event->role = state->role;
	fill_addresses(event, sk);
	if (state->role == ROLE_CLIENT)
		fill_origin(&event->origin, false);
	else
		__builtin_memset(&event->origin, 0, sizeof(event->origin));
	state->is_announced = 1;
	count(COUNT_SUBMITTED);
	records.ringbuf_submit(event, wake_flags(sizeof(struct open_event)));
}

/* The state of a socket; made, and announced, if there is none. NULL when there is no room for one more. */
static __always_inline struct socket_state *state_of(u64 socket, void *sk, u8 role)
{
	struct socket_state *state = sockets.lookup(&socket);

	if (!state) {
		struct socket_state fresh = {};

		fresh.role = role;
		fresh.tgid = bpf_get_current_pid_tgid() >> 32;
		sockets.update(&socket, &fresh);
		state = sockets.lookup(&socket);
		if (!state) {
			count(COUNT_LOST_SOCKETS_FULL);
			return NULL;
		}
	}
	announce(state, socket, sk);
	return state;
}

/* Bytes to capture of each turn, unless user space wants otherwise. What goes toward the server begins with a request,
 * whose head is wanted whole; what comes back begins with a head that is mostly short, followed by a body. */
static __always_inline u32 default_budget(u8 role, u32 direction)
{
	if ((role == ROLE_SERVER && direction == EGRESS) || (role == ROLE_CLIENT && direction == INGRESS))
		return BUDGET_FROM_SERVER;
	return BUDGET_TO_SERVER;
}

/* Take over what user space wants of this socket now. */
static __always_inline void obey(struct socket_state *state, u64 socket, u32 direction)
{
	struct socket_control *control = controls.lookup(&socket);

	state->budget = default_budget(state->role, direction);
	if (!control)
		return;
	state->is_muted = control->is_muted;
	if (control->budget[direction & 1])
		state->budget = control->budget[direction & 1];
}

/* One direction of a socket ended. Sent once per direction. */
static __always_inline void end_direction(struct socket_state *state, u64 socket, u32 direction, u32 error)
{
	struct end_event *event;

	if (state->is_ended[direction & 1] || state->is_muted)
		return;
	/* A server mostly closes next, and both ends together are two records for every short connection. */
	if (state->role == ROLE_SERVER && !error) {
		state->is_ended[direction & 1] = state->is_ended[!direction] ? ENDED_TOLD : ENDED_UNTOLD;
		return;
	}
	event = records.ringbuf_reserve(sizeof(struct end_event));
	if (!event) {
		count(COUNT_LOST_RING_FULL_END);
		return;
	}
	fill_header(&event->header, EVENT_END, bpf_ktime_get_ns());
	event->socket = socket;
	event->position = state->position[direction & 1];
	event->direction = direction;
	event->error = error;
	state->is_ended[direction & 1] = ENDED_TOLD;
	count(COUNT_SUBMITTED);
	records.ringbuf_submit(event, wake_flags(sizeof(struct end_event)));
}

/* The last file that refers to the socket was closed: report and forget it. */
static __always_inline void forget(void *sk)
{
	u64 socket = sk ? known_identity(sk) : 0;
	struct socket_state *state;
	struct close_event *event;

	if (!socket)
		return;
	state = sockets.lookup(&socket);
	if (!state)
		return;
	if (!state->is_muted) {
		announce(state, socket, sk);
		event = records.ringbuf_reserve(sizeof(struct close_event));
		if (!event) {
			count(COUNT_LOST_RING_FULL_CLOSE);
			state->is_closed = 1;
			return;
		}
		fill_header(&event->header, EVENT_CLOSE, bpf_ktime_get_ns());
		event->socket = socket;
		event->ingress_position = state->position[INGRESS];
		event->egress_position = state->position[EGRESS];
		event->ingress_last_ns = state->last_ns[INGRESS];
		event->egress_last_ns = state->last_ns[EGRESS];
		event->turn = state->turn;
		event->error = read_u32(sk + OFFSETOF_sock__sk_err);
		if (state->is_ended[INGRESS] == ENDED_UNTOLD)
			event->error |= CLOSE_ENDED_BY_PEER;
		count(COUNT_SUBMITTED);
		records.ringbuf_submit(event, wake_flags(sizeof(struct close_event)));
	}
	sockets.delete(&socket);
	controls.delete(&socket);
}

#endif
