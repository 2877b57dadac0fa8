// SPDX-License-Identifier: GPL-2.0
/*
 * table.c - which files a process has open, and whether that is what is expected.
 * Offsets are not looked at: they belong to the open file, and are not rolled back.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "model.h"

/* Files of no file system have one inode for all, and are known by name. */
static void read_name(pid_t pid, int fd, char *name, size_t size)
{
	char path[64];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/fd/%d", pid, fd);
	n = readlink(path, name, size - 1);
	if (n < 0) {
		fprintf(stderr, "# model: %s cannot be read\n", path);
		abort();
	}
	name[n] = 0;
}

void table_take(pid_t pid, struct table *t)
{
	char name[64];
	int fd;

	t->n = 0;
	t->contexts = 0;
	t->snapshots = 0;
	for (fd = 0; fd < DESCRIPTORS; fd++) {
		const struct descriptor *d = &C->descriptor[fd];

		if (d->flags < 0)
			continue;
		name[0] = 0;
		if (!(d->type & S_IFMT))
			read_name(pid, fd, name, sizeof(name));
		if (!strcmp(name, "anon_inode:[lwc]")) {
			t->context[t->contexts++] = fd;
		} else if (!strcmp(name, "anon_inode:[lwc-snapshot]")) {
			t->snapshot[t->snapshots++] = fd;
		} else {
			t->open[t->n].fd = fd;
			t->open[t->n++].is = *d;
		}
	}
}

static void say_descriptor(const char *what, int fd, const struct descriptor *d)
{
	printf("#   %s %d %" PRIx64 ":%" PRIx64 " type %o mode %o%s\n", what, fd, d->device,
	       d->inode, d->type, d->mode, d->flags ? " close-on-exec" : "");
}

int table_compare(const struct table *t, const struct table *now)
{
	unsigned int i;

	for (i = 0; i < t->n || i < now->n; i++) {
		if (i < t->n && i < now->n && t->open[i].fd == now->open[i].fd &&
		    !memcmp(&t->open[i].is, &now->open[i].is, sizeof(now->open[i].is)))
			continue;
		printf("# model: the descriptors differ\n");
		if (i < t->n)
			say_descriptor("expected", t->open[i].fd, &t->open[i].is);
		if (i < now->n)
			say_descriptor("found   ", now->open[i].fd, &now->open[i].is);
		return -1;
	}
	return 0;
}
