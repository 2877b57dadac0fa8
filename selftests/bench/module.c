// SPDX-License-Identifier: GPL-2.0
/*
 * Loads the module and unloads it, and reads its counters. It must never unload a
 * module that it has not loaded itself.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bench.h"

static pid_t loaded_by;

void load_module(const char *file)
{
	int fd = open(file, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		die(file, errno);
	if (syscall(SYS_finit_module, fd, "", 0)) {
		switch (errno) {
		case EEXIST:
			fprintf(stderr, "bench: the module is loaded already, and in use perhaps: rmmod lwc first\n");
			break;
		case EPERM:
			fprintf(stderr, "bench: to load the module needs root, and a kernel that is not locked down\n");
			break;
		case EKEYREJECTED:
			fprintf(stderr, "bench: this kernel loads signed modules only (docs/kernels.md)\n");
			break;
		default:
			fprintf(stderr, "bench: the kernel refuses %s: %s (its log says why: dmesg)\n",
				file, strerror(errno));
		}
		exit(1);
	}
	close(fd);
	loaded_by = getpid();
	atexit(unload_module);
}

/* What the last process held is given back by work that may still be queued. */
void unload_module(void)
{
	int tries = 200;

	if (loaded_by != getpid())
		return;
	loaded_by = 0;
	while (syscall(SYS_delete_module, "lwc", O_NONBLOCK)) {
		if ((errno != EAGAIN && errno != EBUSY) || !--tries) {
			fprintf(stderr, "bench: the module cannot be unloaded: %s\n", strerror(errno));
			_exit(1);
		}
		usleep(50000);
	}
}

int open_counter(const char *name)
{
	char path[64];

	snprintf(path, sizeof(path), "/sys/class/misc/lwc/%s", name);
	return open(path, O_RDONLY | O_CLOEXEC);
}

/* Writes to no private memory but a little stack: it is called between rollbacks. */
long read_counter(int fd)
{
	ssize_t n = pread(fd, shared->text, sizeof(shared->text) - 1, 0);

	if (n <= 0)
		die("a counter of the module", n ? errno : ENODATA);
	shared->text[n] = 0;
	return atol(shared->text);
}
