/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A service with a pool of threads (tests/accuracy/cases.py says what each shape is): one thread receives requests,
 * POOL threads take them from a queue, do the work and respond. Ports come in PORT, BACKEND and NEXT.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { HEAD_SIZE = 4096, MAX_QUEUE = 1024, MAX_IDLE = 256, CALLS = 3 };

struct job {
	int fd;
	unsigned long number;
	char shape[16];
};

struct call {
	unsigned long number;
	int call;
	int ok;
};

static int backend, next_port, poller;

static pthread_mutex_t queue_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t queue_filled = PTHREAD_COND_INITIALIZER;
static struct job queue[MAX_QUEUE];
static int queue_first, queue_size;

static pthread_mutex_t idle_lock = PTHREAD_MUTEX_INITIALIZER;
static int idle[MAX_IDLE], idle_count;

static __thread int kept = -1, kept_next = -1;

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static int connect_to(int port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;

	address.sin_port = htons(port);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)))
		fail("connect");
	return fd;
}

/* Makes one request; tells whether the answer is the id. */
static int ask(int fd, const char *path, unsigned long number)
{
	char data[HEAD_SIZE + 1], wanted[32], *end;
	int size, part;

	size = snprintf(data, sizeof(data), "GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Request-Id: %lu\r\n\r\n", path,
			number);
	if (send(fd, data, size, MSG_NOSIGNAL) != size)
		return 0;
	snprintf(wanted, sizeof(wanted), "%lu", number);
	for (size = 0; size < HEAD_SIZE; size += part) {
		part = recv(fd, data + size, HEAD_SIZE - size, 0);
		if (part <= 0)
			return 0;
		data[size + part] = 0;
		end = strstr(data, "\r\n\r\n");
		if (end && strlen(end + 4) >= strlen(wanted))
			return !strcmp(end + 4, wanted);
	}
	return 0;
}

static int ask_backend(int fd, unsigned long number, int call)
{
	char path[64];

	snprintf(path, sizeof(path), "/work/%lu/%d", number, call);
	return ask(fd, path, number);
}

static int ask_pooled(unsigned long number, int call)
{
	int fd = -1, ok;

	pthread_mutex_lock(&idle_lock);
	if (idle_count)
		fd = idle[--idle_count];
	pthread_mutex_unlock(&idle_lock);
	if (fd < 0)
		fd = connect_to(backend);
	ok = ask_backend(fd, number, call);
	pthread_mutex_lock(&idle_lock);
	if (idle_count < MAX_IDLE)
		idle[idle_count++] = fd;
	else
		close(fd);
	pthread_mutex_unlock(&idle_lock);
	return ok;
}

static void *ask_in_thread(void *argument)
{
	struct call *call = argument;

	call->ok = ask_pooled(call->number, call->call);
	return NULL;
}

static int ask_at_once(unsigned long number)
{
	pthread_t threads[CALLS];
	struct call calls[CALLS];
	int ok = 1;

	for (int n = 0; n < CALLS; n++) {
		calls[n] = (struct call){.number = number, .call = n};
		if (pthread_create(&threads[n], NULL, ask_in_thread, &calls[n]))
			fail("pthread_create");
	}
	for (int n = 0; n < CALLS; n++) {
		pthread_join(threads[n], NULL);
		ok = ok && calls[n].ok;
	}
	return ok;
}

static int ask_kept(unsigned long number, int call)
{
	if (kept < 0)
		kept = connect_to(backend);
	return ask_backend(kept, number, call);
}

static int ask_next(unsigned long number)
{
	char path[64];

	if (kept_next < 0)
		kept_next = connect_to(next_port);
	snprintf(path, sizeof(path), "/inner/%lu", number);
	return ask(kept_next, path, number);
}

static int ask_fresh(unsigned long number)
{
	int fd = connect_to(backend), ok = ask_backend(fd, number, 0);

	close(fd);
	return ok;
}

