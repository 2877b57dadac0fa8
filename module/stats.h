/* SPDX-License-Identifier: GPL-2.0 */
/*
 * stats.h - the counters under /sys/class/misc/lwc/.
 */
#ifndef LWC_STATS_H
#define LWC_STATS_H

#include <linux/percpu.h>
#include <linux/sysfs.h>

/**
 * struct lwc_stats - what has happened since the module was loaded, per CPU
 * @contexts: contexts and snapshots made less those gone
 * @switches: switches done
 * @rollbacks: rollbacks done
 * @renews: renews done
 * @pages_copied: pages whose content this module has copied itself
 * @pages_kept: pages of which contexts got copies of their own, to be kept
 * @aged: times that such copies were too many, or too long unused, and were given up
 * @compares: times that two address spaces were compared as a whole
 * @duplicates: times that one was duplicated as a whole
 * @faults: faults that became switches or rollbacks
 * @refusals: accesses to another context that the guard refused
 */
struct lwc_stats {
	long contexts;
	long switches;
	long rollbacks;
	long renews;
	long pages_copied;
	long pages_kept;
	long aged;
	long compares;
	long duplicates;
	long faults;
	long refusals;
};

DECLARE_PER_CPU(struct lwc_stats, lwc_stats);

#define lwc_count(counter)		this_cpu_inc(lwc_stats.counter)
#define lwc_count_down(counter)		this_cpu_dec(lwc_stats.counter)

extern const struct attribute_group *lwc_stats_groups[];

#endif /* LWC_STATS_H */
