/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * The head of a request of HTTP/1, as far as one must know it to put a header in, and to know where the next request begins.
 *
 * What the loop finds is kept in a map's value and not in variables, and found without branches: the verifier follows each
 * value that a register may have through the rest of the loop, and of a few it does not come to an end.
 */
#ifndef ZEROSPAN_HEAD_H
#define ZEROSPAN_HEAD_H

struct head {
	u32 behind_line; /* where the first header begins; 0: the request line is not all there */
	u32 size; /* with the empty line at its end; 0: it is not all there */
	u32 limit; /* bytes that are looked at */
	u32 length_at; /* behind the colon of Content-Length, if there is one of those */
	u32 lengths; /* headers that are Content-Length */
	u32 encodings; /* that are Transfer-Encoding: the body ends where nobody knows */
	u32 traceparents;
	u32 is_request; /* whole, and known to begin here (request.h) */
};

/* The head that is looked at, one per CPU. Written before it is read. */
BPF_PERCPU_ARRAY(heads, struct head, 1);

/* 1 for 0, else 0. hide() keeps the compiler from seeing that this is a comparison, for which it would make branches. */
static __always_inline u32 is_zero(u64 value)
{
	u64 negative;

	hide(value);
	negative = -value;
	hide(negative);
	value = ((value | negative) >> 63) ^ 1;
	hide(value);
	return value;
}

/* A line of the head begins at a place; gives whether it is the last one. */
static __always_inline bool read_line(struct head *head, const struct scratch *scratch, u32 at)
{
	const u8 *line;
	u64 first, next;
	u32 is_length;

	hide(at);
	line = scratch->bytes + (at & (SCRATCH_BYTES / 2 - 1));
	first = *(u64 *)line | 0x2020202020202020ULL;
	next = *(u64 *)(line + 8) | 0x2020202020202020ULL;
	head->behind_line += is_zero(head->behind_line) * at;
	/* "traceparent", whatever follows */
	head->traceparents += is_zero((first ^ 0x7261706563617274ULL) | ((next ^ 0x746e65) & 0xffffff));
	/* "transfer-encodin" */
	head->encodings += is_zero((first ^ 0x726566736e617274ULL) | (next ^ 0x6e69646f636e652dULL));
	/* "content-length:" */
	is_length = is_zero((first ^ 0x2d746e65746e6f63ULL) | ((next ^ 0x3a6874676e656cULL) & 0xffffffffffffffULL));
	head->lengths += is_length;
	head->length_at += is_length * (at + 15);
	head->size = is_zero(*(u16 *)line ^ 0x0a0d) * (at + 2);
	return head->size;
}

/* Look at `length` bytes of a request's beginning. NULL never, but for the verifier. */
static __always_inline struct head *read_head(const struct scratch *scratch, u32 length)
{
	u32 zero = 0;
	struct head *head = heads.lookup(&zero);

	if (!head)
		return NULL;
	__builtin_memset(head, 0, sizeof(*head));
	head->limit = length;
#pragma clang loop unroll(disable)
	for (u32 i = 0; i < HEAD_BYTES; i += 8) {
		u64 word, ends, below;

		read_anew();
		if (i >= head->limit)
			break;
		word = *(u64 *)(scratch->bytes + i) ^ 0x0a0a0a0a0a0a0a0aULL;
		ends = (word - 0x0101010101010101ULL) & ~word & 0x8080808080808080ULL;
		if (!ends)
			continue;
		below = (ends & -ends) - 1;
		if (read_line(head, scratch, i + (((below & 0x0101010101010101ULL) * 0x0101010101010101ULL) >> 56)))
			break;
		ends &= ends - 1;
		if (!ends)
			continue;
		below = (ends & -ends) - 1;
		if (read_line(head, scratch, i + (((below & 0x0101010101010101ULL) * 0x0101010101010101ULL) >> 56)))
			break;
		if (ends & (ends - 1))
			break; /* a header has 4 bytes at the least, so three lines do not end within 8 */
	}
	read_anew();
	if (head->size > head->limit)
		head->size = 0;
	return head;
}

/* Whether a request line begins with one of these methods, of which it is known what a header more does to them: nothing.
 * Not CONNECT and TRACE. */
static __always_inline bool begins_with_method(const struct scratch *scratch)
{
	u64 word = *(u64 *)scratch->bytes;

	return (u32)word == 0x20544547 /* GET */ || (u32)word == 0x20545550 /* PUT */ ||
	       (word & 0xffffffffffULL) == 0x2054534f50ULL /* POST */ ||
	       (word & 0xffffffffffULL) == 0x2044414548ULL /* HEAD */ ||
	       (word & 0xffffffffffffULL) == 0x204843544150ULL /* PATCH */ ||
	       (word & 0xffffffffffffffULL) == 0x204554454c4544ULL /* DELETE */ ||
	       word == 0x20534e4f4954504fULL /* OPTIONS */;
}

/* The bytes of "HTTP/1.1" and "HTTP/1.0" that are the same, as a number. */
#define VERSION	     0x302e312f50545448ULL
#define VERSION_MASK 0xfeffffffffffffffULL
#define VERSION_SIZE 8
/* " HTTP/1.1", and the end of the line. */
#define LINE_END_SIZE 11

/* Whether the head is all there and is that of a request which may get a header behind its first line. */
static __always_inline bool is_whole_request(const struct head *head, const struct scratch *scratch)
{
	u32 at = head->behind_line;
	const u8 *end;

	if (!head->size || at < 5 + LINE_END_SIZE || !begins_with_method(scratch))
		return false;
	at -= LINE_END_SIZE;
	hide(at);
	end = scratch->bytes + (at & (SCRATCH_BYTES / 2 - 1));
	return end[0] == ' ' && (*(u64 *)(end + 1) & VERSION_MASK) == VERSION && *(u16 *)(end + 9) == 0x0a0d;
}

/* How many bytes a whole request has, as sequence numbers count; false if its head does not tell. */
static __always_inline bool size_of_request(const struct head *head, const struct scratch *scratch, u32 *size)
{
	u32 at = head->length_at, length = 0, more = 1;

	if (head->encodings || head->lengths > 1)
		return false;
	*size = head->size;
	if (!head->lengths)
		return true;
	at += byte_at(scratch, at) == ' ';
#pragma clang loop unroll(disable)
	for (int i = 0; i < 16; i++) {
		u32 digit = (u32)byte_at(scratch, at + i) - '0';

		more &= ((digit - 10) >> 31) & ~(digit >> 31);
		hide(more);
		length += more * (length * 9 + digit);
	}
	*size += length;
	return true;
}

#endif
