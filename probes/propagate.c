// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * The trace context that requests of chosen processes carry to other hosts, in a TCP option. Loaded only where the
 * operator asks for it: it is the one probe that decides something and that changes what leaves the host.
 *
 * What travels is 28 bytes of an experimental option (kind 253, RFC 6994: a magic number of 16 bits): trace id and span
 * id. With timestamps that is all the room there is. No byte of a payload is touched, so it passes through TLS and any
 * protocol that takes turns; both ends must run zerospan. It is written into the segment in which a request begins, and
 * into that segment again if it is sent again.
 *
 *   a request is received   its context is that of its option, its traceparent header, or its sender on this host; else
 *                           a new trace. Its task works for it from now on.
 *   a request is sent       its context is that of the work for which its connection was opened, if it is the first;
 *                           else that of the work of its task; else a new trace. The span id is new each time.
 *   a response is received  the task goes on with the work for which the request was sent.
 *   a response is sent      the task works for nobody.
 *
 * A thread with several requests under way is an event loop, and what it sends may be for any of them: it works for nobody
 * then, unless it is a proxy that passes on at once what it receives. No context rather than a doubtful one.
 *
 * A request is what begins a turn on a connection: nothing is known of protocols here, but for what tells that a
 * connection is encrypted (nobody sees a span there, so its caller's span stands for it), an interim response of HTTP/1,
 * and a header that is there already. User space learns of each context by a context_event, and gives its spans those
 * ids. Connections whose beginning was not seen carry none.
 */
#include "events.h"
#include "prelude.h"
#include "maps.h"
#include "task.h"
#include "submit.h"
#include "socket.h"
#include "payload.h"
#include "transfer.h"
#include "context.h"
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

/* What a connection carries at the moment, by its socket. */
struct flow {
	struct context
		context; /* server: of the request received last; client: of the work for which one was sent last */
	u32 tgid; /* who received the request that is under way */
	u32 tid;
	u8 turn; /* enum flow_turn */
	u8 is_opaque; /* encrypted */
	u8 is_open; /* server: a request is under way */
	u8 is_opened; /* client: opened for work, whose context this has, and nothing was sent yet */
	u8 _pad[4];
};

enum flow_turn {
	FLOW_NEW,
	FLOW_INGRESS,
	FLOW_EGRESS,
};

/* LRU: entries of sockets that are gone are never asked for, and leave when there is need. */
BPF_TABLE("lru_hash", u64, struct flow, flows, MAX_FLOWS);

/* Who works. */
struct worker {
	u32 tgid;
	u32 tid;
};

struct work {
	u64 socket; /* on which the request came; 0 once nobody knows */
	struct context context;
};

/* How many requests each task has received and not answered. Entries of tasks that have none are deleted; LRU, since
 * tasks end without a word. */
BPF_TABLE("lru_hash", struct worker, u32, loads, MAX_FLOWS);

/* What each task works for. Written when it receives, deleted when it responds. LRU: tasks end without a word. */
BPF_TABLE("lru_hash", struct worker, struct work, works, MAX_FLOWS);

/* A context on its way, and the sequence number of the first byte that it belongs to. */
struct stamp {
	struct context context;
	u32 sequence;
	u32 _pad;
};

/* By socket: to be written into a segment. Inserted when a request is sent; deleted when its response comes, for until
 * then it may be sent again; LRU for those that get none. */
BPF_TABLE("lru_hash", u64, struct stamp, departing, MAX_FLOWS);

/* By socket: read from a segment. Inserted by the option's arrival, deleted when its bytes are received. */
BPF_TABLE("lru_hash", u64, struct stamp, arriving, MAX_FLOWS);

/* A request on its way within this host: the client's end, and the sequence number of its first byte. */
struct near_key {
	u8 address[16];
	u32 sequence;
	u16 port;
	u16 _pad;
};

/* Inserted by the sender, deleted by the receiver; LRU for those that leave the host. */
BPF_TABLE("lru_hash", struct near_key, struct context, near, MAX_FLOWS);

/* Sockets of chosen processes that are being connected. Inserted in connect(2), deleted when established; LRU for those
 * that never are. */
BPF_TABLE("lru_hash", u64, u8, connecting, 4096);

static __always_inline struct worker worker_now(void)
{
	u64 pid_tgid = bpf_get_current_pid_tgid();
	struct worker worker = {};

	worker.tgid = pid_tgid >> 32;
	worker.tid = (u32)pid_tgid;
	return worker;
}

static __always_inline struct flow *flow_of(u64 socket)
{
	struct flow *flow = flows.lookup(&socket);
	struct flow fresh = {};

	if (flow)
		return flow;
	flows.update(&socket, &fresh);
	return flows.lookup(&socket);
}

/* A request is under way. */
static __always_inline void open_request(struct flow *flow, struct worker *worker)
{
	u32 *load = loads.lookup(worker);
	u32 one = 1;

	flow->tgid = worker->tgid;
	flow->tid = worker->tid;
	flow->is_open = 1;
	if (load)
		*load +=
			1; /* only this task's own programs change it, but for a close: too many at worst, and we refuse */
	else
		loads.update(worker, &one);
}

/* It is answered, or never will be. */
static __always_inline void end_request(struct flow *flow)
{
	struct worker worker = {};
	u32 *load;

	if (!flow->is_open)
		return;
	flow->is_open = 0;
	worker.tgid = flow->tgid;
	worker.tid = flow->tid;
	load = loads.lookup(&worker);
	if (!load)
		return;
	if (*load > 1)
		*load -= 1;
	else
		loads.delete(&worker);
}

/* Whether the task may be working for another request than the one that it received last. */
static __always_inline bool is_doubtful(struct worker *worker)
{
	u32 *load = loads.lookup(worker);
	u8 *watch;

	if (!load || *load < 2)
		return false;
	watch = watch_of(worker->tgid);
	return !watch || !(*watch & WATCH_PROXY);
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

/* The client's end of a connection: our own for a client, the other one for a server. */
static __always_inline void fill_near(struct near_key *key, void *sk, bool is_client, u32 sequence)
{
	if (read_u16(sk + OFFSETOF_sock_common__skc_family) == AF_INET)
		map_ipv4(key->address,
			 sk + (is_client ? OFFSETOF_sock_common__skc_rcv_saddr : OFFSETOF_sock_common__skc_daddr));
	else
		read_kernel(
			key->address, 16,
			sk + (is_client ? OFFSETOF_sock_common__skc_v6_rcv_saddr : OFFSETOF_sock_common__skc_v6_daddr));
	key->port = is_client ? read_u16(sk + OFFSETOF_sock_common__skc_num)
			      : __builtin_bswap16(read_u16(sk + OFFSETOF_sock_common__skc_dport));
	key->sequence = sequence;
}

/* Tell user space. What finds no room is counted; its span then has ids of its own. */
static __always_inline void tell(u64 socket, const struct context *context, u64 span_id, u32 sequence, u32 direction)
{
	struct context_event *event;

	if (!has_room_for_data()) {
		count(COUNT_LOST_RING_FULL_CONTEXT);
		return;
	}
	event = records.ringbuf_reserve(sizeof(struct context_event));
	if (!event) {
		count(COUNT_LOST_RING_FULL_CONTEXT);
		return;
	}
	fill_header(&event->header, EVENT_CONTEXT, bpf_ktime_get_ns());
	event->socket = socket;
	__builtin_memcpy(event->trace_id, context->trace_id, 16);
	__builtin_memcpy(event->span_id, &span_id, 8);
	__builtin_memcpy(event->parent_id, &context->span_id, 8);
	event->sequence = sequence;
	event->direction = direction;
	event->decision = context->decision;
	event->is_remote = context->is_remote;
	count(COUNT_SUBMITTED);
	records.ringbuf_submit(event, wake_flags(sizeof(struct context_event)));
}

/* The context that arrived in the option of bytes among those just received. */
static __always_inline bool take_arrived(u64 socket, u32 sequence, u32 moved, struct context *context)
{
	struct stamp *stamp = arriving.lookup(&socket);
	u32 ahead;

	if (!stamp)
		return false;
	ahead = stamp->sequence - sequence;
	if (ahead < moved) {
		*context = stamp->context;
		arriving.delete(&socket);
		return true;
	}
	if ((s32)ahead < 0)
		arriving.delete(&socket); /* of bytes that passed */
	return false;
}

static __always_inline void request_received(struct sock *sk, u64 socket, struct flow *flow,
					     const struct scratch *scratch, u32 length, u32 sequence, u32 moved)
{
	struct context context = {};
	struct work work = {};
	struct worker worker = worker_now();
	struct near_key key = {};
	struct context *sent;
	u64 span_id = random_id();
	u32 at = 0;

	if (scratch && !flow->is_opaque)
		at = find_traceparent(scratch, length);
	fill_near(&key, sk, false, sequence);
	sent = near.lookup(&key);
	if (at && read_traceparent(scratch, at, &context)) {
		/* A header says it. */
	} else if (take_arrived(socket, sequence, moved, &context)) {
		/* An option says it. */
	} else if (sent) {
		context = *sent;
	} else {
		context.trace_id[0] = random_id();
		context.trace_id[1] = random_id();
	}
	if (sent)
		near.delete(&key);
	if (!flow->is_opaque)
		tell(socket, &context, span_id, sequence, INGRESS);
	work.socket = socket;
	work.context = context;
	if (!flow->is_opaque) {
		work.context.span_id = span_id;
		work.context.is_remote = 0;
	}
	flow->context = work.context;
	open_request(flow, &worker);
	works.update(&worker, &work);
}

static __always_inline void received(struct sock *sk, void *msg, u32 moved)
{
	u64 socket = known_identity(sk);
	struct socket_state *state = socket ? sockets.lookup(&socket) : NULL;
	struct payload payload = {};
	struct scratch *scratch;
	struct flow *flow;
	u8 turn;

	if (!state || state->role == ROLE_UNKNOWN)
		return;
	flow = flow_of(socket);
	if (!flow)
		return;
	turn = flow->turn;
	flow->turn = FLOW_INGRESS;
	if (state->role == ROLE_CLIENT) {
		struct worker worker = worker_now();
		struct work work = {};

		if (turn == FLOW_EGRESS)
			departing.delete(&socket);
		work.context = flow->context;
		if (work.context.trace_id[0] | work.context.trace_id[1])
			works.update(&worker, &work);
		else
			works.delete(&worker);
		return;
	}
	if (turn == FLOW_INGRESS)
		return; /* more of a request */
	find_payload(&payload, msg, moved);
	scratch = look(payload.base, payload.length);
	if (turn == FLOW_NEW && scratch && is_encrypted(scratch))
		flow->is_opaque = 1;
	request_received(sk, socket, flow, scratch, payload.length, sequence_of(sk, moved, false), moved);
}

static __always_inline void request_sent(struct sock *sk, u64 socket, struct flow *flow, bool is_chosen)
{
	struct worker worker = worker_now();
	struct work *work = is_doubtful(&worker) ? NULL : works.lookup(&worker);
	struct stamp stamp = {};
	struct near_key key = {};
	u64 span_id = random_id();

	stamp.sequence = read_u32((void *)sk + OFFSETOF_tcp_sock__write_seq);
	if (flow->is_opened) {
		flow->is_opened = 0;
		stamp.context = flow->context;
	} else if (work) {
		stamp.context = flow->context = work->context;
	} else {
		__builtin_memset(&flow->context, 0, sizeof(flow->context));
		stamp.context.trace_id[0] = random_id();
		stamp.context.trace_id[1] = random_id();
	}
	if (!flow->is_opaque) {
		tell(socket, &stamp.context, span_id, stamp.sequence, EGRESS);
		stamp.context.span_id = span_id;
		stamp.context.is_remote = 0;
	} else if (!stamp.context.span_id) {
		/* Nobody would see a span that it could name. */
		return;
	}
	fill_near(&key, sk, true, stamp.sequence);
	near.update(&key, &stamp.context);
	if (is_chosen) {
		stamp.context.is_remote = 1;
		departing.update(&socket, &stamp);
	}
}

static __always_inline void sends(struct sock *sk, void *msg)
{
	u64 socket = known_identity(sk), length = 0, base;
	struct socket_state *state = socket ? sockets.lookup(&socket) : NULL;
	struct worker worker = worker_now();
	struct scratch *scratch;
	struct work *work;
	struct flow *flow;
	u8 turn;

	if (!state || state->role == ROLE_UNKNOWN)
		return;
	flow = flow_of(socket);
	if (!flow || flow->turn == FLOW_EGRESS)
		return;
	base = first_byte(msg, &length);
	scratch = look(base, length);
	turn = flow->turn;
	if (state->role == ROLE_SERVER) {
		if (scratch && is_interim(scratch))
			return;
		flow->turn = FLOW_EGRESS;
		end_request(flow);
		work = works.lookup(&worker);
		if (work && work->socket == socket)
			works.delete(&worker);
		return;
	}
	flow->turn = FLOW_EGRESS;
	if (scratch && turn == FLOW_NEW && is_encrypted(scratch))
		flow->is_opaque = 1;
	if (scratch && !flow->is_opaque && find_traceparent(scratch, length > HEAD_BYTES ? HEAD_BYTES : length))
		return; /* it has one already, which is better */
	request_sent(sk, socket, flow, is_chosen());
}

int propagate_sends(u64 *ctx)
{
	if (!is_watched())
		return 0;
	sends((struct sock *)ARGUMENT(ctx, 0), (void *)ARGUMENT(ctx, 1));
	return 0;
}

int propagate_closes(u64 *ctx)
{
	void *sk = sock_of_file((void *)ARGUMENT(ctx, 1));
	u64 socket = sk ? known_identity(sk) : 0;
	struct flow *flow = socket ? flows.lookup(&socket) : NULL;

	if (!flow)
		return 0;
	end_request(flow);
	flows.delete(&socket);
	departing.delete(&socket);
	arriving.delete(&socket);
	return 0;
}

int propagate_received(u64 *ctx)
{
	s32 result = ARGUMENT(ctx, ARGUMENTS_tcp_recvmsg);
	u32 flags = ARGUMENT(ctx, 3);

	if (!is_watched() || result <= 0 || (flags & (MSG_PEEK | MSG_OOB | MSG_ERRQUEUE | MSG_TRUNC)))
		return 0;
	received((struct sock *)ARGUMENT(ctx, 0), (void *)ARGUMENT(ctx, 1), result);
	return 0;
}

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

/* In connect(2): event loops send in a later turn, when they may be working for somebody else. Here 6.1 does not offer the
 * helper for the current task's numbers. */
static __always_inline void connects(u64 socket)
{
	void *task = (void *)bpf_get_current_task();
	struct worker worker = {};
	struct work *work;
	struct flow *flow;
	u8 *watch, one = 1;

	worker.tgid = read_u32(task + OFFSETOF_task_struct__tgid);
	worker.tid = read_u32(task + OFFSETOF_task_struct__pid);
	watch = watch_of(worker.tgid);
	if (!watch)
		return;
	if ((*watch & WATCH_AND_PROPAGATE) == WATCH_AND_PROPAGATE)
		connecting.update(&socket, &one);
	if (!(*watch & WATCH_YES) || is_doubtful(&worker))
		return;
	work = works.lookup(&worker);
	flow = work ? flow_of(socket) : NULL;
	if (!flow)
		return;
	flow->context = work->context;
	flow->is_opened = 1;
}

int propagate_options(struct bpf_sock_ops *ops)
{
	u64 socket = socket_cookie(ops);
	u32 what = ops->op;

	if (what == BPF_SOCK_OPS_TCP_CONNECT_CB) {
		connects(socket);
	} else if (what == BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB) {
		if (connecting.lookup(&socket)) {
			connecting.delete(&socket);
			set_callbacks(ops, ops->bpf_sock_ops_cb_flags | BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG);
		}
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
