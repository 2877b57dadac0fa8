/* SPDX-License-Identifier: GPL-2.0 */
/*
 * zram.h - block devices of memory, for tests that need swap or direct I/O.
 *
 * Only for root. It must never touch a device that it has not made.
 */
#ifndef LWC_ZRAM_H
#define LWC_ZRAM_H

#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/swap.h>
#include <sys/wait.h>
#include <unistd.h>

#include "text.h"

static inline void zram_load(void)
{
	pid_t pid;

	if (!access("/sys/class/zram-control", F_OK))
		return;
	pid = fork();
	if (!pid) {
		execl("/sbin/modprobe", "modprobe", "-q", "zram", NULL);
		_exit(1);
	}
	waitpid(pid, NULL, 0);
}

static inline void zram_path(int number, char *path, size_t size)
{
	snprintf(path, size, "/dev/zram%d", number);
}

/* A new device of @megabytes. Return: its number, or -1. */
static inline int zram_add(unsigned int megabytes)
{
	char text[16], path[64];
	int number;

	zram_load();
	if (read_text("/sys/class/zram-control/hot_add", text, sizeof(text)))
		return -1;
	number = atoi(text);
	snprintf(path, sizeof(path), "/sys/block/zram%d/disksize", number);
	snprintf(text, sizeof(text), "%uM", megabytes);
	return write_text(path, text) ? -1 : number;
}

static inline void zram_remove(int number)
{
	char text[16];

	snprintf(text, sizeof(text), "%d", number);
	/* It may be in use for a moment still. */
	for (int i = 0; i < 100 && write_text("/sys/class/zram-control/hot_remove", text); i++)
		usleep(10000);
}

static inline bool has_swap(void)
{
	char text[512];

	return !read_text("/proc/swaps", text, sizeof(text)) && strchr(text, '\n')[1];
}

/* Swaps to device @number, which has that size. */
static inline bool zram_swap_on(int number, unsigned int megabytes)
{
	union {
		char bytes[4096];
		struct {
			char boot[1024];
			uint32_t version, last_page, bad_pages;
		};
	} header = { .version = 1, .last_page = (megabytes << 20) / 4096 - 1 };
	char path[32];
	bool ok;
	int fd;

	memcpy(header.bytes + 4086, "SWAPSPACE2", 10);
	zram_path(number, path, sizeof(path));
	fd = open(path, O_WRONLY | O_CLOEXEC);
	ok = fd >= 0 && write(fd, &header, 4096) == 4096 && !fsync(fd);
	if (fd >= 0)
		close(fd);
	return ok && !swapon(path, 0);
}

static inline void zram_swap_off(int number)
{
	char path[32];

	zram_path(number, path, sizeof(path));
	if (swapoff(path))
		perror("# swapoff");
}

/* Swap for one test, of 32 MB where there was none. Return: is there any? */
static inline bool swap_begin(int *number)
{
	*number = -1;
	if (has_swap())
		return true;
	*number = zram_add(32);
	return *number >= 0 && zram_swap_on(*number, 32);
}

static inline void swap_end(int number)
{
	if (number < 0)
		return;
	zram_swap_off(number);
	zram_remove(number);
}

#endif /* LWC_ZRAM_H */
