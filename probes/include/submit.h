/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Handing records to user space: the only code that touches the ring buffer.
 *
 * User space drains the buffer on a timer, because waking it costs more than everything else a program does (two to
 * four times the whole probe). It is woken early by a record that crosses the fill level WAKE_BYTES, and by a record
 * that asks for a prompt decision.
 *
 * Data may fill the buffer only up to a reserve, so that what must not be missed (open, end, close, processes) still
 * finds room when there is more data than user space can take.
 */
#ifndef ZEROSPAN_SUBMIT_H
#define ZEROSPAN_SUBMIT_H

#define RING_BYTES    (RING_PAGES * 4096)
#define WAKE_BYTES    (RING_BYTES / 4)
#define RESERVE_BYTES (RING_BYTES / 8)

/*
 * What we would write is records.ringbuf_query(BPF_RB_AVAIL_DATA), but bcc (0.26) does not know that helper. Only bcc
 * can name the map, and it writes records.ringbuf_output(a, b, c) as bpf_ringbuf_output(<the map>, a, b, c): so we give
 * that name, which we do not use otherwise, to the helper that we want. Tested on 6.1 and 6.12.
 */
static u64 (*ringbuf_query)(void *ring, u64 what) = (void *)134; /* BPF_FUNC_ringbuf_query */
#define bpf_ringbuf_output(ring, data, size, what) ringbuf_query(ring, what)

static __always_inline u64 bytes_waiting(void)
{
	u64 waiting = records.ringbuf_output(NULL, 0, BPF_RB_AVAIL_DATA);

	return waiting;
}

static __always_inline bool has_room_for_data(void)
{
	return bytes_waiting() < RING_BYTES - RESERVE_BYTES;
}

/* Flags for a record of `size` bytes: wake the reader if this one crosses the level. */
static __always_inline u64 wake_flags(u64 size)
{
	u64 waiting = bytes_waiting();

	/* The record itself is already counted as waiting. Two records at once may both cross, or one may be missed;
	 * the reader's timer makes up for it. */
	if (waiting >= WAKE_BYTES && waiting < WAKE_BYTES + size + 8)
		return BPF_RB_FORCE_WAKEUP;
	return BPF_RB_NO_WAKEUP;
}

static __always_inline void fill_header(struct event_header *header, u32 kind, u64 time_ns)
{
	u64 pid_tgid = bpf_get_current_pid_tgid();

	header->time_ns = time_ns;
	header->tgid = pid_tgid >> 32;
	header->tid = (u32)pid_tgid;
	header->kind = kind;
	header->_pad = 0;
}

#endif
