// SPDX-License-Identifier: GPL-2.0
/*
 * Bytes on TCP sockets, IPv4 and IPv6.
 *
 * Sees every call that moves bytes, whichever system call or io_uring request began it, since all end in the four
 * functions below. Does not see bytes that the kernel moves by itself: kTLS records, sockmap redirection, and
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

/* Sequence number of the first of the `result` bytes just sent; write_seq stands behind them. */
static __always_inline u32 sent_sequence(void *sk, s64 result)
{
	return result > 0 ? read_u32(sk + OFFSETOF_tcp_sock__write_seq) - (u32)result : 0;
}

static __always_inline u32 received_sequence(void *sk, s64 result)
{
	return result > 0 ? read_u32(sk + OFFSETOF_tcp_sock__copied_seq) - (u32)result : 0;
}

#if HAVE_TRAMPOLINES

int kfunc__tcp_sendmsg(u64 *ctx)
{
	if (is_watched())
		send_begins((struct sock *)ctx[0]);
	return 0;
}

int kretfunc__tcp_sendmsg(u64 *ctx)
{
	struct sock *sk = (struct sock *)ctx[0];
	s64 result = (s32)ctx[ARGUMENTS_tcp_sendmsg];

	if (is_watched())
		sent(sk, (void *)ctx[1], result, sent_sequence(sk, result));
	return 0;
}

#if HAS_FUNCTION_tcp_sendpage
/* sendfile and splice before Linux 6.5; since then they arrive at tcp_sendmsg. */
int kretfunc__tcp_sendpage(u64 *ctx)
{
	if (is_watched())
		passed_unseen((void *)ctx[0], (s32)ctx[ARGUMENTS_tcp_sendpage], EGRESS);
	return 0;
}
#endif

int kretfunc__tcp_recvmsg(u64 *ctx)
{
	struct sock *sk = (struct sock *)ctx[0];
	s64 result = (s32)ctx[ARGUMENTS_tcp_recvmsg];

	if (is_watched())
		received(sk, (void *)ctx[1], ctx[2], result, ctx[3], received_sequence(sk, result));
	return 0;
}

/* splice from a socket to a pipe. */
int kretfunc__tcp_splice_read(u64 *ctx)
{
	if (is_watched())
		passed_unseen(sock_of((struct socket *)ctx[0]), (s32)ctx[ARGUMENTS_tcp_splice_read], INGRESS);
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
		sent((void *)call.argument[0], (void *)call.argument[1], result,
		     sent_sequence((void *)call.argument[0], result));
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
		received((void *)call.argument[0], (void *)call.argument[1], call.argument[2], result,
			 call.argument[3], received_sequence((void *)call.argument[0], result));
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
