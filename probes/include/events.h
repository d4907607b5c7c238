/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * THE description of what crosses the border from the kernel to user space.
 *
 * agent/kernel/layout.py reads this file; nobody writes these layouts down a second time. Only fixed-width integers,
 * arrays of them and an earlier struct; padding is written out; wide fields first. Times are CLOCK_MONOTONIC in ns.
 * A payload, where a struct has one, follows the struct; its length is the field `captured`.
 */
#ifndef ZEROSPAN_EVENTS_H
#define ZEROSPAN_EVENTS_H

/* Numbers are never reused. */
enum event_kind {
	EVENT_OPEN = 1,
	EVENT_DATA = 2,
	EVENT_END = 3,
	EVENT_CLOSE = 4,
	EVENT_LISTEN = 5,
	EVENT_FORK = 6,
	EVENT_EXEC = 7,
	EVENT_EXIT = 8,
	EVENT_PROGRESS = 9, /* written by user space only, from the socket's kernel state */
	EVENT_DATAGRAM = 10,
	EVENT_DATAGRAM_END = 11,
	EVENT_CONTEXT = 12,
	EVENT_THREAD_EXIT = 13, /* an exit_event without more: of one thread of several */
	EVENT_STATEMENT = 14,
	EVENT_DATABASE = 15,
};

enum direction {
	INGRESS = 0, /* received by the traced process */
	EGRESS = 1, /* sent by the traced process */
};

enum role {
	ROLE_UNKNOWN = 0, /* the connection is older than the agent */
	ROLE_SERVER = 1, /* accepted */
	ROLE_CLIENT = 2, /* connected */
};

struct event_header {
	u64 time_ns; /* when it happened */
	u32 tgid; /* process, in the initial PID namespace */
	u32 tid; /* thread, in the initial PID namespace */
	u32 kind; /* enum event_kind */
	u32 _pad;
};

/* What the kernel side knows of the work that a thread was handed. */
enum cause {
	CAUSE_NONE = 0, /* nothing: it was handed none, or received a request itself since */
	CAUSE_WOKEN = 1, /* the thread that worked for the request named woke it */
	CAUSE_CREATED = 2, /* that thread, or one that it made, made it */
	CAUSE_BACKLOG = 3, /* what it was handed is over, and nobody woke it for what it does now */
	CAUSE_UNCLEAR = 4, /* it was woken, but by a thread of which the work is not known */
	CAUSE_TASK = 5, /* `task` works for the request named; for none that is known where cause_socket is 0 */
	CAUSE_RESULT =
		6, /* of an answer: the job `task_parent` was done for it, as its end tells, at the time `cause_socket` */
	CAUSE_LOOP =
		7, /* a loop's thread, called back for what it received: that turn of that connection, a client's or a server's;
		    * 0: it was called back for something else. `task` is how many bytes had been received there by then */
};

/* Set beside a cause: the thread has made calls since it was handed the work. */
#define CAUSE_USED 256

/* Set beside a cause: who handed it over had received as a client since, and may have gone on with another request. */
#define CAUSE_MIXED 512

/* Set beside a cause: the thread was made by one that had been woken for the work, and so may have had another's. */
#define CAUSE_PASSED 1024

/* For whom a call was made, as far as the kernel side can tell: facts, of which user space concludes (DESIGN.md 5). */
struct origin {
	u64 task; /* logical task of the runtime (goroutine id, Python context) that made the call; 0: none is known */
	u64 task_parent; /* what made that task; where there are none such, the job that the thread does (work.h); 0: not known */
	u64 cause_socket; /* with a cause: the server's connection that the request came on; CAUSE_LOOP: either's */
	u32 cause_turn; /* the turn of that connection that the request is */
	u32 cause; /* enum cause */
};

/* A connection that a watched process has, before the first event that names it. */
struct open_event {
	struct event_header header;
	u64 socket; /* socket cookie, or the sock's address where the kernel offers no cookie */
	u64 peer_socket; /* Unix sockets: the other end's `socket`, 0 if not known yet; else 0 */
	u32 netns; /* inode of the network namespace */
	u16 local_port; /* host order; 0 for Unix sockets */
	u16 remote_port; /* host order; 0 for Unix sockets */
	u8 local_address[16]; /* IPv6, or IPv4 mapped; zero for Unix sockets */
	u8 remote_address[16];
	u32 family; /* AF_UNIX 1, AF_INET 2, AF_INET6 10 */
	u32 role; /* enum role */
	struct origin origin; /* of a client's: who opened it; else zero */
};

