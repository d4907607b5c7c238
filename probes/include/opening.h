/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Connections being opened by processes whose requests are to carry trace contexts. */
#ifndef ZEROSPAN_OPENING_H
#define ZEROSPAN_OPENING_H

/* Sockets of chosen processes that are being connected, and how many probes wait until they are. Inserted in connect(2),
 * deleted when the last of them was told; LRU for those that never are established. */
BPF_TABLE("lru_hash", u64, u8, connecting, 4096);

/* Established: whether it is a socket of a chosen process. Each probe asks once. */
static __always_inline bool is_connected(u64 socket)
{
	u8 *waiting = connecting.lookup(&socket);

	if (!waiting)
		return false;
	*waiting -= 1;
	if (!*waiting)
		connecting.delete(&socket);
	return true;
}

/* In connect(2): event loops send in a later turn, when they may be working for somebody else. Here 6.1 does not offer the
 * helper for the current task's numbers. */
static __always_inline void connects(u64 socket)
{
	void *task = (void *)bpf_get_current_task();
	struct worker worker = {};
	struct work *work;
	struct flow *flow;
	u8 *watch, waiting = PROPAGATE_TCP_OPTION + PROPAGATE_HTTP_HEADER;

	worker.tgid = read_u32(task + OFFSETOF_task_struct__tgid);
	worker.tid = read_u32(task + OFFSETOF_task_struct__pid);
	watch = watch_of(worker.tgid);
	if (!watch)
		return;
	if ((*watch & WATCH_AND_PROPAGATE) == WATCH_AND_PROPAGATE)
		connecting.update(&socket, &waiting);
	if (!(*watch & WATCH_YES) || is_doubtful(&worker))
		return;
	work = works.lookup(&worker);
	flow = work ? flow_of(socket) : NULL;
	if (!flow)
		return;
	flow->context = work->context;
	flow->is_opened = 1;
}

#endif
