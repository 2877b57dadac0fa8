/* SPDX-License-Identifier: GPL-2.0 */
/*
 * text.h - files of the kernel that are one piece of text: reads one, writes one.
 *
 * It must never make a file that is not there.
 */
#ifndef LWC_SELFTEST_TEXT_H
#define LWC_SELFTEST_TEXT_H

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static inline int read_text(const char *path, char *to, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, to, size - 1);

	if (fd >= 0)
		close(fd);
	to[n > 0 ? n : 0] = 0;
	return n > 0 ? 0 : -1;
}

/* Return: 0 or -errno. */
static inline int write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC), r;

	if (fd < 0)
		return -errno;
	r = write(fd, text, strlen(text)) < 0 ? -errno : 0;
	close(fd);
	return r;
}

#endif /* LWC_SELFTEST_TEXT_H */
