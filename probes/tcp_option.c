// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * Trace contexts on their way to other hosts, in a TCP option. It changes what leaves the host, and is loaded only where the
 * operator asks for it.
 *
 * What travels is 28 bytes of an experimental option (kind 253, RFC 6994: a magic number of 16 bits): trace id and span
 * id. With timestamps that is all the room there is. No byte of a payload is touched, so it passes through TLS and any
 * protocol that takes turns; both ends must run zerospan. It is written into the segment in which a request begins, and
 * into that segment again if it is sent again.
 */
#include "events.h"
#include "prelude.h"
#include "maps.h"
#include "task.h"
#include "submit.h"
#include "work.h"
#include "socket.h"
#include "payload.h"
#include "insertion.h"
#include "transfer.h"
#include "context.h"
#include "flow.h"
#include "opening.h"
#include "hooks.h"

#define OPTION_KIND 253
#define OPTION_SIZE 28
/* Two bytes in network order: "ZP", "ZQ", "ZR", by enum decision. */
#define OPTION_MAGIC(decision) (0x505a + ((decision) << 8))

struct option {
	u8 kind;
	u8 length;
	u16 magic;
	u64 trace_id[2];
	u64 span_id;
} __attribute__((packed));

static long (*set_callbacks)(void *ops, int flags) = (void *)59; /* BPF_FUNC_sock_ops_cb_flags_set */
static long (*load_option)(void *ops, void *to, u32 size, u64 flags) = (void *)142; /* BPF_FUNC_load_hdr_opt */
static long (*store_option)(void *ops, const void *from, u32 size,
			    u64 flags) = (void *)143; /* BPF_FUNC_store_hdr_opt */
static long (*reserve_option)(void *ops, u32 size, u64 flags) = (void *)144; /* BPF_FUNC_reserve_hdr_opt */

static __always_inline u32 segment_sequence(struct bpf_sock_ops *ops, bool *has_data)
{
	u8 *header = ops->skb_data;
	u8 *end = ops->skb_data_end;

	*has_data = false;
	if (header + 20 > end)
		return 0;
	*has_data = ops->skb_len > (header[12] >> 4) * 4;
	return __builtin_bswap32(*(u32 *)(header + 4));
}

static __always_inline void write_option(struct bpf_sock_ops *ops, u64 socket)
{
	struct stamp *stamp = departing.lookup(&socket);
	struct option option = {};
	bool has_data;
	u32 sequence = segment_sequence(ops, &has_data);

	if (!stamp || !has_data || sequence != stamp->sequence)
		return;
	option.kind = OPTION_KIND;
	option.length = OPTION_SIZE;
	option.magic = OPTION_MAGIC(stamp->context.decision);
	option.trace_id[0] = stamp->context.trace_id[0];
	option.trace_id[1] = stamp->context.trace_id[1];
	option.span_id = stamp->context.span_id;
	store_option(ops, &option, OPTION_SIZE, 0);
}

static __always_inline void read_option(struct bpf_sock_ops *ops, u64 socket)
{
	struct stamp stamp = {};
	struct option option = {};
	bool has_data;
	u32 decision;

	stamp.sequence = segment_sequence(ops, &has_data);
	/* Several segments of one request may carry it: the network card copies headers. The first one counts. */
	if (!has_data)
		return;
#pragma unroll
	for (decision = DECISION_NONE; decision <= DECISION_NOT_SAMPLED; decision++) {
		option.kind = OPTION_KIND;
		option.length = 4; /* up to here it must be equal */
		option.magic = OPTION_MAGIC(decision);
		if (load_option(ops, &option, OPTION_SIZE, 0) == OPTION_SIZE) {
			stamp.context.decision = decision;
			break;
		}
	}
	if (decision > DECISION_NOT_SAMPLED || !(option.trace_id[0] | option.trace_id[1]) || !option.span_id)
		return;
	stamp.context.trace_id[0] = option.trace_id[0];
	stamp.context.trace_id[1] = option.trace_id[1];
	stamp.context.span_id = option.span_id;
	stamp.context.is_remote = 1;
	arriving.update(&socket, &stamp);
}

int tcp_option_callbacks(struct bpf_sock_ops *ops)
{
	u64 socket = socket_cookie(ops);
	u32 what = ops->op;

	if (what == BPF_SOCK_OPS_TCP_CONNECT_CB) {
		connects(socket);
	} else if (what == BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB) {
		if (is_connected(socket))
			set_callbacks(ops, ops->bpf_sock_ops_cb_flags | BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG);
	} else if (what == BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB) {
		set_callbacks(ops, ops->bpf_sock_ops_cb_flags | BPF_SOCK_OPS_PARSE_UNKNOWN_HDR_OPT_CB_FLAG);
	} else if (what == BPF_SOCK_OPS_HDR_OPT_LEN_CB) {
		if (departing.lookup(&socket))
			reserve_option(ops, OPTION_SIZE, 0);
	} else if (what == BPF_SOCK_OPS_WRITE_HDR_OPT_CB) {
		write_option(ops, socket);
	} else if (what == BPF_SOCK_OPS_PARSE_HDR_OPT_CB) {
		read_option(ops, socket);
	}
	return 1;
}
