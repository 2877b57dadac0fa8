// SPDX-License-Identifier: MIT
/*
 * sessions.c - a server of notebooks: one event loop, and a context for each client.
 * What a client sends is read and kept in its own context, in which no other client's
 * socket is open. The root context must never read a byte of it, so that whoever
 * takes a session over has one notebook: its own.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <lwc.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

/* All that the root context knows of a client. */
struct session {
	int socket, context;
};

/* In a client's context. Who does not read what it asked for is not waited for. */
static bool answer(int socket, const char *text)
{
	size_t size = strlen(text);

	return send(socket, text, size, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)size;
}

static bool obey(int socket, char *line, char *notes, size_t room)
{
	char * volatile nowhere = NULL;
	size_t used = strlen(notes);

	if (!strncmp(line, "note ", 5)) {
		if (snprintf(notes + used, room - used, "%s\n", line + 5) < (int)(room - used))
			return answer(socket, "noted\n");
		notes[used] = 0;
		return answer(socket, "full\n");
	}
	if (!strcmp(line, "show"))
		return answer(socket, notes) && answer(socket, ".\n");
	if (!strcmp(line, "crash"))
		*nowhere = 1;			/* The bug that every parser has. */
	return strcmp(line, "quit") && answer(socket, "note TEXT, show, crash or quit\n");
}

/* Each time that there is something to read. Return: false when the client has gone. */
static bool attend(int socket, char *notes, size_t room)
{
	static char buffer[1024];
	static size_t used;
	ssize_t n = recv(socket, buffer + used, sizeof(buffer) - used, MSG_DONTWAIT);
	char *end;

	if (n <= 0)
		return n < 0 && errno == EAGAIN;
	used += n;
	while ((end = memchr(buffer, '\n', used))) {
		*end = 0;
		if (!obey(socket, buffer, notes, room))
			return false;
		used -= end + 1 - buffer;
		memmove(buffer, end + 1, used);
	}
	return used < sizeof(buffer);
}

/* In the root context. */
static void end_session(int epoll, struct session *s, const char *why)
{
	printf("client %d: %s\n", s->socket, why);
	epoll_ctl(epoll, EPOLL_CTL_DEL, s->socket, NULL);
	close(s->socket);
	lwc_close(s->context);
	free(s);
}

/* Returns in the root context only; what follows lwc_create() is a client's life. */
static void begin_session(int epoll, int socket)
{
	struct lwc_spec specs[] = {
		{ .type = LWC_FILES, .mode = LWC_UNMAP, .from = 0, .to = UINT64_MAX },
		{ .type = LWC_FILES, .mode = LWC_COW, .from = socket, .to = socket + 1 },
	};
	struct epoll_event wanted = { .events = EPOLLIN };
	struct session *s = malloc(sizeof(*s));
	static char notes[65536];
	struct lwc_event ev;
	int ret = s && socket >= 0 ? lwc_create(specs, 2, LWC_TRAP_FAULTS, &ev) : -errno;

	while (!ret && ev.reason == LWC_EV_SWITCH)
		if (lwc_switch(ev.caller, 0, attend(socket, notes, sizeof(notes)), &ev))
			_exit(1);
	if (ret) {
		printf("client %d: %s\n", socket, strerror(-ret));
		close(socket);
		return free(s);
	}
	*s = (struct session){ socket, ev.created };
	wanted.data.ptr = s;
	if (epoll_ctl(epoll, EPOLL_CTL_ADD, socket, &wanted))
		end_session(epoll, s, strerror(errno));
}

static void serve(int epoll, struct session *s)
{
	struct lwc_event ev;
	int ret = lwc_switch(s->context, 0, 0, &ev);

	if (ret)
		end_session(epoll, s, strerror(-ret));
	else if (ev.reason == LWC_EV_FAULT)
		end_session(epoll, s, strsignal(ev.nr));
	else if (!ev.arg)
		end_session(epoll, s, "has gone");
}

int main(int argc, char **argv)
{
	struct sockaddr_in address = { .sin_family = AF_INET };
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event event = { .events = EPOLLIN };
	socklen_t size = sizeof(address);

	if (argc != 2 || !strcmp(argv[1], "--help"))
		errx(1, "usage: sessions PORT\n\nServes notebooks on 127.0.0.1. PORT 0: any.");
	setvbuf(stdout, NULL, _IOLBF, 0);
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	address.sin_port = htons(atoi(argv[1]));
	if (bind(listener, (struct sockaddr *)&address, sizeof(address)) || listen(listener, 128) ||
	    getsockname(listener, (struct sockaddr *)&address, &size) ||
	    epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event))
		err(1, "port %s", argv[1]);
	printf("port %d\n", ntohs(address.sin_port));

	for (;;) {
		if (epoll_wait(epoll, &event, 1, -1) != 1)
			continue;	/* A signal, or a debugger. */
		if (event.data.ptr)
			serve(epoll, event.data.ptr);
		else
			begin_session(epoll, accept4(listener, NULL, NULL, SOCK_CLOEXEC));
	}
}
