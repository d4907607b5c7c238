/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * One function, hooked at its exit, in two ways.
 *
 * With BPF trampolines (x86 since 5.5, arm64 since 6.0) a program at the exit sees the arguments and the result in
 * `ctx`: arguments first, then the result, whose index is the number of arguments. Without them a kprobe at the entry
 * keeps the arguments and a kretprobe takes them back. Both call the same helper.
 */
#ifndef ZEROSPAN_HOOKS_H
#define ZEROSPAN_HOOKS_H

/*
 * Compiling is most of the agent's start, and the functions that move bytes differ little. So one program serves them
 * all: it is compiled once and loaded once for each hook, with this number put in by the loader (bpf.py). To the verifier
 * it is a known number, so of each copy only the part that the hook reaches is looked at, and the rest removed.
 */
#define VARIANT_MARK   0x7a000001
#define VARIANT_UNIX   1
#define VARIANT_EGRESS 2
#define VARIANT_IPV6   4

static __always_inline u64 variant(void)
{
	u64 value;

	asm volatile("%0 = 0x7a000001" : "=r"(value));
	return value;
}

#if HAVE_TRAMPOLINES

/* Argument `number` of the hooked function, a constant; behind the last one stands the result. A plain load, which keeps
 * the kernel's type on a pointer, and which the compiler does not merge with another into one of variable place. */
#define ARGUMENT(ctx, number)                                                                                          \
	({                                                                                                             \
		u64 value;                                                                                             \
		asm volatile("%0 = *(u64 *)(%1 + %2)" : "=r"(value) : "r"(ctx), "i"(8 * (number)));                    \
		value;                                                                                                 \
	})

#else

struct call {
	u64 argument[4];
};

/* The call that a thread is in, by pid_tgid. Inserted by the kprobe at its entry, deleted by the kretprobe at its exit.
 * LRU, since a kretprobe whose maxactive is exceeded does not run. A hooked function never calls another one. */
BPF_TABLE("lru_hash", u64, struct call, calls, 8192);

static __always_inline int enter_call(struct pt_regs *regs)
{
	u64 thread = bpf_get_current_pid_tgid();
	struct call call = {};

	call.argument[0] = regs->di;
	call.argument[1] = regs->si;
	call.argument[2] = regs->dx;
	call.argument[3] = regs->cx;
	calls.update(&thread, &call);
	return 0;
}

/* The arguments of the call that ends; false if its entry was not seen. */
static __always_inline bool leave_call(struct call *call)
{
	u64 thread = bpf_get_current_pid_tgid();
	struct call *found = calls.lookup(&thread);

	if (!found)
		return false;
	*call = *found;
	calls.delete(&thread);
	return true;
}
#endif

#endif
