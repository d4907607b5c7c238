/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * The bytes that a call moved, read back from the caller's buffers when the call is over.
 *
 * Hooking the exit alone tells how much was really moved, which the entry cannot know (partial writes, EAGAIN). By then
 * the message's iterator stands behind the bytes, so we walk back from where it stands.
 */
#ifndef ZEROSPAN_PAYLOAD_H
#define ZEROSPAN_PAYLOAD_H

/* Buffers of one call that are followed; servers write head and body with 2 or 3. */
#define MAX_SEGMENTS 8

struct payload {
	u64 base; /* user address of the first byte; 0: not in user memory */
	u64 length; /* bytes at `base` */
	u64 next; /* kernel address of the iovec after the one of `base`; 0: there is none */
};

#if HAS_iov_iter____iov
#define OFFSETOF_IOV OFFSETOF_iov_iter____iov
#else
#define OFFSETOF_IOV OFFSETOF_iov_iter__iov
#endif

struct user_segment {
	u64 base;
	u64 length;
};

/* Where the `moved` bytes that the iterator of `msg` has passed begin. */
static __always_inline void find_payload(struct payload *payload, void *msg, u64 moved)
{
	void *iter = msg + OFFSETOF_msghdr__msg_iter;
	u64 offset = read_u64(iter + OFFSETOF_iov_iter__iov_offset);
	struct user_segment segment = {};
	u64 behind = offset; /* passed bytes of the segments from `at` on */
	void *at;
	u8 type = 0xff;

	read_kernel(&type, 1, iter + OFFSETOF_iov_iter__iter_type);
#if HAS_iov_iter__ubuf
	if (type == ENUM_iter_type__ITER_UBUF) {
		payload->base = read_u64(iter + OFFSETOF_iov_iter__ubuf) + offset - moved;
		payload->length = moved;
		return;
	}
#endif
	if (type != ENUM_iter_type__ITER_IOVEC)
		return;
	at = (void *)read_u64(iter + OFFSETOF_IOV);
	if (behind >= moved) { /* all within the segment where it stands */
		read_kernel(&segment, sizeof(segment), at);
		payload->base = segment.base + offset - moved;
		payload->length = moved;
		return;
	}
#pragma clang loop unroll(disable)
	for (int i = 0; i < MAX_SEGMENTS; i++) {
		at -= sizeof(segment);
		if (read_kernel(&segment, sizeof(segment), at))
			return;
		behind += segment.length;
		if (behind >= moved) {
			/* A send that was resumed began within its first segment. */
			payload->base = segment.base + (behind - moved);
			payload->length = segment.length - (behind - moved);
			payload->next = (u64)at + sizeof(segment);
			return;
		}
	}
	count(COUNT_SEGMENTS_BEYOND);
}

/*
 * Copy up to `wanted` bytes of the payload to `to`, which has room for `limit`, a constant. Gives how many were copied:
 * always a prefix.
 *
 * What we would write: copy each segment behind the one before. The verifier cannot see that the sum of two variable
 * numbers stays below `limit`, so a further segment is copied only while what is there fills at most half of the room,
 * and at most the other half is added.
 */
static __always_inline u32 copy_payload(u8 *to, u64 limit, const struct payload *payload, u64 wanted)
{
	u64 length = payload->length;
	u64 next = payload->next;
	u64 copied;

	if (!payload->base)
		return 0;
	if (wanted > limit)
		wanted = limit;
	if (length > wanted)
		length = wanted;
	hide(length);
	if (length > limit)
		length = limit;
	hide(length);
	if (read_user(to, length, (void *)payload->base)) {
		count(COUNT_UNREADABLE_BYTES);
		return 0;
	}
	copied = length;
	if (!next)
		return copied;
#pragma clang loop unroll(disable)
	for (int i = 0; i < MAX_SEGMENTS; i++) {
		struct user_segment segment = {};

		if (copied >= wanted || copied > limit / 2)
			break;
		if (read_kernel(&segment, sizeof(segment), (void *)next))
			break;
		next += sizeof(segment);
		length = segment.length;
		if (length > wanted - copied)
			length = wanted - copied;
		hide(copied);
		if (copied > limit / 2)
			break;
		hide(copied);
		hide(length);
		if (length > limit / 2)
			length = limit / 2;
		hide(length);
		if (read_user(to + copied, length, (void *)segment.base)) {
			count(COUNT_UNREADABLE_BYTES);
			break;
		}
		copied += length;
	}
	return copied;
}

#endif
