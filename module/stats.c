// SPDX-License-Identifier: GPL-2.0
/*
 * stats.c - one counter a file under /sys/class/misc/lwc/.
 *
 * Must never take a lock: the counters are bumped on hot paths.
 */
#include <linux/device.h>

#include "stats.h"

DEFINE_PER_CPU(struct lwc_stats, lwc_stats);

#define LWC_COUNTER(counter)							\
static ssize_t counter##_show(struct device *device,				\
			      struct device_attribute *attribute, char *page)	\
{										\
	long sum = 0;								\
	int cpu;								\
										\
	for_each_possible_cpu(cpu)						\
		sum += per_cpu(lwc_stats.counter, cpu);				\
	return sysfs_emit(page, "%ld\n", sum);					\
}										\
static DEVICE_ATTR_RO(counter)

LWC_COUNTER(contexts);
LWC_COUNTER(switches);
LWC_COUNTER(rollbacks);
LWC_COUNTER(renews);
LWC_COUNTER(pages_copied);
LWC_COUNTER(pages_kept);
LWC_COUNTER(aged);
LWC_COUNTER(compares);
LWC_COUNTER(duplicates);
LWC_COUNTER(faults);
LWC_COUNTER(refusals);

static struct attribute *lwc_stats_attrs[] = {
	&dev_attr_contexts.attr,
	&dev_attr_switches.attr,
	&dev_attr_rollbacks.attr,
	&dev_attr_renews.attr,
	&dev_attr_pages_copied.attr,
	&dev_attr_pages_kept.attr,
	&dev_attr_aged.attr,
	&dev_attr_compares.attr,
	&dev_attr_duplicates.attr,
	&dev_attr_faults.attr,
	&dev_attr_refusals.attr,
	NULL,
};

static const struct attribute_group lwc_stats_group = { .attrs = lwc_stats_attrs };

const struct attribute_group *lwc_stats_groups[] = { &lwc_stats_group, NULL };
