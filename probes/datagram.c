// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * Datagrams on UDP sockets, IPv4 and IPv6.
 *
 * Of each socket the first few datagrams are reported, whatever its ports are; user space says of which sockets it wants
 * more (a budget in `controls`). So a name look-up is seen wherever its server listens, and a media stream costs a
 * look-up per datagram after the first few.
 */
#include "events.h"
#include "prelude.h"
#include "maps.h"
#include "task.h"
#include "submit.h"
#include "work.h"
#include "socket.h"
#include "payload.h"
#include "hooks.h"

#define UNJUDGED_DATAGRAMS 8
#define DATAGRAM_BYTES	   512

/* How many datagrams of a socket were reported, by its identity. LRU, since most sockets carry a query and its answer,
 * and what is forgotten is only that count. Deleted when the socket is closed. */
BPF_TABLE("lru_hash", u64, u32, datagram_sockets, 4096);

struct datagram_record {
	struct datagram_event event;
	u8 payload[DATAGRAM_BYTES];
};

/* The other end: of this datagram, where the call names it, else of the socket. */
static __always_inline void fill_ends(struct datagram_event *event, void *sk, void *msg)
{
	u16 family = read_u16(sk + OFFSETOF_sock_common__skc_family);
	void *name = (void *)read_u64(msg + OFFSETOF_msghdr__msg_name);
	u16 name_family = name ? read_u16(name) : 0;

	event->family = family;
	event->local_port = read_u16(sk + OFFSETOF_sock_common__skc_num);
	if (family == AF_INET)
		map_ipv4(event->local_address, sk + OFFSETOF_sock_common__skc_rcv_saddr);
	else
		read_kernel(event->local_address, 16, sk + OFFSETOF_sock_common__skc_v6_rcv_saddr);
	if (name_family == AF_INET) { /* struct sockaddr_in: family, port, address */
		event->remote_port = __builtin_bswap16(read_u16(name + 2));
		map_ipv4(event->remote_address, name + 4);
	} else if (name_family == AF_INET6) { /* struct sockaddr_in6: family, port, flow, address */
		event->remote_port = __builtin_bswap16(read_u16(name + 2));
		read_kernel(event->remote_address, 16, name + 8);
	} else {
		event->remote_port = __builtin_bswap16(read_u16(sk + OFFSETOF_sock_common__skc_dport));
		if (family == AF_INET)
			map_ipv4(event->remote_address, sk + OFFSETOF_sock_common__skc_daddr);
		else
			read_kernel(event->remote_address, 16, sk + OFFSETOF_sock_common__skc_v6_daddr);
	}
}

static __always_inline bool is_wanted(u64 socket, u32 direction)
{
	struct socket_control *control = controls.lookup(&socket);
	u32 *reported = datagram_sockets.lookup(&socket);
	u32 first = 1;

	if (!reported) {
		datagram_sockets.update(&socket, &first);
		return true;
	}
	if (control && control->budget[direction & 1])
		return true;
	if (*reported >= UNJUDGED_DATAGRAMS)
		return false;
	*reported += 1;
	return true;
}

/* Not filtered: what was put into the maps must leave them, whoever closes the socket. */
int datagram_closes(struct pt_regs *regs)
{
	u64 socket = known_identity(sock_of_file((void *)regs->si));
	struct datagram_end_event *event;

	if (!socket || !datagram_sockets.lookup(&socket))
		return 0;
	datagram_sockets.delete(&socket);
	controls.delete(&socket);
	event = records.ringbuf_reserve(sizeof(struct datagram_end_event));
	if (!event) {
		count(COUNT_LOST_RING_FULL_DATAGRAM);
		return 0;
	}
	fill_header(&event->header, EVENT_DATAGRAM_END, bpf_ktime_get_ns());
	event->socket = socket;
	count(COUNT_SUBMITTED);
	records.ringbuf_submit(event, wake_flags(sizeof(struct datagram_end_event)));
	return 0;
}

#if HAVE_TRAMPOLINES

/* A call that moved a datagram is over: see VARIANT_MARK. */
int datagram_moved(u64 *ctx)
{
	bool is_egress = variant() & VARIANT_EGRESS;
	struct sock *sk = (struct sock *)ARGUMENT(ctx, 0);
	void *msg = (void *)ARGUMENT(ctx, 1);
	struct payload payload = {};
	struct datagram_record *record;
	s64 result;
	u64 socket;

	if (!is_watched())
		return 0;
	if (is_egress) {
		result = (s32)ARGUMENT(ctx, ARGUMENTS_udp_sendmsg);
	} else {
		result = (s32)ARGUMENT(ctx, ARGUMENTS_udp_recvmsg);
		if (ARGUMENT(ctx, ARGUMENTS_udp_recvmsg - 2) & (MSG_PEEK | MSG_TRUNC | MSG_ERRQUEUE))
			return 0;
	}
	/* An IPv6 socket that sends to an IPv4 address does it through the function for IPv4: tell it once. */
	if (result <= 0 ||
	    (read_u16((void *)sk + OFFSETOF_sock_common__skc_family) == AF_INET6) != !!(variant() & VARIANT_IPV6))
		return 0;
	socket = identify(sk);
	if (!is_wanted(socket, is_egress ? EGRESS : INGRESS))
		return 0;
	if (!has_room_for_data()) {
		count(COUNT_LOST_RING_FULL_DATAGRAM);
		return 0;
	}
	record = records.ringbuf_reserve(sizeof(struct datagram_record));
	if (!record) {
		count(COUNT_LOST_RING_FULL_DATAGRAM);
		return 0;
	}
	fill_header(&record->event.header, EVENT_DATAGRAM, bpf_ktime_get_ns());
	record->event.socket = socket;
	record->event.direction = is_egress ? EGRESS : INGRESS;
	record->event.size = result;
	record->event._pad = 0;
	if (is_egress)
		fill_origin(&record->event.origin, true);
	else
		__builtin_memset(&record->event.origin, 0, sizeof(struct origin));
	fill_ends(&record->event, sk, msg);
	find_payload(&payload, msg, result);
	payload.next = 0;
	record->event.captured = copy_payload(record->payload, DATAGRAM_BYTES, &payload, DATAGRAM_BYTES);
	count(COUNT_SUBMITTED);
	records.ringbuf_submit(record, wake_flags(sizeof(struct datagram_record)));
	return 0;
}

#endif
