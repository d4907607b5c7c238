// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * Callbacks of Node.js: when one is over.
 *
 * One program at the return of node::LibuvStreamWrap::OnUvRead, which libuv calls for each read from a TCP or Unix socket,
 * attached by user space to each Node.js that a traced process runs. That it begins is known by the receipt itself.
 */
#include "events.h"
#include "prelude.h"
#include "maps.h"
#include "task.h"
#include "work.h"

int node_called_back(struct pt_regs *regs)
{
	if (is_watched())
		callback_ends();
	return 0;
}
