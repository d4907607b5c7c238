// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * Which goroutine makes a call through net/http's client, whose connections have goroutines of their own that send.
 *
 * One program at the entry of net/http.(*persistConn).roundTrip, attached by user space to each executable that has it.
 * A return is never probed: Go moves its stacks. Connections that are wrapped (TLS, or types of the program's own) are not
 * looked into; what is sent on them has no caller.
 */
#include "events.h"
#include "prelude.h"
#include "maps.h"
#include "task.h"
#include "submit.h"
#include "work.h"
#include "socket.h"
#include "hooks.h"

#define PERSIST_CONN_DATA 88 /* persistConn.conn at 80 is an interface: its type, then what it points to */
#define POLL_FD_SYSFD	  16 /* in poll.FD, with which net.netFD begins */

/* The identity of the socket behind a descriptor of this process; 0 if there is none. */
static __always_inline u64 socket_behind(u32 descriptor)
{
	void *files = (void *)read_u64((void *)bpf_get_current_task() + OFFSETOF_task_struct__files);
	void *table = (void *)read_u64(files + OFFSETOF_files_struct__fdt);
	void *file, *sk;

	if (descriptor >= read_u32(table + OFFSETOF_fdtable__max_fds))
		return 0;
	file = (void *)read_u64((void *)(read_u64(table + OFFSETOF_fdtable__fd) + 8 * (u64)descriptor));
	sk = file ? sock_of_file(file) : NULL;
	return sk ? known_identity(sk) : 0;
}

/* Go's own calling convention: the receiver is in RAX, the goroutine in R14. */
int go_round_trip(struct pt_regs *regs)
{
	struct runtime *runtime;
	struct origin origin = {};
	struct goroutine caller = {};
	u64 data = 0, fd = 0, socket;
	u32 descriptor = 0;

	if (!is_watched())
		return 0;
	runtime = runtime_now();
	if (!runtime || runtime->kind != RUNTIME_GO)
		return 0;
	fill_goroutine(&origin, runtime, regs->r14);
	if (!origin.task || read_user(&data, sizeof(data), (void *)(regs->ax + PERSIST_CONN_DATA)) ||
	    read_user(&fd, sizeof(fd), (void *)data) ||
	    read_user(&descriptor, sizeof(descriptor), (void *)(fd + POLL_FD_SYSFD)))
		return 0;
	socket = socket_behind(descriptor);
	if (!socket)
		return 0;
	caller.id = origin.task;
	caller.parent = origin.task_parent;
	go_callers.update(&socket, &caller);
	return 0;
}
