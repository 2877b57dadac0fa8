// SPDX-License-Identifier: GPL-2.0
/*
 * table.c - which files a process has open, and whether that is what is expected.
 * Offsets are not looked at: they belong to the open file, and are not rolled back.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "model.h"

static bool closes_on_exec(pid_t pid, int fd)
{
	char path[64], text[512] = "", *flags;
	int info;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/fdinfo/%d", pid, fd);
	info = open(path, O_RDONLY | O_CLOEXEC);
	n = info < 0 ? -1 : read(info, text, sizeof(text) - 1);
	if (info >= 0)
		close(info);
	flags = n > 0 ? strstr(text, "flags:") : NULL;
	if (!flags) {
		fprintf(stderr, "# model: %s cannot be read\n", path);
		abort();
	}
	return strtoul(flags + 6, NULL, 8) & O_CLOEXEC;
}

/* Numbers are looked at one by one: that is less than to list them. */
void table_take(pid_t pid, struct table *t)
{
	char path[64], file[256];
	int fd;

	t->n = 0;
	t->contexts = 0;
	t->snapshots = 0;
	for (fd = 0; fd < FIRST_FD + FDS; fd++) {
		ssize_t n;

		snprintf(path, sizeof(path), "/proc/%d/fd/%d", pid, fd);
		n = readlink(path, file, sizeof(file) - 1);
		if (n < 0)
			continue;
		file[n] = 0;
		if (!strcmp(file, "anon_inode:[lwc]")) {
			t->context[t->contexts++] = fd;
		} else if (!strcmp(file, "anon_inode:[lwc-snapshot]")) {
			t->snapshot[t->snapshots++] = fd;
		} else {
			t->open[t->n].fd = fd;
			t->open[t->n].close_on_exec = closes_on_exec(pid, fd);
			snprintf(t->open[t->n].file, sizeof(t->open[t->n].file), "%.47s", file);
			t->n++;
		}
		if (t->n == TABLE_MOST || t->contexts == TABLE_MOST || t->snapshots == TABLE_MOST)
			abort();
	}
}

int table_compare(const struct table *t, const struct table *now)
{
	unsigned int i;

	for (i = 0; i < t->n || i < now->n; i++) {
		if (i < t->n && i < now->n && t->open[i].fd == now->open[i].fd &&
		    t->open[i].close_on_exec == now->open[i].close_on_exec &&
		    !strcmp(t->open[i].file, now->open[i].file))
			continue;
		printf("# model: the descriptors differ\n");
		if (i < t->n)
			printf("#   expected %d %s%s\n", t->open[i].fd, t->open[i].file,
			       t->open[i].close_on_exec ? " close-on-exec" : "");
		if (i < now->n)
			printf("#   found    %d %s%s\n", now->open[i].fd, now->open[i].file,
			       now->open[i].close_on_exec ? " close-on-exec" : "");
		return -1;
	}
	return 0;
}
