/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Where contexts travel in a header of HTTP: the header of one request, from the beginning of its send to the end. */
#ifndef ZEROSPAN_INSERTION_H
#define ZEROSPAN_INSERTION_H

/* "traceparent: 00-", 32 digits, "-", 16 digits, "-", 2 digits, and the end of a line. */
#define HEADER_SIZE 70

/* A message that is longer gets none: it may not fit into the send buffer. */
#define MAX_INSERTION_BYTES 16384

/* A call that sends a request which is to get a header. */
struct insertion {
	u64 trace_id[2]; /* as they are in memory, first byte lowest */
	u64 span_id;
	u64 socket;
	u32 at; /* bytes of the message before it: the request line */
	u32 sequence; /* TCP sequence number of the message's first byte */
	u8 is_sampled;
	u8 is_tried; /* the first part of the message has passed: what comes is not the request's beginning */
	u8 is_done;
	u8 _pad[5];
};

#if PROPAGATE_HTTP_HEADER

/* By pid_tgid. Inserted where the call begins (propagate.c), done in the midst of it (http_header.c), deleted at its end
 * (data.c). LRU: threads are killed. */
BPF_TABLE("lru_hash", u64, struct insertion, insertions, 4096);

/* A send of this thread ends. If a header was put into it, the sequence number of its first byte goes to `sequence`: the
 * kernel's stands 70 bytes further than the caller's bytes say. */
static __always_inline void end_insertion(u32 *sequence)
{
	u64 thread = bpf_get_current_pid_tgid();
	struct insertion *insertion = insertions.lookup(&thread);

	if (!insertion)
		return;
	if (insertion->is_done)
		*sequence = insertion->sequence;
	insertions.delete(&thread);
}

#else

static __always_inline void end_insertion(u32 *sequence)
{
}

#endif

#endif
