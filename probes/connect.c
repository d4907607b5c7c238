// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * The life of TCP and Unix stream sockets: connected, accepted, shut down, closed; and which ports a process listens on.
 *
 * A socket that is older than the agent is announced when its first bytes pass (transfer.h). Closing is not filtered by
 * process: what was put into `sockets` must leave it, whoever holds the last file. Unix sockets have no sequence numbers
 * and no addresses worth the name; the two ends know each other by the identity of the peer's socket.
 *
 * Where one kernel function serves both families, that one is hooked: detaching waits a tenth of a second for each function
 * that has a trampoline, and not for a kprobe, which serves what is rare.
 */
#include "events.h"
#include "prelude.h"
#include "maps.h"
#include "task.h"
#include "submit.h"
#include "work.h"
#include "socket.h"
#include "hooks.h"

/* Which function `connect_opened` is at. */
#define AT_TCP_CONNECT	0
#define AT_UNIX_CONNECT 1
#define AT_GRAFT	2
#define AT_TCP_ACCEPT	3

/* Whether this socket, which a file was just made for, is of a kind that we follow. */
static __always_inline bool is_stream(void *sk)
{
	u16 family = read_u16(sk + OFFSETOF_sock_common__skc_family);

	if (family == AF_UNIX)
		return true;
	return (family == AF_INET || family == AF_INET6) && read_u16(sk + OFFSETOF_sock__sk_protocol) == IPPROTO_TCP;
}

/* Kept in all cases as a kprobe, since it is rare. Not filtered: a process that is not watched yet may be selected by
 * the port. */
int connect_listens(struct pt_regs *regs)
{
	struct listen_event *event = records.ringbuf_reserve(sizeof(struct listen_event));

	if (!event) {
		count(COUNT_LOST_RING_FULL_PROCESS);
		return 0;
	}
	fill_header(&event->header, EVENT_LISTEN, bpf_ktime_get_ns());
	event->port = read_u16((void *)regs->di + OFFSETOF_sock_common__skc_num);
	event->_pad = 0;
	count(COUNT_SUBMITTED);
	/* A process may be selected by this port: user space should decide before the first client comes. */
	records.ringbuf_submit(event, BPF_RB_FORCE_WAKEUP);
	return 0;
}

/* A kprobe as well. `how` is that of shutdown(2), and means the same for both families. */
int connect_shuts_down(struct pt_regs *regs)
{
	u64 socket;
	struct socket_state *state;

	if (!is_watched())
		return 0;
	socket = known_identity(sock_of_any((void *)regs->di));
	state = socket ? sockets.lookup(&socket) : NULL;
	if (state && (u32)regs->si != SHUT_RD)
		end_direction(state, socket, EGRESS, 0);
	return 0;
}

/* A kprobe as well: it needs the identity of known sockets only, which needs no trampoline. */
int connect_closes(struct pt_regs *regs)
{
	forget(sock_of_file((void *)regs->si));
	return 0;
}

#if HAVE_TRAMPOLINES

int connect_opened(u64 *ctx)
{
	struct sock *sk;
	u8 role = ROLE_CLIENT;

	if (!is_watched())
		return 0;
	if (variant() == AT_UNIX_CONNECT) {
		/* At the exit: only now is the peer known. */
		if ((s32)ARGUMENT(ctx, ARGUMENTS_unix_stream_connect))
			return 0;
		sk = sock_of((struct socket *)ARGUMENT(ctx, 0));
	} else if (variant() == AT_TCP_ACCEPT) {
		sk = (struct sock *)ARGUMENT(ctx, ARGUMENTS_inet_csk_accept);
		role = ROLE_SERVER;
	} else {
		sk = (struct sock *)ARGUMENT(ctx, 0);
	}
	if (!sk)
		return 0;
	if (variant() == AT_GRAFT) {
		if (!is_stream(sk))
			return 0;
		role = ROLE_SERVER;
	}
	state_of(identify(sk), sk, role);
	return 0;
}

#else

int connect_opened(struct pt_regs *regs)
{
	struct sock *sk = (struct sock *)regs->di;
	u8 role = ROLE_CLIENT;
	struct call call;

	if (variant() == AT_UNIX_CONNECT) {
		if (!leave_call(&call) || (s32)regs->ax)
			return 0;
		sk = sock_of((void *)call.argument[0]);
	} else if (!is_watched()) {
		return 0;
	}
	if (variant() == AT_TCP_ACCEPT) {
		sk = (struct sock *)regs->ax;
		role = ROLE_SERVER;
	}
	if (!sk)
		return 0;
	if (variant() == AT_GRAFT) {
		if (!is_stream(sk))
			return 0;
		role = ROLE_SERVER;
	}
	state_of(identify(sk), sk, role);
	return 0;
}

int connect_begins(struct pt_regs *regs)
{
	return is_watched() ? enter_call(regs) : 0;
}

#endif
