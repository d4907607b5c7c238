// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * Bytes on TCP sockets, IPv4 and IPv6; and, where there are trampolines, the same on Unix stream sockets.
 *
 * Sees every call that moves bytes, whichever system call or io_uring request began it, since all end in the
 * functions hooked here. Does not see bytes that the kernel moves by itself: kTLS records, sockmap redirection, and
 * TCP_ZEROCOPY_RECEIVE.
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

#if HAVE_TRAMPOLINES

/* A call that moves bytes on a TCP or Unix stream socket is over: see VARIANT_MARK. */
int data_moved(u64 *ctx)
{
	bool is_egress = variant() & VARIANT_EGRESS;
	struct sock *sk;
	s64 result;
	u32 flags = 0;

	if (!is_watched())
		return 0;
	if (variant() & VARIANT_UNIX)
		sk = sock_of((struct socket *)ARGUMENT(ctx, 0));
	else
		sk = (struct sock *)ARGUMENT(ctx, 0);
	if (is_egress) {
		result = (s32)ARGUMENT(ctx, ARGUMENTS_tcp_sendmsg);
	} else {
		flags = ARGUMENT(ctx, 3);
		if (variant() & VARIANT_UNIX)
			result = (s32)ARGUMENT(ctx, ARGUMENTS_unix_stream_recvmsg);
		else
			result = (s32)ARGUMENT(ctx, ARGUMENTS_tcp_recvmsg);
	}
	moved(sk, (void *)ARGUMENT(ctx, 1), ARGUMENT(ctx, 2), result, is_egress, flags, !(variant() & VARIANT_UNIX));
	return 0;
}

int data_send_begins(u64 *ctx)
{
	if (!is_watched())
		return 0;
	if (variant() & VARIANT_UNIX)
		send_begins(sock_of((struct socket *)ARGUMENT(ctx, 0)));
	else
		send_begins((struct sock *)ARGUMENT(ctx, 0));
	return 0;
}

#if HAS_FUNCTION_tcp_sendpage
/* sendfile and splice before Linux 6.5; since then they arrive at tcp_sendmsg. */
int data_sendpage(u64 *ctx)
{
	if (is_watched())
		passed_unseen((void *)ARGUMENT(ctx, 0), (s32)ARGUMENT(ctx, ARGUMENTS_tcp_sendpage), EGRESS);
	return 0;
}
#endif

/* splice from a socket to a pipe. */
int data_splice_read(u64 *ctx)
{
	if (is_watched())
		passed_unseen(sock_of((struct socket *)ARGUMENT(ctx, 0)), (s32)ARGUMENT(ctx, ARGUMENTS_tcp_splice_read),
			      INGRESS);
	return 0;
}

#else

int data_sendmsg_enter(struct pt_regs *regs)
{
	if (!is_watched())
		return 0;
	send_begins((struct sock *)regs->di);
	return enter_call(regs);
}

int data_sendmsg_exit(struct pt_regs *regs)
{
	s64 result = (s32)regs->ax;
	struct call call;

	if (leave_call(&call))
		moved((void *)call.argument[0], (void *)call.argument[1], call.argument[2], result, true, 0, true);
	return 0;
}

#if HAS_FUNCTION_tcp_sendpage
int data_sendpage_enter(struct pt_regs *regs)
{
	return is_watched() ? enter_call(regs) : 0;
}

int data_sendpage_exit(struct pt_regs *regs)
{
	struct call call;

	if (leave_call(&call))
		passed_unseen((void *)call.argument[0], (s32)regs->ax, EGRESS);
	return 0;
}
#endif

int data_recvmsg_enter(struct pt_regs *regs)
{
	return is_watched() ? enter_call(regs) : 0;
}

int data_recvmsg_exit(struct pt_regs *regs)
{
	s64 result = (s32)regs->ax;
	struct call call;

	if (leave_call(&call))
		moved((void *)call.argument[0], (void *)call.argument[1], call.argument[2], result, false,
		      call.argument[3], true);
	return 0;
}

int data_splice_read_enter(struct pt_regs *regs)
{
	return is_watched() ? enter_call(regs) : 0;
}

int data_splice_read_exit(struct pt_regs *regs)
{
	struct call call;

	if (leave_call(&call))
		passed_unseen(sock_of((void *)call.argument[0]), (s32)regs->ax, INGRESS);
	return 0;
}

#endif
