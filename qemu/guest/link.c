// SPDX-License-Identifier: GPL-2.0
/*
 * Talks to the relay on the host, and gathers what is wrong to tell it at the end.
 * It must never lose a byte, nor end before the host has ended us.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "guest.h"

int link_fd = -1;
static char problems[8192];
static unsigned int nproblems;

void problem(const char *fmt, ...)
{
	size_t at = strlen(problems);
	va_list ap;

	nproblems++;
	va_start(ap, fmt);
	vsnprintf(problems + at, sizeof(problems) - at, fmt, ap);
	va_end(ap);
	at = strlen(problems);
	snprintf(problems + at, sizeof(problems) - at, "\n");
}

static void send_all(const void *data, size_t len)
{
	const char *p = data;

	while (len) {
		ssize_t n = write(link_fd, p, len);

		if (n < 0 && errno == EAGAIN)
			poll(&(struct pollfd){ .fd = link_fd, .events = POLLOUT }, 1, -1);
		else if (n < 0 && errno != EINTR)
			return;
		else if (n > 0)
			p += n, len -= n;
	}
}

void send_frame(uint32_t type, const void *data, uint32_t len)
{
	struct link_head head = { .type = type, .len = len };

	send_all(&head, sizeof(head));
	send_all(data, len);
}

void done(int status)
{
	static char frame[sizeof(struct link_done) + sizeof(problems)];
	struct link_done d = { .status = status, .problems = nproblems };
	size_t len = strlen(problems);

	memcpy(frame, &d, sizeof(d));
	memcpy(frame + sizeof(d), problems, len);
	send_frame(LINK_DONE, frame, sizeof(d) + len);
	for (;;)
		pause();
}

void give_up(const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	problem("guest: %s: %s", text, strerror(errno));
	if (link_fd >= 0)
		done(97);
	/* Nobody to tell but the console; process 1 that exits is a panic. */
	fprintf(stderr, "%s\n", problems);
	exit(97);
}

static bool find_link(void)
{
	struct dirent *e;
	bool found = false;
	DIR *dir = opendir("/sys/class/virtio-ports");

	while (dir && !found && (e = readdir(dir))) {
		char path[600], name[64];

		snprintf(path, sizeof(path), "/sys/class/virtio-ports/%s/name", e->d_name);
		if (read_text(path, name, sizeof(name)) <= 0)
			continue;
		name[strcspn(name, "\n")] = 0;
		if (strcmp(name, LINK_PORT))
			continue;
		snprintf(path, sizeof(path), "/dev/%s", e->d_name);
		link_fd = open(path, O_RDWR | O_CLOEXEC);
		found = link_fd >= 0;
	}
	if (dir)
		closedir(dir);
	return found;
}

void link_open(void)
{
	int i;

	for (i = 0; i < 3000 && !find_link(); i++)
		msleep(10);
	if (link_fd < 0)
		give_up("no link to the host");
}

static void read_exactly(void *buf, size_t len)
{
	char *p = buf;

	while (len) {
		ssize_t n = read(link_fd, p, len);

		if (n > 0)
			p += n, len -= n;
		else if (!n || errno != EINTR)
			give_up("link");
	}
}

void link_read_job(struct job *job)
{
	struct link_head head;
	char *p, *end;

	read_exactly(&head, sizeof(head));
	errno = EPROTO;
	if (head.type != LINK_RUN)
		give_up("first frame");
	p = malloc(head.len + 1);
	if (!p)
		give_up("memory");
	read_exactly(p, head.len);
	p[head.len] = 0;
	for (end = p + head.len; p < end; p += strlen(p) + 1) {
		char *word = p + 1;

		errno = E2BIG;
		if (*p == 'A' && job->nargs < MAX_WORDS - 1)
			job->argv[job->nargs++] = word;
		else if (*p == 'E' && job->nenv < MAX_WORDS - 1)
			job->envp[job->nenv++] = word;
		else if (*p == 'C')
			job->cwd = word;
		else if (*p == 'T')
			job->terminal = word;
		else if (*p == 'M')
			job->module = word;
		else if (*p == 'P')
			job->params = word;
		else if (*p == 'D')
			job->modules_dir = word;
		else if (*p == 'W' && job->nwritable < 8)
			job->writable[job->nwritable++] = word;
		else if (*p == 'L')
			job->layer = true;
		else if (*p == 'K')
			job->kmemleak = true;
		else
			give_up("bad or too many words: %.40s", p);
	}
}
