/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The load: makes a known number of requests, each with an id of its own, so many at once.
 *
 *	caller PORT SHAPE FIRST REQUESTS LANES
 *
 * A lane is a thread that makes its share of the requests, one after the other, PER_CONNECTION on each connection.
 * A request is GET /SHAPE/ID, and its answer must be ID. Prints one line of JSON: {"ok": N, "failed": [ID, …]}.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PER_CONNECTION = 4, PATIENCE_S = 60, MAX_LANES = 256, MAX_REQUESTS = 100000, ANSWER_SIZE = 8192 };

static int port, first, requests, lanes;
static const char *shape;
static char failed[MAX_REQUESTS];

static int connect_to_service(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	struct timeval patience = {.tv_sec = PATIENCE_S};
	int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;

	address.sin_port = htons(port);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (connect(fd, (struct sockaddr *)&address, sizeof(address))) {
		close(fd);
		return -1;
	}
	return fd;
}

/* Reads one answer with a Content-Length, and no byte more; gives where its body begins, or NULL. */
static const char *receive_answer(int fd, char *data)
{
	int size = 0, part;
	char *end, *length;

	while (size < ANSWER_SIZE && (part = recv(fd, data + size, ANSWER_SIZE - size, 0)) > 0) {
		size += part;
		data[size] = 0;
		end = strstr(data, "\r\n\r\n");
		length = end ? strcasestr(data, "\r\nContent-Length:") : NULL;
		if (end && (!length || length > end))
			return NULL;
		if (end && data + size - (end + 4) >= atoi(length + 17))
			return end + 4;
	}
	return NULL;
}

/* Makes one request; tells whether the answer is the right one. Closes what cannot be used again. */
static int exchange(int *fd, int id)
{
	char request[256], data[ANSWER_SIZE + 1], wanted[32];
	const char *body;
	int size, ok;

	if (*fd < 0)
		*fd = connect_to_service();
	if (*fd < 0)
		return 0;
	size = snprintf(request, sizeof(request),
			"GET /%s/%d HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nX-Request-Id: %d\r\n\r\n", shape, id, port, id);
	snprintf(wanted, sizeof(wanted), "%d", id);
	body = send(*fd, request, size, MSG_NOSIGNAL) == size ? receive_answer(*fd, data) : NULL;
	ok = body && !strncmp(data + 8, " 200", 4) && !strncmp(body, wanted, strlen(wanted));
	if (!body || strcasestr(data, "\r\nConnection: close")) {
		close(*fd);
		*fd = -1;
	}
	return ok;
}

static void *make_requests(void *argument)
{
	int fd = -1, made = 0;

	for (int n = (int)(long)argument; n < requests; n += lanes) {
		if (fd >= 0 && made % PER_CONNECTION == 0) {
			close(fd);
			fd = -1;
		}
		failed[n] = !exchange(&fd, first + n);
		made++;
	}
	if (fd >= 0)
		close(fd);
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t threads[MAX_LANES];
	const char *comma = "";
	int ok = 0;

	if (argc != 6)
		return 2;
	port = atoi(argv[1]);
	shape = argv[2];
	first = atoi(argv[3]);
	requests = atoi(argv[4]);
	lanes = atoi(argv[5]);
	if (requests > MAX_REQUESTS || lanes > MAX_LANES)
		return 2;
	for (long n = 0; n < lanes; n++)
		if (pthread_create(&threads[n], NULL, make_requests, (void *)n)) {
			fprintf(stderr, "caller: no thread: %s\n", strerror(errno));
			return 1;
		}
	for (int n = 0; n < lanes; n++)
		pthread_join(threads[n], NULL);
	for (int n = 0; n < requests; n++)
		ok += !failed[n];
	printf("{\"ok\": %d, \"failed\": [", ok);
	for (int n = 0; n < requests; n++)
		if (failed[n]) {
			printf("%s%d", comma, first + n);
			comma = ", ";
		}
	printf("]}\n");
	return 0;
}
