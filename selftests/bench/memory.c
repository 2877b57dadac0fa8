// SPDX-License-Identifier: GPL-2.0
/*
 * The memory that a measured process has. What is said to be mapped must be there,
 * page by page, before anything is measured.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "bench.h"

volatile char *region;
size_t region_size;

void *memory(size_t size, int how)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, how | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		die("mmap", errno);
	return p;
}

/* @field with its colon. */
long meminfo_kb(const char *field)
{
	char line[128], name[32];
	long kb;
	FILE *f = fopen("/proc/meminfo", "re");

	if (!f)
		die("/proc/meminfo", errno);
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%31s %ld", name, &kb) == 2 && !strcmp(name, field)) {
			fclose(f);
			return kb;
		}
	}
	die(field, ENODATA);
}

static void is_there(const volatile char *p, size_t size)
{
	size_t chunk = 256 * MB, i, at;
	static unsigned char in_core[256 * MB / PAGE];

	for (at = 0; at < size; at += chunk) {
		if (chunk > size - at)
			chunk = size - at;
		if (mincore((void *)(p + at), chunk, in_core))
			die("mincore", errno);
		for (i = 0; i < chunk / PAGE; i++)
			if (!(in_core[i] & 1))
				die("memory that is not there", ENOMEM);
	}
}

/* Every second page is read only, so that none is merged with its neighbours. */
static void many_mappings(long n)
{
	volatile char *p = memory(n * PAGE, MAP_PRIVATE);
	long i;

	for (i = 0; i < n; i++) {
		p[i * PAGE] = 1;
		if (i & 1 && mprotect((void *)(p + i * PAGE), PAGE, PROT_READ))
			die("mprotect", errno);
	}
}

void arrange(const struct shape *shape)
{
	size_t need = (shape->pages > 0 ? shape->pages : 1) * PAGE;

	region_size = shape->mb * MB > need ? shape->mb * MB : need;
	region = memory(region_size, MAP_PRIVATE | MAP_POPULATE);
	is_there(region, region_size);
	if (shape->vmas)
		many_mappings(shape->vmas);
	shared->pages = shape->pages > 0 ? shape->pages : 0;
}

/* What a request does. */
void write_pages(void)
{
	long n = shared->pages, i;

	for (i = 0; i < n; i++)
		region[i * PAGE]++;
}
