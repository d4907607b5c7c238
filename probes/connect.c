// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * The life of TCP sockets: accepted, connected, shut down, closed; and which ports a process listens on.
 *
 * A socket that is older than the agent is announced when its first bytes pass (transfer.h). Closing is not filtered by
 * process: what was put into `sockets` must leave it, whoever holds the last file.
 */
#include "events.h"
#include "prelude.h"
#include "maps.h"
#include "task.h"
#include "submit.h"
#include "socket.h"
#include "hooks.h"

static __always_inline void listening(void *sk)
{
	struct listen_event *event = records.ringbuf_reserve(sizeof(struct listen_event));

	if (!event) {
		count(COUNT_LOST_RING_FULL_PROCESS);
		return;
	}
	fill_header(&event->header, EVENT_LISTEN, bpf_ktime_get_ns());
	event->port = read_u16(sk + OFFSETOF_sock_common__skc_num);
	event->_pad = 0;
	count(COUNT_SUBMITTED);
	/* A process may be selected by this port: user space should decide before the first client comes. */
	records.ringbuf_submit(event, BPF_RB_FORCE_WAKEUP);
}

static __always_inline void accepted(struct sock *sk)
{
	if (sk)
		state_of(identify(sk), sk, ROLE_SERVER);
}

static __always_inline void shut_down(void *sk, u32 how)
{
	u64 socket = known_identity(sk);
	struct socket_state *state = socket ? sockets.lookup(&socket) : NULL;

	if (state && (how & SEND_SHUTDOWN))
		end_direction(state, socket, EGRESS, 0);
}

#if HAVE_TRAMPOLINES

int connect_accepted(u64 *ctx)
{
	if (is_watched())
		accepted((struct sock *)ARGUMENT(ctx, ARGUMENTS_inet_csk_accept));
	return 0;
}

/* Runs in the connecting thread, for IPv4 and IPv6, when the addresses are known and nothing is sent yet. */
int connect_begins(u64 *ctx)
{
	struct sock *sk = (struct sock *)ARGUMENT(ctx, 0);

	if (is_watched())
		state_of(identify(sk), sk, ROLE_CLIENT);
	return 0;
}

int connect_shutdown_begins(u64 *ctx)
{
	if (is_watched())
		shut_down((void *)ARGUMENT(ctx, 0), ARGUMENT(ctx, 1));
	return 0;
}

int connect_close_begins(u64 *ctx)
{
	forget((void *)ARGUMENT(ctx, 0));
	return 0;
}

/* Not filtered: a process that is not watched yet may be selected by the port. */
int connect_listen_begins(u64 *ctx)
{
	listening((void *)ARGUMENT(ctx, 0));
	return 0;
}

#else

int connect_accept(struct pt_regs *regs)
{
	if (is_watched())
		accepted((struct sock *)regs->ax);
	return 0;
}

int connect_connect(struct pt_regs *regs)
{
	struct sock *sk = (struct sock *)regs->di;

	if (is_watched())
		state_of(identify(sk), sk, ROLE_CLIENT);
	return 0;
}

int connect_shutdown(struct pt_regs *regs)
{
	if (is_watched())
		shut_down((void *)regs->di, regs->si);
	return 0;
}

int connect_close(struct pt_regs *regs)
{
	forget((void *)regs->di);
	return 0;
}

int connect_listen(struct pt_regs *regs)
{
	listening((void *)regs->di);
	return 0;
}

#endif