static int work(const struct job *job)
{
	if (!strcmp(job->shape, "one"))
		return ask_fresh(job->number);
	if (!strcmp(job->shape, "kept") || !strcmp(job->shape, "inner"))
		return ask_kept(job->number, 0);
	if (!strcmp(job->shape, "pooled"))
		return ask_pooled(job->number, 0);
	if (!strcmp(job->shape, "sequence"))
		return ask_kept(job->number, 0) && ask_kept(job->number, 1) && ask_kept(job->number, 2);
	if (!strcmp(job->shape, "fan"))
		return ask_at_once(job->number);
	if (!strcmp(job->shape, "sleep")) {
		usleep(20000);
		return ask_kept(job->number, 0);
	}
	if (!strcmp(job->shape, "hops"))
		return ask_next(job->number);
	return !strcmp(job->shape, "after");
}

static void *ask_later(void *argument)
{
	usleep(10000);
	if (!ask_pooled((unsigned long)argument, 0))
		fail("the call after the response");
	return NULL;
}

/* Lets the receiving thread wait for the connection's next request. */
static void wait_for(int fd, int operation)
{
	struct epoll_event event = {.events = EPOLLIN | EPOLLONESHOT, .data.fd = fd};

	if (epoll_ctl(poller, operation, fd, &event))
		fail("epoll_ctl");
}

static void *serve(void *unused)
{
	char response[128], body[32];
	pthread_t later;
	struct job job;
	int ok, size;

	(void)unused;
	for (;;) {
		pthread_mutex_lock(&queue_lock);
		while (!queue_size)
			pthread_cond_wait(&queue_filled, &queue_lock);
		job = queue[queue_first];
		queue_first = (queue_first + 1) % MAX_QUEUE;
		queue_size--;
		pthread_mutex_unlock(&queue_lock);
		ok = work(&job);
		size = snprintf(body, sizeof(body), "%lu", job.number);
		size = snprintf(response, sizeof(response), "HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s",
				ok ? "200 OK" : "500 Failed", size, body);
		if (send(job.fd, response, size, MSG_NOSIGNAL) != size)
			fail("send");
		if (!strcmp(job.shape, "after")) {
			if (pthread_create(&later, NULL, ask_later, (void *)job.number))
				fail("pthread_create");
			pthread_detach(later);
		}
		wait_for(job.fd, EPOLL_CTL_MOD);
	}
	return NULL;
}

/* A request comes in one piece: its sender is a program of ours. */
static void receive(int fd)
{
	char head[HEAD_SIZE + 1];
	int size = recv(fd, head, HEAD_SIZE, 0);
	struct job job = {.fd = fd};

	head[size > 0 ? size : 0] = 0;
	if (sscanf(head, "GET /%15[a-z]/%lu ", job.shape, &job.number) != 2) {
		close(fd);
		return;
	}
	pthread_mutex_lock(&queue_lock);
	if (queue_size == MAX_QUEUE)
		fail("queue");
	queue[(queue_first + queue_size++) % MAX_QUEUE] = job;
	pthread_cond_signal(&queue_filled);
	pthread_mutex_unlock(&queue_lock);
}

static int number_in(const char *name)
{
	const char *value = getenv(name);

	return value ? atoi(value) : 0;
}

int main(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	int listener = socket(AF_INET, SOCK_STREAM, 0), one = 1, fd;
	struct epoll_event event;
	pthread_t thread;

	backend = number_in("BACKEND");
	next_port = number_in("NEXT");
	address.sin_port = htons(number_in("PORT"));
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(listener, (struct sockaddr *)&address, sizeof(address)) || listen(listener, 512))
		fail("listen");
	poller = epoll_create1(0);
	event = (struct epoll_event){.events = EPOLLIN, .data.fd = listener};
	epoll_ctl(poller, EPOLL_CTL_ADD, listener, &event);
	for (int n = number_in("POOL"); n > 0; n--)
		if (pthread_create(&thread, NULL, serve, NULL))
			fail("pthread_create");
	while (epoll_wait(poller, &event, 1, -1) >= 0) {
		if (event.data.fd != listener) {
			receive(event.data.fd);
			continue;
		}
		fd = accept(listener, NULL, NULL);
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		wait_for(fd, EPOLL_CTL_ADD);
	}
	return 1;
}
