// SPDX-License-Identifier: GPL-2.0
/*
 * Write protection by userfaultfd: the first write to a page is a signal, whose handler
 * saves the page. In the same thread, which is the cheapest way: a second one that reads
 * the faults costs two switches of threads more a page.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bench.h"

static int uffd;
static char **pages, *saved;
static long nsaved;

static void protect(char *page, size_t size, bool on)
{
	struct uffdio_writeprotect arg = {
		.range = { (uintptr_t)page, size },
		.mode = on ? UFFDIO_WRITEPROTECT_MODE_WP : UFFDIO_WRITEPROTECT_MODE_DONTWAKE,
	};

	if (ioctl(uffd, UFFDIO_WRITEPROTECT, &arg))
		die("UFFDIO_WRITEPROTECT", errno);
}

static void written_to(int sig, siginfo_t *info, void *context)
{
	char *page = (char *)((uintptr_t)info->si_addr & ~(PAGE - 1));

	(void)sig;
	(void)context;
	if (page < region || page >= region + region_size || nsaved == shared->pages)
		_exit(1);
	pages[nsaved] = page;
	memcpy(saved + nsaved++ * PAGE, page, PAGE);
	protect(page, PAGE, false);
}

static void start(const struct shape *shape)
{
	struct uffdio_api api = {
		.api = UFFD_API,
		.features = UFFD_FEATURE_PAGEFAULT_FLAG_WP | UFFD_FEATURE_SIGBUS,
	};
	struct sigaction action = { .sa_sigaction = written_to, .sa_flags = SA_SIGINFO };
	struct uffdio_register range = { .mode = UFFDIO_REGISTER_MODE_WP };

	arrange(shape);
	pages = memory((shape->pages + 1) * sizeof(*pages), MAP_PRIVATE | MAP_POPULATE);
	saved = memory((shape->pages + 1) * PAGE, MAP_PRIVATE | MAP_POPULATE);
	uffd = syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);
	if (uffd < 0)
		die("userfaultfd", errno);
	if (ioctl(uffd, UFFDIO_API, &api))
		die("UFFDIO_API", errno);
	range.range = (struct uffdio_range){ (uintptr_t)region, region_size };
	if (ioctl(uffd, UFFDIO_REGISTER, &range))
		die("UFFDIO_REGISTER", errno);
	if (sigaction(SIGBUS, &action, NULL))
		die("sigaction", errno);
	protect((char *)region, region_size, true);
}

/* What lies side by side is protected by one call. */
static void put_back(void)
{
	long i, first = 0;

	for (i = 0; i < nsaved; i++) {
		memcpy(pages[i], saved + i * PAGE, PAGE);
		if (i + 1 < nsaved && pages[i + 1] == pages[i] + PAGE)
			continue;
		protect(pages[first], (i + 1 - first) * PAGE, true);
		first = i + 1;
	}
	nsaved = 0;
}

static void rounds(long n)
{
	while (n--) {
		write_pages();
		if (nsaved != shared->pages)
			die("a write that was not told of", EPROTO);
		put_back();
	}
}

const struct work uffd_request = {
	"uffd", "userfaultfd write protection", 1, false, start, .rounds = rounds,
};
