/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* The trace context that a request carries, as far as the kernel side must know it to pass it on. */
#ifndef ZEROSPAN_CONTEXT_H
#define ZEROSPAN_CONTEXT_H

struct context {
	u64 trace_id[2]; /* as they are in memory, first byte lowest; 0 and 0: none */
	u64 span_id; /* of the span for which the work is done; 0: none that anybody sees */
	u32 decision; /* enum decision */
	u32 is_remote; /* the span is another host's */
};

/* Bytes of a request's beginning in which its header is looked for. */
#define HEAD_BYTES    1024
#define SCRATCH_BYTES 2048 /* a power of two; beyond HEAD_BYTES there is room for the longest look */

struct scratch {
	u8 bytes[SCRATCH_BYTES];
	u32 found; /* what the loop of find_traceparent() comes to, see read_anew() */
	u32 limit; /* how many bytes it looks at */
};

/* Where a request's beginning is looked at, one per CPU. Written before it is read, by whoever uses it. */
BPF_PERCPU_ARRAY(scratches, struct scratch, 1);

static u32 (*random_u32)(void) = (void *)7; /* BPF_FUNC_get_prandom_u32 */

/* Not 0, which means that there is none. */
static __always_inline u64 random_id(void)
{
	u64 id = (u64)random_u32() << 32 | random_u32();

	return id ? id : 1;
}

static __always_inline u8 byte_at(const struct scratch *scratch, u32 at)
{
	hide(at);
	return scratch->bytes[at & (SCRATCH_BYTES - 1)];
}

/*
 * The hexadecimal digit at a place; 16 for any other character, capital letters included (W3C Trace Context 3.2).
 *
 * Without branches: the verifier follows each way through a loop by itself, and of three ways a digit it does not come to
 * an end. `x - n >> 31` is 1 where x is below n; hide() keeps the compiler from making branches of it again.
 */
static __always_inline u32 digit_at(const struct scratch *scratch, u32 at)
{
	u32 character = byte_at(scratch, at);
	u32 number = character - '0', letter = character - 'a';
	u32 is_number = ((number - 10) >> 31) & ~(number >> 31);
	u32 is_letter = ((letter - 6) >> 31) & ~(letter >> 31);

	hide(is_number);
	hide(is_letter);
	return is_number * number + is_letter * (letter + 10) + (1 - is_number - is_letter) * 16;
}

/* 16 digits as the 8 bytes that they stand for. `wrong` becomes other than 0 if one of them is none. */
static __always_inline u64 id_at(const struct scratch *scratch, u32 at, u32 *wrong)
{
	u64 value = 0;

#pragma clang loop unroll(disable)
	for (int i = 0; i < 16; i++) {
		u32 digit = digit_at(scratch, at + i);

		*wrong |= digit & 16;
		value = value << 4 | (digit & 15);
	}
	return __builtin_bswap64(value);
}

/* `at` is behind the colon of a traceparent header. A malformed one counts as none. */
static __always_inline bool read_traceparent(const struct scratch *scratch, u32 at, struct context *context)
{
	u32 flags, wrong;

	at += byte_at(scratch, at) == ' ';
	/* Version ff is forbidden; what a later version adds comes behind. */
	wrong = (digit_at(scratch, at) | digit_at(scratch, at + 1)) & 16;
	if (byte_at(scratch, at) == 'f' && byte_at(scratch, at + 1) == 'f')
		return false;
	if (byte_at(scratch, at + 2) != '-' || byte_at(scratch, at + 35) != '-' || byte_at(scratch, at + 52) != '-')
		return false;
	context->trace_id[0] = id_at(scratch, at + 3, &wrong);
	context->trace_id[1] = id_at(scratch, at + 19, &wrong);
	context->span_id = id_at(scratch, at + 36, &wrong);
	flags = digit_at(scratch, at + 54);
	wrong |= (digit_at(scratch, at + 53) | flags) & 16;
	hide(wrong);
	if (wrong || !(context->trace_id[0] | context->trace_id[1]) || !context->span_id) {
		context->span_id = 0; /* the caller may make a trace of its own, whose span has no parent */
		return false;
	}
	context->decision = flags & 1 ? DECISION_SAMPLED : DECISION_NOT_SAMPLED;
	context->is_remote = 1;
	return true;
}

