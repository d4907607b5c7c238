// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * Contexts of CPython: who made which.
 *
 * One program at the return of PyContext_CopyCurrent, attached by user space to each interpreter that a traced process runs.
 * It sees the copies that asyncio and contextvars.copy_context() make, and not those of Context.copy().
 */
#include "events.h"
#include "prelude.h"
#include "maps.h"
#include "task.h"
#include "work.h"

int python_copied(struct pt_regs *regs)
{
	if (is_watched())
		context_copied(regs->ax);
	return 0;
}
