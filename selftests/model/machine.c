// SPDX-License-Identifier: GPL-2.0
/*
 * machine.c - what the machine does to memory: swap, huge pages, merging, compaction.
 *
 * As root it makes a swap device where there is none and a block device for direct
 * I/O, both of memory (zram), and puts everything back. It must never touch a device
 * that it has not made.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <lwc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../zram.h"
#include "model.h"

#define THP	"/sys/kernel/mm/transparent_hugepage/enabled"
#define KSM	"/sys/kernel/mm/ksm/run"
#define SWAPPINESS "/proc/sys/vm/swappiness"
#define GROUP	"/sys/fs/cgroup/model"
#define SWAP_MEGABYTES 96
#define KEPT	"/sys/module/lwc/parameters/max_kept_pages"
#define MGLRU	"/sys/kernel/mm/lru_gen/enabled"

const char * const counter_names[N_COUNTERS] = {
	[SWAPPED_OUT] = "swapped out", [SWAPPED_IN] = "swapped in", [HUGE_MADE] = "huge made",
	[HUGE_MAPPINGS_SPLIT] = "huge mappings split", [HUGE_SPLIT] = "huge pages split",
	[MIGRATED] = "migrated", [DEACTIVATED] = "deactivated",
	[PAGES_COPIED] = "pages copied by the engine", [PAGES_KEPT] = "pages kept",
	[AGED] = "times that kept ones aged", [COMPARES] = "compares",
	[DUPLICATES] = "duplicates", [SAME_MERGED] = "merged now",
};

static int swap_number = -1, direct_number = -1;
static char thp_before[32], ksm_before[8], mglru_before[16], swappiness_before[16];
static char kept_before[32];

static bool make_swap(void)
{
	swap_number = zram_add(SWAP_MEGABYTES);
	return swap_number >= 0 && zram_swap_on(swap_number, SWAP_MEGABYTES);
}

static bool make_direct(void)
{
	uint64_t page[512];
	char path[32];
	bool ok;
	int fd, i;

	direct_number = zram_add(4);
	if (direct_number < 0)
		return false;
	zram_path(direct_number, path, sizeof(path));
	fd = open(path, O_WRONLY | O_CLOEXEC);
	ok = fd >= 0;
	for (i = 0; ok && i < 1024; i++) {
		for (int j = 0; j < 512; j++)
			page[j] = 0xd1000000ull + i * 512 + j;
		ok = write(fd, page, 4096) == 4096;
	}
	close(fd);
	return ok;
}

/*
 * A control group of our own, whose memory is reclaimed on demand: MADV_PAGEOUT leaves
 * alone what two processes or a snapshot share.
 */
static bool make_group(void)
{
	write_text("/sys/fs/cgroup/cgroup.subtree_control", "+memory");
	if (mkdir(GROUP, 0755) && errno != EEXIST)
		return false;
	if (access(GROUP "/memory.reclaim", W_OK))
		return false;
	read_text(SWAPPINESS, swappiness_before, sizeof(swappiness_before));
	/* Anonymous pages before those of files. */
	write_text(SWAPPINESS, "200");
	return !write_text(GROUP "/cgroup.procs", "0");
}

static bool writable(const char *path)
{
	return !access(path, W_OK);
}

unsigned int machine_set_up(void)
{
	struct lwc_features f;
	/* What all can. */
	unsigned int can = CHANGES_MAPPINGS;
	int watcher;

	if (!geteuid()) {
		can |= CAN_ROOT;
		if (!has_swap())
			make_swap();
		if (make_direct())
			can |= CAN_DIRECT;
		if (has_swap() && make_group())
			can |= CAN_RECLAIM;
		if (!read_text(KSM, ksm_before, sizeof(ksm_before))) {
			can |= CAN_KSM;
			machine_toggle(OP_toggle_ksm, 1);
		}
		read_text(KEPT, kept_before, sizeof(kept_before));
		if (writable(MGLRU) && !read_text(MGLRU, mglru_before, sizeof(mglru_before)))
			can |= CAN_MGLRU;
	}
	if (has_swap())
		can |= CAN_SWAP;
	if (!read_text(THP, thp_before, sizeof(thp_before)))
		can |= CAN_THP;
	/* EINVAL where the kernel has it not: before 6.1, or without huge pages. */
	if (!madvise((void *)CONTROL, 0, 25 /* MADV_COLLAPSE */) && can & CAN_THP)
		can |= CAN_COLLAPSE;
	watcher = syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);
	if (watcher >= 0) {
		can |= CAN_WATCH;
		close(watcher);
	}
	if (!lwc_features(&f) && f.create_flags & LWC_KEEP && f.switch_flags & LWC_FRESH &&
	    f.switch_flags & LWC_DISCARD)
		can |= CAN_KEEP;
	return can;
}