/* 0 if the name of a header, up to its colon, stands at a place; else something else. */
static __always_inline u64 traceparent_differs(const struct scratch *scratch, u32 at)
{
	const u8 *name;

	hide(at);
	name = scratch->bytes + (at & (SCRATCH_BYTES / 2 - 1));
	return ((*(u64 *)name | 0x2020202020202020ULL) ^ 0x7261706563617274ULL) |
	       ((*(u32 *)(name + 8) | 0x00202020) ^ 0x3a746e65);
}

/*
 * Look for a traceparent header in `length` bytes of a request's beginning; gives where its value begins, 0 without one.
 *
 * Eight bytes at a time, with as few branches as can be: each is one more way for the verifier. Lines have a name, a
 * colon and an end, 4 bytes at the least, so two of them may end in 8 bytes.
 */
static __always_inline u32 find_traceparent(struct scratch *scratch, u32 length)
{
	scratch->found = 0;
	scratch->limit = length;
#pragma clang loop unroll(disable)
	for (u32 i = 0; i < HEAD_BYTES; i += 8) {
		u64 word, ends, below, differs;
		u32 behind;

		read_anew();
		if (i >= scratch->limit)
			break;
		word = *(u64 *)(scratch->bytes + i) ^ 0x0a0a0a0a0a0a0a0aULL;
		ends = (word - 0x0101010101010101ULL) & ~word & 0x8080808080808080ULL;
		if (!ends)
			continue;
		below = (ends & -ends) - 1;
		behind = i + (((below & 0x0101010101010101ULL) * 0x0101010101010101ULL) >> 56);
		scratch->found = behind + 12;
		differs = traceparent_differs(scratch, behind);
		ends &= ends - 1;
		if (!differs)
			break;
		scratch->found = 0;
		if (!ends)
			continue;
		below = (ends & -ends) - 1;
		behind = i + (((below & 0x0101010101010101ULL) * 0x0101010101010101ULL) >> 56);
		scratch->found = behind + 12;
		if (!traceparent_differs(scratch, behind))
			break;
		scratch->found = 0;
	}
	read_anew();
	return scratch->found;
}

/* Where the bytes begin that a call is about to send; 0 if they are not in user memory. */
static __always_inline u64 first_byte(void *msg, u64 *length)
{
	void *iter = msg + OFFSETOF_msghdr__msg_iter;
	u64 offset = read_u64(iter + OFFSETOF_iov_iter__iov_offset);
	struct user_segment segment = {};
	u8 type = 0xff;

	read_kernel(&type, 1, iter + OFFSETOF_iov_iter__iter_type);
#if HAS_iov_iter__ubuf
	if (type == ENUM_iter_type__ITER_UBUF) {
		*length = read_u64(iter + OFFSETOF_iov_iter__count);
		return read_u64(iter + OFFSETOF_iov_iter__ubuf) + offset;
	}
#endif
	if (type != ENUM_iter_type__ITER_IOVEC)
		return 0;
	read_kernel(&segment, sizeof(segment), (void *)read_u64(iter + OFFSETOF_IOV));
	*length = segment.length - offset;
	return segment.base + offset;
}

/* Take the beginning of a message into this CPU's scratch. NULL if there is nothing to see. */
static __always_inline struct scratch *look(u64 base, u64 length)
{
	u32 zero = 0;
	struct scratch *scratch = scratches.lookup(&zero);

	if (!scratch || !base || length < 4)
		return NULL;
	hide(length);
	if (length > HEAD_BYTES)
		length = HEAD_BYTES;
	hide(length);
	/* What is left of an earlier message behind this one must not be read as part of it. */
	__builtin_memset(scratch->bytes, 0, 16);
	if (read_user(scratch->bytes, length, (void *)base))
		return NULL;
	scratch->bytes[length & (SCRATCH_BYTES - 1)] = 0;
	return scratch;
}

/* A TLS handshake record: its type, and the major version that all versions of TLS write there (RFC 8446 5.1). */
static __always_inline bool is_encrypted(const struct scratch *scratch)
{
	return scratch->bytes[0] == 0x16 && scratch->bytes[1] == 0x03;
}

/* "HTTP/1.x 1": a response before the response. */
static __always_inline bool is_interim(const struct scratch *scratch)
{
	return *(u32 *)scratch->bytes == 0x50545448 && scratch->bytes[8] == ' ' && scratch->bytes[9] == '1';
}

#endif
