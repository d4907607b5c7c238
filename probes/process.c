// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * Processes: fork, exec, exit. A fork inherits its parent's watch decision at once, an exec is decided anew by user
 * space (until then: by the default, or as inherited), an exit clears the decision, since the tgid will be reused.
 */
#include "events.h"
#include "prelude.h"
#include "maps.h"
#include "task.h"
#include "submit.h"
#include "work.h"

#define MAX_ARGUMENT_BYTES 256

struct exec_record {
	struct exec_event event;
	u8 arguments[MAX_ARGUMENT_BYTES];
};

/* Another program follows, or none. */
static __always_inline void forget_runtime(u8 *watch)
{
	u32 tgid = bpf_get_current_pid_tgid() >> 32;

	if (!watch || !(*watch & WATCH_RUNTIME))
		return;
	*watch &= ~WATCH_RUNTIME;
	runtimes.delete(&tgid);
}

RAW_TRACEPOINT_PROBE(sched_process_fork)
{
	void *child = (void *)ctx->args[1];
	u32 child_tgid = read_u32(child + OFFSETOF_task_struct__tgid);
	u32 child_tid = read_u32(child + OFFSETOF_task_struct__pid);
	struct fork_event *event;
	u8 *parents, *childs;

	if (is_watched())
		made_thread(child_tid);
	if (child_tid != child_tgid)
		return 0; /* a thread */
	parents = watch_of(bpf_get_current_pid_tgid() >> 32);
	childs = watch_of(child_tgid);
	if (!parents || !childs)
		return 0;
	*childs = *parents;
	if (*parents & WATCH_RUNTIME) {
		u32 parent_tgid = bpf_get_current_pid_tgid() >> 32;
		struct runtime *runtime = runtimes.lookup(&parent_tgid);

		if (runtime)
			runtimes.update(&child_tgid, runtime);
	}
	if (!is_watched())
		return 0;
	event = records.ringbuf_reserve(sizeof(struct fork_event));
	if (!event) {
		count(COUNT_LOST_RING_FULL_PROCESS);
		return 0;
	}
	fill_header(&event->header, EVENT_FORK, bpf_ktime_get_ns());
	event->child = child_tgid;
	event->_pad = 0;
	count(COUNT_SUBMITTED);
	records.ringbuf_submit(event, wake_flags(sizeof(struct fork_event)));
	return 0;
}

RAW_TRACEPOINT_PROBE(sched_process_exec)
{
	void *mm = (void *)read_u64((void *)ctx->args[0] + OFFSETOF_task_struct__mm);
	u64 start = read_u64(mm + OFFSETOF_mm_struct__arg_start);
	u64 length = read_u64(mm + OFFSETOF_mm_struct__arg_end) - start;
	u8 *watch = watch_of(bpf_get_current_pid_tgid() >> 32);
	struct exec_record *record;

	forget_runtime(watch);
	if (watch && (WATCH_BY_DEFAULT || *watch == WATCH_NO))
		*watch = WATCH_UNDECIDED;
	record = records.ringbuf_reserve(sizeof(struct exec_record));
	if (!record) {
		count(COUNT_LOST_RING_FULL_PROCESS);
		return 0;
	}
	fill_header(&record->event.header, EVENT_EXEC, bpf_ktime_get_ns());
	bpf_get_current_comm(record->event.comm, sizeof(record->event.comm));
	record->event.size = length;
	hide(length);
	if (length > MAX_ARGUMENT_BYTES)
		length = MAX_ARGUMENT_BYTES;
	record->event.captured = length;
	if (read_user(record->arguments, length, (void *)start)) {
		record->event.captured = 0;
		count(COUNT_UNREADABLE_BYTES);
	}
	count(COUNT_SUBMITTED);
	/* With selectors nothing of a new program is seen before user space has decided: do not let it wait. */
	records.ringbuf_submit(record, WATCH_BY_DEFAULT ? wake_flags(sizeof(struct exec_record)) : BPF_RB_FORCE_WAKEUP);
	return 0;
}

static __always_inline void tell_exit(u32 kind)
{
	struct exit_event *event = records.ringbuf_reserve(sizeof(struct exit_event));

	if (!event) {
		count(COUNT_LOST_RING_FULL_PROCESS);
		return;
	}
	fill_header(&event->header, kind, bpf_ktime_get_ns());
	count(COUNT_SUBMITTED);
	records.ringbuf_submit(event, wake_flags(sizeof(struct exit_event)));
}

/* Runs for every thread; the last one stands for the process. Its files are closed after this. */
RAW_TRACEPOINT_PROBE(sched_process_exit)
{
	void *task = (void *)ctx->args[0];
	void *group = (void *)read_u64(task + OFFSETOF_task_struct__signal);
	u8 *watch;
	bool was_watched = is_watched();
	u32 tid = bpf_get_current_pid_tgid();
	struct thread *thread = was_watched ? threads.lookup(&tid) : NULL;

	if (thread && is_exit_told(thread))
		tell_exit(EVENT_THREAD_EXIT);
	if (thread)
		threads.delete(&tid);
	if (was_watched)
		callbacks.delete(&tid);
	if (read_u32(group + OFFSETOF_signal_struct__live))
		return 0;
	watch = watch_of(bpf_get_current_pid_tgid() >> 32);
	forget_runtime(watch);
	if (watch)
		*watch = WATCH_UNDECIDED;
	if (!was_watched)
		return 0;
	tell_exit(EVENT_EXIT);
	return 0;
}