/* The one in brackets of a file that lists what may be chosen. */
static void choose_again(const char *path, char *list)
{
	char *word = strchr(list, '['), *end = strchr(list, ']');

	if (!word || !end)
		return;
	*end = 0;
	write_text(path, word + 1);
}

void machine_restore(void)
{
	if (geteuid())
		return;
	choose_again(THP, thp_before);
	if (*swappiness_before) {
		write_text(SWAPPINESS, swappiness_before);
		write_text("/sys/fs/cgroup/cgroup.procs", "0");
		rmdir(GROUP);
	}
	if (*ksm_before) {
		/* All that is merged is taken apart first. */
		write_text(KSM, "2");
		write_text(KSM, ksm_before);
	}
	if (*mglru_before)
		write_text(MGLRU, mglru_before);
	write_text(KEPT, kept_before);
	if (swap_number >= 0) {
		zram_swap_off(swap_number);
		zram_remove(swap_number);
	}
	if (direct_number >= 0)
		zram_remove(direct_number);
	swap_number = -1;
	direct_number = -1;
}

int machine_open_direct(void)
{
	char path[32];

	if (direct_number < 0)
		return -1;
	zram_path(direct_number, path, sizeof(path));
	return open(path, O_RDWR | O_DIRECT | O_CLOEXEC);
}

void machine_toggle(enum operation what, uint64_t value)
{
	static const char * const thp[] = { "always", "madvise", "madvise", "never" };

	switch (what) {
	case OP_reclaim:
		/* It fails when there is less to take than that. */
		write_text(GROUP "/memory.reclaim", value % 2 ? "512K" : "2M");
		break;
	case OP_compact:
		write_text("/proc/sys/vm/compact_memory", "1");
		break;
	case OP_drop_caches:
		write_text("/proc/sys/vm/drop_caches", "1");
		break;
	case OP_toggle_thp:
		write_text(THP, thp[value % 4]);
		break;
	case OP_toggle_ksm:
		write_text("/sys/kernel/mm/ksm/sleep_millisecs", "10");
		write_text("/sys/kernel/mm/ksm/pages_to_scan", "400");
		write_text(KSM, value % 4 ? "1" : "0");
		break;
	case OP_toggle_mglru:
		write_text(MGLRU, value & 1 ? "7" : "0");
		break;
	case OP_bound_kept:
		/* So few that they are often given up. */
		write_text(KEPT, value % 3 ? kept_before : "40");
		break;
	default:
		break;
	}
}

/* -1 for what this kernel does not count. */
void machine_counters(long counters[N_COUNTERS])
{
	static const struct {
		enum counter counter;
		const char *name;
	} names[] = {
		{ SWAPPED_OUT, "pswpout" }, { SWAPPED_IN, "pswpin" },
		{ HUGE_MADE, "thp_fault_alloc" }, { HUGE_MADE, "thp_collapse_alloc" },
		{ HUGE_MAPPINGS_SPLIT, "thp_split_pmd" }, { HUGE_SPLIT, "thp_split_page" },
		{ MIGRATED, "pgmigrate_success" }, { DEACTIVATED, "pgdeactivate" },
	};
	static const struct {
		enum counter counter;
		const char *path;
	} own[] = {
		{ PAGES_COPIED, "/sys/class/misc/lwc/pages_copied" },
		{ PAGES_KEPT, "/sys/class/misc/lwc/pages_kept" },
		{ AGED, "/sys/class/misc/lwc/aged" },
		{ COMPARES, "/sys/class/misc/lwc/compares" },
		{ DUPLICATES, "/sys/class/misc/lwc/duplicates" },
	};
	char text[16384], *line, *rest = text;
	unsigned int i;

	for (i = 0; i < N_COUNTERS; i++)
		counters[i] = -1;
	for (i = 0; i < sizeof(own) / sizeof(*own); i++) {
		if (!read_text(own[i].path, text, sizeof(text)))
			counters[own[i].counter] = atol(text);
	}
	if (!read_text("/sys/kernel/mm/ksm/pages_sharing", text, sizeof(text)))
		counters[SAME_MERGED] = atol(text);
	read_text("/proc/vmstat", text, sizeof(text));
	while ((line = strsep(&rest, "\n"))) {
		char *value = strchr(line, ' ');

		if (!value)
			continue;
		*value = 0;
		for (i = 0; i < sizeof(names) / sizeof(*names); i++) {
			long *to = &counters[names[i].counter];

			if (!strcmp(line, names[i].name))
				*to = (*to < 0 ? 0 : *to) + atol(value + 1);
		}
	}
}
