// SPDX-License-Identifier: GPL-2.0
/*
 * Small helpers for files and mounts. They must never decide anything: what may be
 * missing is for the caller to know, but for what must be mounted.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "guest.h"

bool exists(const char *path)
{
	return !access(path, F_OK);
}

void msleep(long ms)
{
	struct timespec t = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };

	nanosleep(&t, NULL);
}

/* Returns the length, or -1; the text is always terminated. */
ssize_t read_text(const char *path, char *buf, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t len = 0;
	ssize_t n = 0;

	buf[0] = 0;
	if (fd < 0)
		return -1;
	while (len < size - 1 && (n = read(fd, buf + len, size - 1 - len)) > 0)
		len += n;
	close(fd);
	buf[len] = 0;
	return n < 0 ? -1 : (ssize_t)len;
}

int write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -1;
	n = write(fd, text, strlen(text));
	close(fd);
	return n < 0 ? -1 : 0;
}

void make_dirs(const char *path)
{
	char buf[4096];
	char *p;

	snprintf(buf, sizeof(buf), "%s", path);
	for (p = buf + 1; *p; p++) {
		if (*p == '/') {
			*p = 0;
			mkdir(buf, 0755);
			*p = '/';
		}
	}
	mkdir(buf, 0755);
}

void must_mount(const char *what, const char *where, const char *type,
		       unsigned long flags, const char *data)
{
	make_dirs(where);
	if (mount(what, where, type, flags, data))
		give_up("mount %s on %s", type ? type : what, where);
}

/* A file system which not every kernel has. */
void may_mount(const char *type, const char *where, const char *data)
{
	make_dirs(where);
	if (mount(type, where, type, MS_NOSUID | MS_NODEV | MS_NOEXEC, data) &&
	    errno != ENODEV && errno != EBUSY && errno != ENOENT)
		give_up("mount %s on %s", type, where);
}
