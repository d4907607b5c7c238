// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * Bytes on TCP sockets, IPv4 and IPv6, and on Unix stream sockets. Datagram and seqpacket sockets are not followed.
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
#include "work.h"
#include "socket.h"
#include "payload.h"
#include "insertion.h"
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

/* Bytes that are not in user memory: splice from a socket to a pipe; and, before Linux 6.5, sendfile and splice to a
 * socket, which arrive at sendmsg since. */
int data_moved_unseen(u64 *ctx)
{
	s64 result;

	if (!is_watched())
		return 0;
#if HAS_FUNCTION_sock_sendpage
	if (variant() & VARIANT_EGRESS)
		result = ARGUMENT(ctx, ARGUMENTS_sock_sendpage);
	else
#endif
		result = ARGUMENT(ctx, ARGUMENTS_sock_splice_read);
	passed_unseen(sock_of_file((void *)ARGUMENT(ctx, 0)), result, variant() & VARIANT_EGRESS ? EGRESS : INGRESS);
	return 0;
}

#else

int data_begins(struct pt_regs *regs)
{
	return is_watched() ? enter_call(regs) : 0;
}

int data_send_begins(struct pt_regs *regs)
{
	if (!is_watched())
		return 0;
	send_begins(variant() & VARIANT_UNIX ? sock_of((void *)regs->di) : (struct sock *)regs->di);
	return enter_call(regs);
}

int data_moved(struct pt_regs *regs)
{
	bool is_egress = variant() & VARIANT_EGRESS;
	bool is_unix = variant() & VARIANT_UNIX;
	s64 result = (s32)regs->ax;
	struct call call;
	struct sock *sk;

	if (!leave_call(&call))
		return 0;
	sk = is_unix ? sock_of((void *)call.argument[0]) : (struct sock *)call.argument[0];
	moved(sk, (void *)call.argument[1], call.argument[2], result, is_egress, is_egress ? 0 : call.argument[3],
	      !is_unix);
	return 0;
}

int data_moved_unseen(struct pt_regs *regs)
{
	struct call call;

	if (leave_call(&call))
		passed_unseen(sock_of_file((void *)call.argument[0]), regs->ax,
			      variant() & VARIANT_EGRESS ? EGRESS : INGRESS);
	return 0;
}

#endif
