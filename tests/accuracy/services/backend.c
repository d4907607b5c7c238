/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The end of every chain: GET /work/ID/CALL is answered with ID, after 2 to 21 ms that depend on both.
 *
 *	backend PORT
 *
 * A thread per connection, keep-alive. X-Request-Id must name the id in the path: so whoever gets an answer has
 * forwarded the id, and has not mixed up requests. GET /calls is answered with how many such calls there were.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { HEAD_SIZE = 8192 };

static atomic_ulong calls;

static int respond(int fd, const char *status, unsigned long told, int is_last)
{
	char body[32], response[256];
	int size;

	size = snprintf(body, sizeof(body), "%lu", told);
	size = snprintf(response, sizeof(response),
			"HTTP/1.1 %s\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n%s\r\n%s", status, size,
			is_last ? "Connection: close\r\n" : "", body);
	return send(fd, response, size, MSG_NOSIGNAL) == size;
}

/* Answers one request; tells whether another may come on this connection. */
static int answer(int fd, const char *head)
{
	unsigned long id = 0, call = 0, forwarded = 0;
	const char *header = strcasestr(head, "\r\nX-Request-Id:");
	int is_last = strcasestr(head, "\r\nConnection: close") != NULL, ok;

	if (!strncmp(head, "GET /calls ", 11))
		return respond(fd, "200 OK", calls, is_last) && !is_last;
	ok = sscanf(head, "GET /work/%lu/%lu HTTP/1.", &id, &call) == 2;
	ok = ok && header && sscanf(header + 15, "%lu", &forwarded) == 1 && forwarded == id;
	calls += ok;
	usleep(1000 * (2 + (id * 7919 + call * 31) % 20));
	return respond(fd, ok ? "200 OK" : "400 Bad Request", id, is_last) && !is_last;
}

static void *serve(void *argument)
{
	int fd = (int)(long)argument, size = 0, part;
	char head[HEAD_SIZE + 1];

	while (size < HEAD_SIZE && (part = recv(fd, head + size, HEAD_SIZE - size, 0)) > 0) {
		size += part;
		head[size] = 0;
		if (!strstr(head, "\r\n\r\n"))
			continue;
		size = 0;
		if (!answer(fd, head))
			break;
	}
	close(fd);
	return NULL;
}

int main(int argc, char **argv)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	int listener = socket(AF_INET, SOCK_STREAM, 0), one = 1, fd;
	pthread_attr_t detached;
	pthread_t thread;

	if (argc != 2)
		return 2;
	address.sin_port = htons(atoi(argv[1]));
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(listener, (struct sockaddr *)&address, sizeof(address)) || listen(listener, 512)) {
		perror("backend");
		return 1;
	}
	pthread_attr_init(&detached);
	pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&detached, 1 << 17);
	while ((fd = accept(listener, NULL, NULL)) >= 0) {
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		if (pthread_create(&thread, &detached, serve, (void *)(long)fd))
			close(fd);
	}
	return 1;
}
