// SPDX-License-Identifier: GPL-2.0
/*
 * The kernel's soft-dirty marks, as Groundhog uses them: a manager asks for the pages
 * that a worker has written (pagemap), copies back what was there, and clears the marks
 * (clear_refs). It does less than Groundhog, to its advantage: the worker stops by
 * itself, not by ptrace, and only one mapping is looked at and put back.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "bench.h"

#define SOFT_DIRTY	(1ull << 55)
#define CHUNK		65536
#define VECTORS		1024

static int to_worker[2], from_worker[2], pagemap, clear_refs;
static uint64_t *entries;

static void worker(void)
{
	char c;

	while (read(to_worker[0], &c, 1) == 1) {
		write_pages();
		if (write(from_worker[1], &c, 1) != 1)
			break;
	}
}

static int open_of_worker(const char *file, int how)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/%s", partner, file);
	fd = open(path, how | O_CLOEXEC);
	if (fd < 0)
		die(path, errno);
	return fd;
}

static void clear_marks(void)
{
	if (pwrite(clear_refs, "4", 1, 0) != 1)
		die("clear_refs", errno);
}

static void start_worker(const struct shape *shape)
{
	arrange(shape);
	entries = memory(CHUNK * sizeof(*entries), MAP_PRIVATE | MAP_POPULATE);
	if (pipe(to_worker) || pipe(from_worker))
		die("pipe", errno);
	start_partner(worker);
	pagemap = open_of_worker("pagemap", O_RDONLY);
	clear_refs = open_of_worker("clear_refs", O_WRONLY);
	clear_marks();
}

/* The memory that the worker was forked from is what was there. */
static void write_back(struct iovec *vectors, int *n)
{
	if (*n && process_vm_writev(partner, vectors, *n, vectors, *n, 0) < 0)
		die("process_vm_writev", errno);
	*n = 0;
}

static long put_back(void)
{
	size_t pages = region_size / PAGE, at, i, count;
	struct iovec vectors[VECTORS];
	long found = 0;
	int n = 0;

	for (at = 0; at < pages; at += count) {
		count = pages - at < CHUNK ? pages - at : CHUNK;
		if (pread(pagemap, entries, count * 8, ((size_t)region / PAGE + at) * 8) !=
		    (ssize_t)count * 8)
			die("pagemap", errno);
		for (i = 0; i < count; i++) {
			char *page = (char *)region + (at + i) * PAGE;

			if (!(entries[i] & SOFT_DIRTY))
				continue;
			found++;
			if (n && (char *)vectors[n - 1].iov_base + vectors[n - 1].iov_len == page) {
				vectors[n - 1].iov_len += PAGE;
				continue;
			}
			if (n == VECTORS)
				write_back(vectors, &n);
			vectors[n++] = (struct iovec){ page, PAGE };
		}
	}
	write_back(vectors, &n);
	return found;
}

static void rounds(long n)
{
	char c = 0;

	while (n--) {
		if (write(to_worker[1], &c, 1) != 1 || read(from_worker[0], &c, 1) != 1)
			die("pipe", errno);
		if (put_back() < shared->pages)
			die("a page that was written is not marked", EPROTO);
		clear_marks();
	}
}

const struct work soft_dirty_request = {
	"soft_dirty", "soft-dirty marks", 1, false, start_worker, NULL, rounds, end_partner,
};