/* Bytes that one call moved on a socket. Bytes past the capture budget of a turn make no event of their own. */
struct data_event {
	struct event_header header;
	u64 socket;
	u64 start_ns; /* egress: when the call began, 0 if not known; ingress: 0 */
	u64 position; /* bytes that passed in this direction before these */
	u64 other_position; /* bytes that have passed in the other direction */
	u64 other_last_ns; /* when the last of those passed; 0 if none did */
	u32 size; /* bytes the call moved */
	u32 captured; /* bytes that follow; less than size when cut */
	u32 sequence; /* TCP sequence number of the first of these bytes; 0 for Unix sockets */
	u32 turn; /* how often the direction has changed; the first bytes are turn 1 */
	u32 direction; /* enum direction */
	u32 _pad;
	struct origin origin;
};

/* One direction ended: the peer's end of file, a local shutdown, or an error. */
struct end_event {
	struct event_header header;
	u64 socket;
	u64 position; /* bytes that passed in this direction */
	u32 direction; /* enum direction */
	u32 error; /* errno; 0 for an orderly end */
};

/* Beside `error`: the peer had ended its direction before we did, and no end_event told it. */
#define CLOSE_ENDED_BY_PEER 0x80000000

/* The socket is gone. */
struct close_event {
	struct event_header header;
	u64 socket;
	u64 ingress_position; /* all bytes that passed, reported or not */
	u64 egress_position;
	u64 ingress_last_ns; /* when the last of them passed; 0 if none did */
	u64 egress_last_ns;
	u32 turn;
	u32 error; /* errno pending on the socket, 0 if none; with CLOSE_ENDED_BY_PEER */
};

/* How far a connection has come whose bytes make no events at the moment. */
struct progress_event {
	struct event_header header;
	u64 socket;
	u64 ingress_position;
	u64 egress_position;
	u64 ingress_last_ns;
	u64 egress_last_ns;
	u64 tail; /* the last 8 bytes that passed in the direction of the turn, the newest highest */
	u32 turn;
	u32 direction; /* enum direction: that of the turn */
};

/* A datagram that one call moved. */
struct datagram_event {
	struct event_header header;
	u64 socket;
	u8 local_address[16]; /* IPv6, or IPv4 mapped; zero where the socket is bound to none */
	u8 remote_address[16];
	u16 local_port; /* host order */
	u16 remote_port;
	u32 family; /* AF_INET 2, AF_INET6 10 */
	u32 direction; /* enum direction */
	u32 size; /* bytes of the datagram */
	u32 captured; /* bytes that follow */
	u32 _pad;
	struct origin origin; /* of one that was sent; else zero */
};

/* A socket that moved datagrams is gone. */
struct datagram_end_event {
	struct event_header header;
	u64 socket;
};

/* How far a statement of an embedded database has come. */
enum statement_stage {
	STATEMENT_BEGUN = 1, /* it gave its first row, and goes on */
	STATEMENT_ENDED = 2, /* one that had begun */
	STATEMENT_DONE = 3, /* it began and ended in one call, or could not be prepared */
};

/* A statement that a process executed in itself, by calls of a library. */
struct statement_event {
	struct event_header header;
	u64 statement; /* its address; 0: it could not be prepared */
	u64 database; /* address of the connection's handle */
	u64 start_ns; /* when the first step of this execution, or its preparation, began */
	u64 rows; /* that it gave */
	u32 result; /* what the library answered last: SQLITE_DONE, an error; SQLITE_OK where the program gave it up */
	u32 stage; /* enum statement_stage */
	u32 captured; /* bytes of its text, which follow; 0 where it was told before */
	u32 _pad;
	struct origin origin; /* zero for STATEMENT_ENDED */
};

/* A process opened an embedded database. */
struct database_event {
	struct event_header header;
	u64 database; /* address of the connection's handle */
	u32 captured; /* bytes of the file's name as the program gave it, which follow */
	u32 _pad;
};

/* What was known of sampling where a trace context came from. */
enum decision {
	DECISION_NONE = 0, /* left to whoever receives it */
	DECISION_SAMPLED = 1,
	DECISION_NOT_SAMPLED = 2,
};

/* The trace context that the kernel side gave to a request; only where contexts are propagated. */
struct context_event {
	struct event_header header;
	u64 socket;
	u8 trace_id[16];
	u8 span_id[8]; /* of the span that the request becomes */
	u8 parent_id[8]; /* the span that it came from, or for which it was made; zero: none that is seen */
	u32 sequence; /* TCP sequence number of the request's first byte */
	u32 direction; /* enum direction */
	u32 decision; /* enum decision */
	u32 is_remote; /* parent_id is another host's, or named by a header */
};

/* A process began to listen on a port. */
struct listen_event {
	struct event_header header;
	u32 port; /* host order */
	u32 _pad;
};

/* header: the parent. */
struct fork_event {
	struct event_header header;
	u32 child; /* tgid of the new process */
	u32 _pad;
};

/* Payload: the new program's arguments, each ended by a zero byte, cut at a bound. */
struct exec_event {
	struct event_header header;
	u8 comm[16];
	u32 size; /* bytes of all arguments */
	u32 captured;
};

/* The last thread of the process ended. */
struct exit_event {
	struct event_header header;
};

#endif
