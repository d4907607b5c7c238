/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Telling user space of a statement. */
#ifndef ZEROSPAN_STATEMENT_H
#define ZEROSPAN_STATEMENT_H

/* Room for a text, with the zero behind it; a reservation needs a constant. */
#define TEXT_SMALL 256
#define TEXT_LARGE 4096

/* Not by the name that bcc knows (prelude.h). */
static long (*read_user_text)(void *to, u32 size, const void *from) = (void *)114; /* BPF_FUNC_probe_read_user_str */

struct statement_record {
	struct statement_event event;
	u8 text[];
};

/* What is to be told of a statement. */
struct telling {
	u64 statement;
	u64 database;
	u64 start_ns;
	u64 rows;
	u64 text; /* its address in user memory; 0: not needed */
	s64 limit; /* bytes of it at the most; negative: up to its zero */
	u32 result;
	u32 stage; /* 0: nothing is to be told */
};

static __always_inline void tell_statement(const struct telling *telling)
{
	struct statement_record *record;
	s64 length = 0;

	if (telling->stage != STATEMENT_ENDED && !has_room_for_data()) {
		count(COUNT_LOST_RING_FULL_STATEMENT);
		return;
	}
	record = records.ringbuf_reserve(sizeof(struct statement_record) + TEXT_SMALL);
	if (!record) {
		count(COUNT_LOST_RING_FULL_STATEMENT);
		return;
	}
	if (telling->text) {
		length = read_user_text(record->text, TEXT_SMALL, (void *)telling->text);
		if (length >= TEXT_SMALL) {
			records.ringbuf_discard(record, BPF_RB_NO_WAKEUP);
			record = records.ringbuf_reserve(sizeof(struct statement_record) + TEXT_LARGE);
			if (!record) {
				count(COUNT_LOST_RING_FULL_STATEMENT);
				return;
			}
			length = read_user_text(record->text, TEXT_LARGE, (void *)telling->text);
		}
		if (length <= 0)
			count(COUNT_UNREADABLE_BYTES);
	}
	fill_header(&record->event.header, EVENT_STATEMENT, bpf_ktime_get_ns());
	record->event.statement = telling->statement;
	record->event.database = telling->database;
	record->event.start_ns = telling->start_ns;
	record->event.rows = telling->rows;
	record->event.result = telling->result;
	record->event.stage = telling->stage;
	length = length > 0 ? length - 1 : 0; /* without the zero */
	if (telling->limit >= 0 && length > telling->limit)
		length = telling->limit;
	record->event.captured = length;
	record->event._pad = 0;
	if (telling->stage == STATEMENT_ENDED)
		__builtin_memset(&record->event.origin, 0, sizeof(struct origin));
	else
		fill_origin(&record->event.origin, true);
	count(COUNT_SUBMITTED);
	records.ringbuf_submit(record, wake_flags(sizeof(struct statement_record) + TEXT_SMALL));
}

#endif
