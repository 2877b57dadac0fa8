/* SPDX-License-Identifier: GPL-2.0 */
/*
 * ranges.h - what may be overlaid through a descriptor.
 */
#ifndef LWC_RANGES_H
#define LWC_RANGES_H

#include <linux/kref.h>
#include <linux/maple_tree.h>
#include <linux/types.h>

struct lwc_specs;

/**
 * struct lwc_ranges - never changed once it is made
 * @ref: on it
 * @memory: addresses, with what may be done to each
 * @files: descriptors, the same
 */
struct lwc_ranges {
	struct kref ref;
	struct maple_tree memory;
	struct maple_tree files;
};

/**
 * lwc_ranges_listed() - those that the lines of a list name, and no others
 * @specs: for LWC_IOC_RESTRICT
 *
 * Return: with one reference; or ERR_PTR(-ENOMEM).
 */
struct lwc_ranges *lwc_ranges_listed(const struct lwc_specs *specs);

/**
 * lwc_ranges_granted() - those whose last line says LWC_GRANT
 * @specs: for LWC_IOC_CREATE; NULL: none
 *
 * Return: with one reference; NULL: there is none; or ERR_PTR(-ENOMEM).
 */
struct lwc_ranges *lwc_ranges_granted(const struct lwc_specs *specs);

/**
 * lwc_ranges_meet() - what is in both
 * @one: NULL: everything
 * @other: not NULL
 *
 * Return: with one reference; or ERR_PTR(-ENOMEM).
 */
struct lwc_ranges *lwc_ranges_meet(struct lwc_ranges *one, struct lwc_ranges *other);

/**
 * lwc_ranges_allow() - may all this be overlaid?
 * @ranges: NULL: everything
 * @specs: for LWC_IOC_OVERLAY; NULL: nothing is asked for
 */
bool lwc_ranges_allow(const struct lwc_ranges *ranges, const struct lwc_specs *specs);

static inline struct lwc_ranges *lwc_ranges_get(struct lwc_ranges *ranges)
{
	if (ranges)
		kref_get(&ranges->ref);
	return ranges;
}

/**
 * lwc_ranges_put() - NULL is allowed
 */
void lwc_ranges_put(struct lwc_ranges *ranges);

#endif /* LWC_RANGES_H */
