/* SPDX-License-Identifier: GPL-2.0 */
/*
 * kernel/layout.h - have the mappings of an address space changed?
 */
#ifndef LWC_KERNEL_LAYOUT_H
#define LWC_KERNEL_LAYOUT_H

#include <linux/mm_types.h>

struct lwc_mapping;

/**
 * struct lwc_layout - what the mappings were
 * @known: something is recorded
 * @sequence: since 6.4: of the mmap lock, which counts who holds it for writing
 * @recorded: the same: when, in jiffies
 * @n: before: how many mappings
 * @max: room for
 * @mappings: they
 */
struct lwc_layout {
	bool known;
	unsigned int sequence;
	unsigned long recorded;
	unsigned int n;
	unsigned int max;
	struct lwc_mapping *mappings;
};

/**
 * lwc_layout_record() - remember the mappings of @mm
 * @mm: its mmap lock is held for writing, and about to be let go
 * @changed: they are not what is remembered
 *
 * Without memory nothing is remembered.
 */
void lwc_layout_record(struct lwc_layout *layout, struct mm_struct *mm, bool changed);

/**
 * lwc_layout_is_unchanged() - are they what was recorded?
 * @mm: its mmap lock is held for writing, and was let go once since
 *
 * Return: false also where that is not known.
 */
bool lwc_layout_is_unchanged(const struct lwc_layout *layout, const struct mm_struct *mm);

void lwc_layout_free(struct lwc_layout *layout);

#endif /* LWC_KERNEL_LAYOUT_H */
