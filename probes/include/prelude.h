/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* What kernel headers would give us, and no more. */
#ifndef ZEROSPAN_PRELUDE_H
#define ZEROSPAN_PRELUDE_H

struct sock;
struct socket;
struct msghdr;
struct task_struct;

#ifndef __always_inline
#define __always_inline inline __attribute__((always_inline))
#endif

#define AF_UNIX	 1
#define AF_INET	 2
#define AF_INET6 10

#define EINTR	    4
#define EAGAIN	    11
#define ERESTARTSYS 512

#define MSG_OOB	      0x1
#define MSG_PEEK      0x2
#define MSG_TRUNC     0x20
#define MSG_ERRQUEUE  0x2000
#define RCV_SHUTDOWN  1
#define SEND_SHUTDOWN 2

/*
 * Keeps the compiler from knowing a value. Before a comparison: so that it is not dropped as implied. After it: so that
 * the value that was compared is the one that is used, and not a copy whose bounds the verifier does not know.
 */
#define hide(value) asm volatile("" : "+r"(value))

static __always_inline u64 read_u64(const void *address)
{
	u64 value = 0;

	bpf_probe_read_kernel(&value, sizeof(value), address);
	return value;
}

static __always_inline u32 read_u32(const void *address)
{
	u32 value = 0;

	bpf_probe_read_kernel(&value, sizeof(value), address);
	return value;
}

static __always_inline u16 read_u16(const void *address)
{
	u16 value = 0;

	bpf_probe_read_kernel(&value, sizeof(value), address);
	return value;
}

#endif
