// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * Unix stream sockets: their life, and those of their bytes that data.c does not see. They have no sequence numbers and no addresses worth the name; the
 * two ends know each other by the identity of the peer's socket. Datagram and seqpacket sockets are not followed.
 */
#include "events.h"
#include "prelude.h"
#include "maps.h"
#include "task.h"
#include "submit.h"
#include "socket.h"
#include "payload.h"
#include "transfer.h"
#include "hooks.h"

static __always_inline void unix_opened(struct socket *socket, s64 result, u8 role)
{
	struct sock *sk = sock_of(socket);

	if (!result)
		state_of(identify(sk), sk, role);
}

static __always_inline void unix_shut_down(struct socket *socket, u32 how)
{
	u64 identity = known_identity(sock_of(socket));
	struct socket_state *state = identity ? sockets.lookup(&identity) : NULL;

	if (state && how) /* SHUT_WR or SHUT_RDWR */
		end_direction(state, identity, EGRESS, 0);
}

static __always_inline void unix_released(struct socket *socket)
{
	struct sock *sk = sock_of(socket);

	if (sk)
		forget(sk);
}

#if HAVE_TRAMPOLINES

int unix_connect(u64 *ctx)
{
	if (is_watched())
		unix_opened((struct socket *)ARGUMENT(ctx, 0), (s32)ARGUMENT(ctx, ARGUMENTS_unix_stream_connect),
			    ROLE_CLIENT);
	return 0;
}

int unix_accepted(u64 *ctx)
{
	if (is_watched())
		unix_opened((struct socket *)ARGUMENT(ctx, 1), (s32)ARGUMENT(ctx, ARGUMENTS_unix_accept), ROLE_SERVER);
	return 0;
}

#if HAS_FUNCTION_unix_stream_sendpage
int unix_sendpage(u64 *ctx)
{
	if (is_watched())
		passed_unseen(sock_of((struct socket *)ARGUMENT(ctx, 0)),
			      (s32)ARGUMENT(ctx, ARGUMENTS_unix_stream_sendpage), EGRESS);
	return 0;
}
#endif

int unix_splice_read(u64 *ctx)
{
	if (is_watched())
		passed_unseen(sock_of((struct socket *)ARGUMENT(ctx, 0)),
			      (s32)ARGUMENT(ctx, ARGUMENTS_unix_stream_splice_read), INGRESS);
	return 0;
}

int unix_shutdown_begins(u64 *ctx)
{
	if (is_watched())
		unix_shut_down((struct socket *)ARGUMENT(ctx, 0), ARGUMENT(ctx, 1));
	return 0;
}

int unix_release_begins(u64 *ctx)
{
	unix_released((struct socket *)ARGUMENT(ctx, 0));
	return 0;
}

#else

int unix_enter(struct pt_regs *regs)
{
	return is_watched() ? enter_call(regs) : 0;
}

int unix_connect_exit(struct pt_regs *regs)
{
	struct call call;

	if (leave_call(&call))
		unix_opened((void *)call.argument[0], (s32)regs->ax, ROLE_CLIENT);
	return 0;
}

int unix_accept_exit(struct pt_regs *regs)
{
	struct call call;

	if (leave_call(&call))
		unix_opened((void *)call.argument[1], (s32)regs->ax, ROLE_SERVER);
	return 0;
}

int unix_sendmsg_enter(struct pt_regs *regs)
{
	if (!is_watched())
		return 0;
	send_begins(sock_of((void *)regs->di));
	return enter_call(regs);
}

int unix_sendmsg_exit(struct pt_regs *regs)
{
	struct call call;

	if (leave_call(&call))
		moved(sock_of((void *)call.argument[0]), (void *)call.argument[1], call.argument[2], (s32)regs->ax,
		      true, 0, false);
	return 0;
}

#if HAS_FUNCTION_unix_stream_sendpage
int unix_sendpage_enter(struct pt_regs *regs)
{
	return is_watched() ? enter_call(regs) : 0;
}

int unix_sendpage_exit(struct pt_regs *regs)
{
	struct call call;

	if (leave_call(&call))
		passed_unseen(sock_of((void *)call.argument[0]), (s32)regs->ax, EGRESS);
	return 0;
}
#endif

int unix_recvmsg_exit(struct pt_regs *regs)
{
	struct call call;

	if (leave_call(&call))
		moved(sock_of((void *)call.argument[0]), (void *)call.argument[1], call.argument[2], (s32)regs->ax,
		      false, call.argument[3], false);
	return 0;
}

int unix_splice_read_exit(struct pt_regs *regs)
{
	struct call call;

	if (leave_call(&call))
		passed_unseen(sock_of((void *)call.argument[0]), (s32)regs->ax, INGRESS);
	return 0;
}

int unix_shutdown_enter(struct pt_regs *regs)
{
	if (is_watched())
		unix_shut_down((void *)regs->di, regs->si);
	return 0;
}

int unix_release_enter(struct pt_regs *regs)
{
	unix_released((void *)regs->di);
	return 0;
}

#endif
