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

#define MSG_OOB	     0x1
#define MSG_PEEK     0x2
#define MSG_TRUNC    0x20
#define MSG_ERRQUEUE 0x2000
#define RCV_SHUTDOWN 1
#define SHUT_RD	     0
#define IPPROTO_TCP  6

/*
 * Keeps the compiler from knowing a value. Before a comparison: so that it is not dropped as implied. After it: so that
 * the value that was compared is the one that is used, and not a copy whose bounds the verifier does not know.
 */
#define hide(value) asm volatile("" : "+r"(value))

/* What is kept in memory is read from there again behind this. What a loop comes to is kept in a map's value and not in a
 * variable: the verifier follows what each value of a variable leads to, and of what it reads from a map it knows none. */
#define read_anew() asm volatile("" ::: "memory")

/*
 * Not by the names that bcc knows them under: for each of those it looks up in all of /proc/kallsyms whether this kernel
 * has them, for every call anew, which took half of the time of compiling. They came with Linux 5.5.
 */
static long (*read_user)(void *to, u32 size, const void *from) = (void *)112; /* BPF_FUNC_probe_read_user */
static long (*read_kernel)(void *to, u32 size, const void *from) = (void *)113; /* BPF_FUNC_probe_read_kernel */

static __always_inline u64 read_u64(const void *address)
{
	u64 value = 0;

	read_kernel(&value, sizeof(value), address);
	return value;
}

static __always_inline u32 read_u32(const void *address)
{
	u32 value = 0;

	read_kernel(&value, sizeof(value), address);
	return value;
}

static __always_inline u16 read_u16(const void *address)
{
	u16 value = 0;

	read_kernel(&value, sizeof(value), address);
	return value;
}

#endif
