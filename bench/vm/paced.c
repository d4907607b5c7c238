/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP/1.1 requests at a fixed rate, which wrk cannot make.
 *
 *	paced PORT PATH RATE SECONDS CONNECTIONS
 *
 * Request N is due N / RATE seconds after the first, whatever became of those before it; it goes out on the connection
 * that has been free the longest, and late if none is free. Connections stay open unless the server closes them.
 * Prints one line of JSON: the requests that were due, those answered with 2xx, all others, and how late the latest
 * request was sent and the slowest answer was complete, in ms after the request was due.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MAX_CONNECTIONS 1024
#define MAX_HEAD	16384
#define PATIENCE_NS	20000000000ULL /* for answers, after the last request was due */
#define NS		1e9

struct connection {
	int fd; /* -1: not open */
	unsigned long long due_ns;
	size_t filled; /* bytes of the head so far */
	long left; /* bytes of the body that are missing; -1: head not complete; -2: until the server closes */
	bool is_busy, is_good, is_last;
	char head[MAX_HEAD + 1];
};

static struct connection connections[MAX_CONNECTIONS];
static struct connection *idle[MAX_CONNECTIONS]; /* a ring, the one that is free the longest first */
static unsigned first_idle, idle_count, connection_count;
static char request[4096];
static size_t request_size;
static struct sockaddr_in server = {.sin_family = AF_INET};
static int poller;
static unsigned long answered, failed;
static unsigned long long latest_ns, slowest_ns;

static unsigned long long now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000ULL + now.tv_nsec;
}

static void hang_up(struct connection *connection)
{
	if (connection->fd >= 0)
		close(connection->fd);
	connection->fd = -1;
}

static bool dial(struct connection *connection)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
	int one = 1;

	connection->fd = socket(AF_INET, SOCK_STREAM, 0);
	setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (connect(connection->fd, (struct sockaddr *)&server, sizeof(server)) ||
	    epoll_ctl(poller, EPOLL_CTL_ADD, connection->fd, &event)) {
		hang_up(connection);
		return false;
	}
	return true;
}

/* The request on this connection is over. */
static void settle(struct connection *connection, bool is_answered)
{
	unsigned long long took_ns = now_ns() - connection->due_ns;

	if (is_answered)
		answered++;
	else
		failed++;
	if (took_ns > slowest_ns)
		slowest_ns = took_ns;
	if (!is_answered || connection->is_last)
		hang_up(connection);
	connection->is_busy = false;
	idle[(first_idle + idle_count++) % connection_count] = connection;
}

static void ask(unsigned long long due_ns)
{
	struct connection *connection = idle[first_idle];
	unsigned long long late_ns = now_ns() - due_ns;

	first_idle = (first_idle + 1) % connection_count;
	idle_count--;
	if (late_ns > latest_ns)
		latest_ns = late_ns;
	connection->due_ns = due_ns;
	connection->filled = 0;
	connection->left = -1;
	connection->is_busy = true;
	connection->is_good = connection->is_last = false;
	if ((connection->fd < 0 && !dial(connection)) ||
	    send(connection->fd, request, request_size, MSG_NOSIGNAL) != (ssize_t)request_size)
		settle(connection, false);
}

/* Reads what a complete head says of the rest. */
static void take_head(struct connection *connection, char *end)
{
	char *length, *how;

	*end = 0;
	connection->is_good = !strncmp(connection->head, "HTTP/1.1 2", 10);
	how = strcasestr(connection->head, "\r\nConnection: close");
	connection->is_last = how != NULL;
	length = strcasestr(connection->head, "\r\nContent-Length:");
	if (!length) {
		connection->left = -2;
		return;
	}
	connection->left = strtol(length + 17, NULL, 10) - (connection->head + connection->filled - (end + 4));
}

static void take(struct connection *connection)
{
	static char body[65536];
	char *into = body, *end;
	size_t room = sizeof(body);
	ssize_t size;

	if (connection->left == -1) {
		into = connection->head + connection->filled;
		room = MAX_HEAD - connection->filled;
	}
	size = recv(connection->fd, into, room, MSG_DONTWAIT);
	if (size < 0 && errno == EAGAIN)
		return;
	if (!connection->is_busy) { /* the server closes what nobody uses */
		hang_up(connection);
		return;
	}
	if (size <= 0) {
		connection->is_last = true;
		settle(connection, !size && connection->left == -2 && connection->is_good);
		return;
	}
	if (connection->left == -1) {
		connection->filled += size;
		end = memmem(connection->head, connection->filled, "\r\n\r\n", 4);
		if (end)
			take_head(connection, end);
		else if (connection->filled == MAX_HEAD)
			settle(connection, false);
	} else if (connection->left > 0) {
		connection->left -= size;
	}
	if (connection->left == 0)
		settle(connection, connection->is_good);
}

int main(int argc, char **argv)
{
	struct epoll_event events[64];
	unsigned long long began, now, due, end;
	unsigned long total, next = 0;
	struct timespec pause;
	double rate, seconds;

	if (argc != 6) {
		fprintf(stderr, "usage: paced PORT PATH RATE SECONDS CONNECTIONS\n");
		return 2;
	}
	rate = atof(argv[3]);
	seconds = atof(argv[4]);
	connection_count = atoi(argv[5]);
	if (rate <= 0 || seconds <= 0 || !connection_count || connection_count > MAX_CONNECTIONS ||
	    strlen(argv[2]) > sizeof(request) - 128) {
		fprintf(stderr, "paced: an argument is out of range\n");
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	server.sin_port = htons(atoi(argv[1]));
	server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	request_size = sprintf(request, "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%s\r\n\r\n", argv[2], argv[1]);
	poller = epoll_create1(0);
	for (unsigned n = 0; n < connection_count; n++) {
		connections[n].fd = -1;
		idle[idle_count++] = &connections[n];
		if (!dial(&connections[n])) {
			perror("paced: connect");
			return 1;
		}
	}
	total = rate * seconds;
	began = now_ns();
	end = began + seconds * NS + PATIENCE_NS;
	while (answered + failed < total) {
		now = now_ns();
		if (now > end)
			break;
		due = began + next * NS / rate;
		if (next < total && idle_count && due <= now) {
			ask(due);
			next++;
			continue;
		}
		if (next == total || !idle_count)
			due = end;
		pause.tv_sec = (due - now) / 1000000000ULL;
		pause.tv_nsec = (due - now) % 1000000000ULL;
		int count = epoll_pwait2(poller, events, 64, &pause, NULL);
		for (int n = 0; n < count; n++)
			take(events[n].data.ptr);
	}
	printf("{\"requests\": %lu, \"answered\": %lu, \"failed\": %lu, \"seconds\": %.6f, "
	       "\"latest_ms\": %.3f, \"slowest_ms\": %.3f}\n",
	       total, answered, total - answered, (now_ns() - began) / NS, latest_ns / 1e6, slowest_ns / 1e6);
	return 0;
}
