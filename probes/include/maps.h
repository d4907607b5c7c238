/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Maps that more than one probe uses, each with its biography. */
#ifndef ZEROSPAN_MAPS_H
#define ZEROSPAN_MAPS_H

/* Records on their way to user space. Written by submit.h only; user space maps its pages and reads them in place. */
BPF_RINGBUF_OUTPUT(records, RING_PAGES);

/* What user space decided about a process. */
enum watch {
	WATCH_UNDECIDED = 0, /* watched if WATCH_BY_DEFAULT */
	WATCH_YES = 1,
	WATCH_NO = 2,
	WATCH_AND_PROPAGATE = 3, /* its requests carry trace contexts; only where the probe for that is loaded */
};

/* Beside WATCH_YES or WATCH_AND_PROPAGATE: a proxy, each of whose threads passes on at once what it receives. */
#define WATCH_PROXY 4

/* Beside any of them: `runtimes` has an entry for the process. */
#define WATCH_RUNTIME 8

#define WATCHES_PER_SLOT 64

struct watch_slot {
	u8 watch[WATCHES_PER_SLOT]; /* enum watch, by the low bits of the tgid */
};

/*
 * One byte per possible tgid; an array, since this is the first look-up of every program and an array's costs a
 * tenth of a hash's. User space maps it and writes decisions; the process probe copies a parent's byte to a fork and
 * clears it at exit, so a reused tgid starts undecided. Nothing is ever deleted.
 */
BPF_F_TABLE("array", u32, struct watch_slot, watches, WATCH_SLOTS, BPF_F_MMAPABLE);

/* What `struct runtime` describes. A number says which branch of work.h reads the rest. */
enum runtime_kind {
	RUNTIME_OTHER = 0, /* no logical tasks that are read here */
	RUNTIME_PYTHON = 2, /* contexts of CPython */
	RUNTIME_GO = 1, /* goroutines */
	RUNTIME_NODE = 3, /* callbacks of a loop (loop.h); nothing more is read */
};

struct runtime {
	u64 locks_start; /* futexes from here to before locks_end are the runtime's own locks: who wakes there hands */
	u64 locks_end; /* no work over */
	u64 address[4]; /* what the branch of the kind says */
	u32 offset[6]; /* likewise */
	u32 kind; /* enum runtime_kind */
	u32 _pad;
};

/*
 * How to read a process's runtime, by tgid. Written by user space when it finds out, together with WATCH_RUNTIME; the
 * process probe copies a parent's entry to a fork and deletes it at exec and exit. Without room a process has none.
 */
BPF_F_TABLE("hash", u32, struct runtime, runtimes, 4096, 0);

/* What became of the end of a direction. */
enum ended {
	ENDED_NOT = 0,
	ENDED_TOLD = 1, /* there is nothing more to say of it */
	ENDED_UNTOLD = 2, /* the close_event tells it, or user space asks before that */
};

struct socket_state {
	u64 position[2]; /* by direction: bytes that have passed */
	u64 last_ns[2]; /* by direction: when the last of them passed */
	u64 send_start_ns; /* when the send that is under way, or the last one, began */
	u64 report_at; /* position of the turn's direction at which a long transfer is reported again */
	u64 tail; /* the last bytes that passed, of the last call of which not all were captured */
	u32 turn; /* how often the direction changed */
	u32 budget; /* bytes to capture of this turn */
	u32 captured; /* bytes captured of this turn */
	u32 tgid; /* who opened it or used it first */
	u8 direction; /* of the turn */
	u8 role; /* enum role */
	u8 is_announced; /* user space has its open_event */
	u8 is_muted; /* user space wants nothing of it */
	u8 is_ended[2]; /* enum ended, by direction */
	u8 is_closed; /* the socket is gone, but its close_event found no room: user space collects it */
	u8 _pad;
};

/*
 * Every socket on which a watched process connected, accepted or moved bytes, by its identity (socket.h). Inserted by
 * the first program that sees it; deleted when the socket is closed, by the program that reports it, or by user space
 * where that report found no room in the ring buffer. When it is full, further sockets are counted and left alone.
 */
BPF_F_TABLE("hash", u64, struct socket_state, sockets, MAX_SOCKETS, 0);

struct socket_control {
	u32 is_muted;
	u32 budget[2]; /* by direction: bytes to capture of a turn; 0: the default */
	u32 _pad;
};

/*
 * What user space wants of a socket, where that is not the default. Written by user space only; looked up when the
 * direction changes; deleted with the socket's state.
 */
BPF_F_TABLE("hash", u64, struct socket_control, controls, MAX_SOCKETS, 0);

/* Each cause of a loss, and what was seen. The names are read by user space from this enum. */
enum counter {
	COUNT_SUBMITTED, /* records written */
	COUNT_LOST_RING_FULL_DATA, /* records that found no room, by what they would have told */
	COUNT_LOST_RING_FULL_OPEN,
	COUNT_LOST_RING_FULL_END,
	COUNT_LOST_RING_FULL_CLOSE,
	COUNT_LOST_RING_FULL_PROCESS,
	COUNT_LOST_RING_FULL_DATAGRAM,
	COUNT_LOST_RING_FULL_CONTEXT,
	COUNT_LOST_RING_FULL_STATEMENT,
	COUNT_LOST_SOCKETS_FULL, /* calls on sockets that found no room in `sockets` */
	COUNT_LOST_STATEMENTS_FULL, /* steps of statements that found no room among those under way */
	COUNT_UNREADABLE_BYTES, /* payloads that could not be read from user memory */
	COUNT_SEGMENTS_BEYOND, /* calls with more segments than are followed */
	COUNT_BULK_CALLS, /* calls that only moved counters, being past the capture budget */
	COUNT_HEADERLESS_SOCKETS, /* sockets of chosen processes that found no room in `header_sockets` */
	COUNT_MAX,
};

/* Counters, one set per CPU; only ever added to, summed by user space. */
BPF_PERCPU_ARRAY(counters, u64, COUNT_MAX);

static __always_inline void count(u32 counter)
{
	u64 *value = counters.lookup(&counter);

	if (value)
		*value += 1;
}

#endif
