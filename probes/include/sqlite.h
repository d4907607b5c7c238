/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* What is known of SQLite's calls and statements while they run. */
#ifndef ZEROSPAN_SQLITE_H
#define ZEROSPAN_SQLITE_H

/*
 * What an attachment in SQLite's library tells of itself: user space gives each one a number (a BPF cookie, since Linux
 * 5.15), of which the low byte says what the function does, and the rest where a statement has its text.
 */
enum sqlite_function {
	SQLITE_STEP = 1, /* sqlite3_step(statement) */
	SQLITE_PREPARE = 2, /* sqlite3_prepare_v2(database, text, size, statement **, …) and its like */
	SQLITE_PREPARE_FLAGS = 3, /* sqlite3_prepare_v3(database, text, size, flags, statement **, …) */
	SQLITE_OPEN = 4, /* sqlite3_open_v2(name, database **, …) and its like */
	SQLITE_END = 5, /* sqlite3_reset(statement), sqlite3_finalize(statement) */
};

#define SQLITE_FUNCTION_BITS 8

/* Not by the name that bcc knows (prelude.h). */
static u64 (*cookie_of)(void *ctx) = (void *)174; /* BPF_FUNC_get_attach_cookie */

struct sqlite_call {
	u64 stack; /* the stack pointer at the entry: it points at the return address */
	u64 start_ns;
	u64 argument[5];
};

/*
 * The outermost call that a thread is in, by tid. Inserted at its entry, over what was there; deleted at its return. LRU,
 * for threads that end within a call: what is forgotten makes a return without an entry, and its statement is not told.
 */
BPF_TABLE("lru_hash", u32, struct sqlite_call, sqlite_calls, 4096);

struct statement_key {
	u64 statement;
	u64 tgid;
};

struct running_statement {
	u64 start_ns;
	u64 rows;
};

/*
 * Statements that gave a row and are not over. Inserted at their first row; deleted where they end, by user space for a
 * process that is gone, and when their address is prepared again. Without room they are counted and not followed.
 */
BPF_F_TABLE("hash", struct statement_key, struct running_statement, running_statements, 2048, 0);

#endif
