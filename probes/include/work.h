/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* For whom a thread works: what `struct origin` tells of it. */
#ifndef ZEROSPAN_WORK_H
#define ZEROSPAN_WORK_H

/* How the current process's runtime is read; NULL for most, at no other cost than that of its watch byte. */
static __always_inline struct runtime *runtime_now(void)
{
	u32 tgid = bpf_get_current_pid_tgid() >> 32;
	u8 *watch = watch_of(tgid);

	return watch && (*watch & WATCH_RUNTIME) ? runtimes.lookup(&tgid) : NULL;
}

/* The logical task that is running on this thread, by the runtime's kind. A branch per kind. */
static __always_inline void fill_task(struct origin *origin, const struct runtime *runtime)
{
	origin->task = 0;
	origin->task_parent = 0;
}

static __always_inline void fill_origin(struct origin *origin)
{
	struct runtime *runtime = runtime_now();

	origin->task = 0;
	origin->task_parent = 0;
	origin->cause_socket = 0;
	origin->cause_turn = 0;
	origin->cause = CAUSE_NONE;
	if (runtime)
		fill_task(origin, runtime);
}

#endif
