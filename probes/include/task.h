/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Which process this is, and whether it is watched. */
#ifndef ZEROSPAN_TASK_H
#define ZEROSPAN_TASK_H

static __always_inline u8 *watch_of(u32 tgid)
{
	u32 slot = tgid / WATCHES_PER_SLOT;
	struct watch_slot *found = watches.lookup(&slot);

	return found ? &found->watch[tgid % WATCHES_PER_SLOT] : NULL;
}

/* The first line of every program that a traced process can reach. */
static __always_inline bool is_watched(void)
{
	u8 *watch = watch_of(bpf_get_current_pid_tgid() >> 32);

	if (!watch)
		return false;
	/* WATCH_YES, WATCH_AND_PROPAGATE: the odd ones. */
	return *watch & 1 || (WATCH_BY_DEFAULT && (*watch & ~WATCH_RUNTIME) == WATCH_UNDECIDED);
}

/* Whether the requests of this process are to carry trace contexts. */
static __always_inline bool is_chosen(void)
{
	u8 *watch = watch_of(bpf_get_current_pid_tgid() >> 32);

	return watch && (*watch & WATCH_AND_PROPAGATE) == WATCH_AND_PROPAGATE;
}

#endif
