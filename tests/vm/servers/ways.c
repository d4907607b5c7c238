/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ways to move bytes that Python lacks, one HTTP exchange at a time.
 *
 *	ways WAY serve PORT		serves until it is killed, one connection after the other
 *	ways WAY call PORT EXCHANGES	all on one connection
 *
 * WAY is one of
 *	mmsg		sendmmsg with two messages, recvmmsg
 *	uring		io_uring, IORING_OP_SEND and IORING_OP_RECV
 *	uring-rw	io_uring, IORING_OP_WRITE and IORING_OP_READ
 *	uring-async	io_uring, as `uring`, but every request goes through the kernel's worker threads
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <liburing.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BUFFER_SIZE = 65536 };

static struct io_uring ring;
static const char *way;

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static ssize_t submit_and_wait(struct io_uring_sqe *sqe)
{
	struct io_uring_cqe *cqe;
	ssize_t result;

	if (!strcmp(way, "uring-async"))
		io_uring_sqe_set_flags(sqe, IOSQE_ASYNC);
	if (io_uring_submit(&ring) < 1 || io_uring_wait_cqe(&ring, &cqe))
		fail("io_uring");
	result = cqe->res;
	io_uring_cqe_seen(&ring, cqe);
	return result;
}

/* The first 9 bytes are a message of their own: less than a request line. */
static ssize_t send_two_messages(int fd, char *data, size_t size)
{
	struct iovec pieces[2] = {{data, 9}, {data + 9, size - 9}};
	struct mmsghdr messages[2] = {
		{.msg_hdr = {.msg_iov = &pieces[0], .msg_iovlen = 1}},
		{.msg_hdr = {.msg_iov = &pieces[1], .msg_iovlen = 1}},
	};

	if (sendmmsg(fd, messages, 2, 0) != 2)
		return -1;
	return messages[0].msg_len + messages[1].msg_len;
}

static void send_all(int fd, char *data, size_t size)
{
	struct io_uring_sqe *sqe;
	ssize_t sent;

	if (!strcmp(way, "mmsg")) {
		sent = send_two_messages(fd, data, size);
	} else {
		sqe = io_uring_get_sqe(&ring);
		if (!strcmp(way, "uring-rw"))
			io_uring_prep_write(sqe, fd, data, size, 0);
		else
			io_uring_prep_send(sqe, fd, data, size, 0);
		sent = submit_and_wait(sqe);
	}
	if (sent != (ssize_t)size)
		fail("send");
}

static ssize_t receive(int fd, char *data, size_t size)
{
	struct iovec piece = {data, size};
	struct mmsghdr message = {.msg_hdr = {.msg_iov = &piece, .msg_iovlen = 1}};
	struct io_uring_sqe *sqe;

	if (!strcmp(way, "mmsg"))
		return recvmmsg(fd, &message, 1, 0, NULL) == 1 ? (ssize_t)message.msg_len : -1;
	sqe = io_uring_get_sqe(&ring);
	if (!strcmp(way, "uring-rw"))
		io_uring_prep_read(sqe, fd, data, size, 0);
	else
		io_uring_prep_recv(sqe, fd, data, size, 0);
	return submit_and_wait(sqe);
}

/* A message without a body, or with one of two bytes: it has come when it ends in one or the other. */
static ssize_t receive_message(int fd, char *data)
{
	ssize_t size = 0, part;

	do {
		part = receive(fd, data + size, BUFFER_SIZE - size - 1);
		if (part <= 0)
			return part;
		size += part;
		data[size] = 0;
	} while (!strstr(data, "\r\n\r\n") || (data[0] == 'H' && strcmp(data + size - 2, "ok")));
	return size;
}

static void serve(int listener)
{
	static char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", data[BUFFER_SIZE];
	int fd;

	while ((fd = accept(listener, NULL, NULL)) >= 0) {
		while (receive_message(fd, data) > 0)
			send_all(fd, answer, strlen(answer));
		close(fd);
	}
}

static void call(int fd, int exchanges)
{
	static char request[100], data[BUFFER_SIZE];

	for (int n = 0; n < exchanges; n++) {
		snprintf(request, sizeof(request), "GET /ways/%d HTTP/1.1\r\nHost: ways\r\n\r\n", n);
		send_all(fd, request, strlen(request));
		if (receive_message(fd, data) <= 0)
			fail("no answer");
	}
	close(fd);
}

int main(int argc, char **argv)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;

	if (argc < 4)
		return 2;
	way = argv[1];
	address.sin_port = htons(atoi(argv[3]));
	if (strcmp(way, "mmsg") && io_uring_queue_init(8, &ring, 0))
		fail("io_uring_queue_init");
	if (!strcmp(argv[2], "call")) {
		if (connect(fd, (struct sockaddr *)&address, sizeof(address)))
			fail("connect");
		call(fd, argc > 4 ? atoi(argv[4]) : 23);
		return 0;
	}
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) || listen(fd, 64))
		fail("listen");
	serve(fd);
	return 0;
}
