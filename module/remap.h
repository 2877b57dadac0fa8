/* SPDX-License-Identifier: GPL-2.0 */
/*
 * remap.h - keeps remap_file_pages(2) from what a context was not shown of an object.
 */
#ifndef LWC_REMAP_H
#define LWC_REMAP_H

#include <linux/list.h>

struct mm_struct;

/**
 * struct lwc_remap_user - who remaps, or limits, mappings of an address space
 * @of_kind: with others who do the same
 * @mm: which; only compared
 */
struct lwc_remap_user {
	struct list_head of_kind;
	const struct mm_struct *mm;
};

/**
 * lwc_remap_exclude() - nobody remaps the current task's memory until lwc_remap_end()
 * @user: on the stack; not in use
 *
 * With no mmap lock held. Return: 0 or -EINTR (being killed).
 */
int lwc_remap_exclude(struct lwc_remap_user *user);

void lwc_remap_end(struct lwc_remap_user *user);

int lwc_remap_init(void);
void lwc_remap_exit(void);

#endif /* LWC_REMAP_H */
