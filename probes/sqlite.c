// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * Statements of SQLite, an embedded database: calls of a library, which no socket shows.
 *
 * Two programs, attached by user space to the functions of each file that has the library, and told apart by a cookie
 * (sqlite.h). Rows are counted here: a statement makes one record if its first step is its last, and two if it gives rows.
 * It ends with the step that gives no row, or where it is reset or finalized.
 *
 * What the library executes for itself, within a call of the program (the schema, a virtual table's own tables), is no
 * statement of the program. A call within another one is known by the stack, which is deeper there; so is a call whose
 * return was not seen, when the stack has become less deep.
 *
 * Not seen: the end of statements that sqlite3_exec gives up since its callback asks for that (until their memory is used
 * again), and the names of databases that were opened before the agent came, or in UTF-16.
 */
#include "events.h"
#include "prelude.h"
#include "maps.h"
#include "task.h"
#include "submit.h"
#include "work.h"
#include "sqlite.h"
#include "statement.h"

#define SQLITE_RESULT_OK    0 /* SQLITE_OK, SQLITE_ABORT, SQLITE_ROW, as the library returns them */
#define SQLITE_RESULT_ABORT 4
#define SQLITE_RESULT_ROW   100

#define NAME_BYTES 256

/* For longer a call that does not return hides no others: its return was missed. */
#define STALE_NS 600000000000

struct database_record {
	struct database_event event;
	u8 name[NAME_BYTES];
};

/* A statement is over, if it is under way. */
static __always_inline void sqlite_ended(struct telling *telling, u64 statement, u32 result)
{
	struct statement_key key = {.statement = statement, .tgid = bpf_get_current_pid_tgid() >> 32};
	struct running_statement *running = running_statements.lookup(&key);

	if (!running)
		return;
	telling->statement = statement;
	telling->start_ns = running->start_ns;
	telling->rows = running->rows;
	telling->text = 0;
	telling->result = result;
	telling->stage = STATEMENT_ENDED;
	running_statements.delete(&key);
}

/* sqlite3_step returned. A statement without a text is the library's own. */
static __always_inline void sqlite_stepped(struct telling *telling, const struct sqlite_call *call, u32 result,
					   u64 text_at)
{
	struct statement_key key = {.statement = call->argument[0], .tgid = bpf_get_current_pid_tgid() >> 32};
	struct running_statement *running = running_statements.lookup(&key), first = {};

	if (running) {
		if (result == SQLITE_RESULT_ROW)
			running->rows += 1;
		else
			sqlite_ended(telling, key.statement, result);
		return;
	}
	if (read_user(&telling->text, sizeof(u64), (void *)(key.statement + text_at)) || !telling->text)
		return;
	read_user(&telling->database, sizeof(u64), (void *)key.statement); /* the first member of struct Vdbe */
	telling->statement = key.statement;
	telling->start_ns = call->start_ns;
	telling->limit = -1;
	telling->result = result;
	if (result != SQLITE_RESULT_ROW) {
		telling->stage = STATEMENT_DONE;
		return;
	}
	first.start_ns = call->start_ns;
	first.rows = 1;
	if (running_statements.update(&key, &first)) {
		count(COUNT_LOST_STATEMENTS_FULL);
		return;
	}
	telling->rows = 1;
	telling->stage = STATEMENT_BEGUN;
}

/* A statement was prepared, and its address is at `place`; or it could not be. */
static __always_inline void sqlite_prepared(struct telling *telling, const struct sqlite_call *call, u32 result,
					    u64 place)
{
	u64 statement = 0;

	if (result == SQLITE_RESULT_OK) {
		if (!read_user(&statement, sizeof(statement), (void *)place) && statement)
			sqlite_ended(telling, statement, SQLITE_RESULT_ABORT);
		return;
	}
	telling->database = call->argument[0];
	telling->start_ns = call->start_ns;
	telling->text = call->argument[1];
	telling->limit = (s32)call->argument[2];
	telling->result = result;
	telling->stage = STATEMENT_DONE;
}

static __always_inline void sqlite_opened(const struct sqlite_call *call, u32 result)
{
	struct database_record *record;
	u64 database = 0;
	s64 length = 0;

	if (result != SQLITE_RESULT_OK || read_user(&database, sizeof(database), (void *)call->argument[1]) ||
	    !database)
		return;
	record = records.ringbuf_reserve(sizeof(struct database_record));
	if (!record) {
		count(COUNT_LOST_RING_FULL_STATEMENT);
		return;
	}
	if (call->argument[0])
		length = read_user_text(record->name, NAME_BYTES, (void *)call->argument[0]);
	fill_header(&record->event.header, EVENT_DATABASE, bpf_ktime_get_ns());
	record->event.database = database;
	record->event.captured = length > 0 ? length - 1 : 0; /* without the zero */
	record->event._pad = 0;
	count(COUNT_SUBMITTED);
	records.ringbuf_submit(record, wake_flags(sizeof(struct database_record)));
}

int sqlite_enters(struct pt_regs *regs)
{
	u32 tid = bpf_get_current_pid_tgid();
	struct sqlite_call call = {}, *outer;
	struct telling telling = {};

	if (!is_watched())
		return 0;
	if ((u8)cookie_of(regs) == SQLITE_END) {
		sqlite_ended(&telling, regs->di, SQLITE_RESULT_OK);
		if (telling.stage)
			tell_statement(&telling);
		return 0;
	}
	call.start_ns = bpf_ktime_get_ns();
	outer = sqlite_calls.lookup(&tid);
	if (outer && outer->stack > regs->sp && call.start_ns - outer->start_ns < STALE_NS)
		return 0;
	call.stack = regs->sp;
	call.argument[0] = regs->di;
	call.argument[1] = regs->si;
	call.argument[2] = regs->dx;
	call.argument[3] = regs->cx;
	call.argument[4] = regs->r8;
	sqlite_calls.update(&tid, &call);
	return 0;
}

int sqlite_returns(struct pt_regs *regs)
{
	u32 tid = bpf_get_current_pid_tgid();
	struct sqlite_call *found, call;
	struct telling telling = {};
	u32 function, result = regs->ax;
	u64 cookie;

	if (!is_watched())
		return 0;
	found = sqlite_calls.lookup(&tid);
	if (!found || found->stack + 8 > regs->sp)
		return 0; /* a call within it */
	call = *found;
	sqlite_calls.delete(&tid);
	if (call.stack + 8 != regs->sp)
		return 0; /* its own return was missed */
	cookie = cookie_of(regs);
	function = (u8)cookie;
	if (function == SQLITE_STEP)
		sqlite_stepped(&telling, &call, result, cookie >> SQLITE_FUNCTION_BITS);
	else if (function == SQLITE_PREPARE)
		sqlite_prepared(&telling, &call, result, call.argument[3]);
	else if (function == SQLITE_PREPARE_FLAGS)
		sqlite_prepared(&telling, &call, result, call.argument[4]);
	else if (function == SQLITE_OPEN)
		sqlite_opened(&call, result);
	if (telling.stage)
		tell_statement(&telling);
	return 0;
}
