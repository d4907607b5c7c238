/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Where trace contexts are propagated: what connections carry, what tasks work for, and what is on its way. */
#ifndef ZEROSPAN_FLOW_H
#define ZEROSPAN_FLOW_H

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
	u32 request_end; /* client: sequence number behind the last request, where it is known where that ends */
	u8 is_end_known;
	u8 _pad[7];
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

#endif
