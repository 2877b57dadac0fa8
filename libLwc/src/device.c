// SPDX-License-Identifier: MIT
/*
 * device.c - the descriptor of /dev/lwc: opened once, found again when lost.
 *
 * It must never trust the number that it remembers. The program may have closed
 * it or put another file there, and as memory is per context, the number can
 * come from a context with another file table. Nor may it hold a lock or any
 * state but the one word below: calls through here return twice, run in signal
 * handlers and in several threads at once.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "device.h"
#include "syscall.h"

#define DEVICE_PATH	"/dev/lwc"

/*
 * Out of the way of programs that count on low numbers. Not higher than needed: a
 * table has room up to its highest number, and each context has a table.
 */
#define HIGH_NUMBER	100

/*
 * The device number and the descriptor, plus 1, in one word, so that threads and
 * signal handlers see both or neither. 0: not opened yet.
 */
static _Atomic uint64_t device;

static uint64_t pack(dev_t rdev, int fd)
{
	return (uint64_t)(uint32_t)rdev << 32 | ((uint32_t)fd + 1);
}

static int device_fd(uint64_t dev)
{
	return (int)((uint32_t)dev - 1);
}

static bool is_device(uint64_t dev)
{
	struct stat st;

	return dev && !sys_3(__NR_fstat, device_fd(dev), (long)&st, 0) && S_ISCHR(st.st_mode) &&
	       (uint32_t)st.st_rdev == dev >> 32;
}

/* The same file at a high number, or else at the highest free one; never below 3. */
static int move_up(int fd)
{
	struct rlimit limit = { HIGH_NUMBER, HIGH_NUMBER };
	long from, high;

	sys_4(__NR_prlimit64, 0, RLIMIT_NOFILE, 0, (long)&limit);
	from = limit.rlim_cur > HIGH_NUMBER ? HIGH_NUMBER : (long)limit.rlim_cur - 1;
	for (;;) {
		if (from <= fd && fd >= 3)
			return fd;
		high = sys_3(__NR_fcntl, fd, F_DUPFD_CLOEXEC, from < 3 ? 3 : from);
		if (high >= 0 || from <= 3)
			break;
		from -= from / 8 + 1;
	}
	sys_close(fd);
	return (int)high;
}

/* Opens the device, or finds that another thread just did; @dev is set. */
static int open_device(uint64_t *dev)
{
	uint64_t old = *dev, new;
	struct stat st;
	long fd;

	fd = sys_4(__NR_openat, AT_FDCWD, (long)DEVICE_PATH, O_RDWR | O_CLOEXEC | O_NOCTTY, 0);
	if (fd == -ENOENT || fd == -ENXIO || fd == -ENOTDIR)
		return -ENODEV;
	if (fd == -EPERM)
		return -EACCES;
	if (fd < 0)
		return (int)fd;
	if (sys_3(__NR_fstat, fd, (long)&st, 0) || !S_ISCHR(st.st_mode)) {
		sys_close((int)fd);
		return -ENODEV;
	}
	fd = move_up((int)fd);
	if (fd < 0)
		return (int)fd;

	new = pack(st.st_rdev, (int)fd);
	while (!atomic_compare_exchange_strong(&device, &old, new)) {
		if (is_device(old)) {
			sys_close((int)fd);
			new = old;
			break;
		}
	}
	*dev = new;
	return 0;
}

/*
 * One ioctl on the device. A remembered number is tried as it is, because the
 * check would cost as much as the call; only an error makes us look whether it
 * was the device that answered. No other file takes these commands for its own.
 */
long lwc_device_ioctl(unsigned long cmd, void *arg)
{
	uint64_t dev = atomic_load_explicit(&device, memory_order_relaxed);
	long ret;

	for (;;) {
		if (dev) {
			ret = sys_ioctl(device_fd(dev), cmd, arg);
			if (ret >= 0)
				return ret;
			/* A device that does not know the command is a stale node. */
			if (is_device(dev))
				return ret == -ENOTTY ? -ENODEV : ret;
		}
		ret = open_device(&dev);
		if (ret)
			return ret;
	}
}
