/* SPDX-License-Identifier: GPL-2.0 */
/*
 * view.h - specs: what a context sees of the one it is made from.
 */
#ifndef LWC_VIEW_H
#define LWC_VIEW_H

#include <linux/bits.h>
#include <linux/fs.h>
#include <linux/maple_tree.h>
#include <linux/types.h>
#include <linux/lwc.h>

/**
 * struct lwc_specs - a checked list of specs
 * @memory: the mode of each range of addresses that a spec names
 * @n: how many
 * @list: in the order in which they were given; the later wins
 */
struct lwc_specs {
	struct maple_tree memory;
	unsigned int n;
	struct lwc_spec list[];
};

/* What works, for LWC_IOC_FEATURES. */
#define LWC_WORKING_SPEC_TYPES	(BIT_ULL(LWC_MEMORY) | BIT_ULL(LWC_FILES))
#define LWC_WORKING_SPEC_MODES	(BIT_ULL(LWC_COW) | BIT_ULL(LWC_SHARE) | \
				 BIT_ULL(LWC_READ) | BIT_ULL(LWC_UNMAP))

/**
 * enum lwc_purpose - what a list is for
 */
enum lwc_purpose {
	LWC_FOR_CREATE,
	LWC_FOR_OVERLAY,
	LWC_FOR_RESTRICT,
};

/**
 * lwc_specs_read() - copy a list from user space and check it
 * @specs: address of an array of struct lwc_spec
 * @n: its length
 * @purpose: the call that it was given to
 *
 * Return: the list (NULL for none), or ERR_PTR(): -E2BIG (more than
 * LWC_MAX_SPECS), -EFAULT, -ENOMEM, -EINVAL (a bad one), -EOPNOTSUPP (a good
 * one that does not work yet).
 */
struct lwc_specs *lwc_specs_read(u64 specs, unsigned int n, enum lwc_purpose purpose);

void lwc_specs_free(struct lwc_specs *specs);

/**
 * lwc_specs_keep_file() - does the new context have this descriptor?
 * @specs: a struct lwc_specs or NULL
 * @fd: number
 * @file: what it names
 *
 * A lwc_files_filter. A descriptor of a context is only handed on where the last
 * spec for its number says LWC_INHERIT; it is the same open file then.
 */
bool lwc_specs_keep_file(const void *specs, unsigned int fd, struct file *file);

/**
 * lwc_specs_name_file() - the same, where no spec names a number: no
 *
 * For an overlay.
 */
bool lwc_specs_name_file(const void *specs, unsigned int fd, struct file *file);

/**
 * lwc_specs_share_files() - is the new context's file table its creator's?
 */
bool lwc_specs_share_files(const struct lwc_specs *specs);

/**
 * lwc_specs_name_memory() - is there a spec of LWC_MEMORY?
 */
bool lwc_specs_name_memory(const struct lwc_specs *specs);

/**
 * lwc_specs_next_range() - the next range of memory that a spec names
 * @specs: the list; NULL: none
 * @start: set to where it begins
 * @end: where to look from; set to where it ends
 *
 * Return: its mode, or 0: there is none.
 */
unsigned int lwc_specs_next_range(const struct lwc_specs *specs, unsigned long *start,
				  unsigned long *end);

/**
 * lwc_specs_next_memory() - the next range that is not simply copied
 * @specs: the list; NULL: none
 * @start: set to where it begins
 * @end: where to look from; set to where it ends
 *
 * Return: LWC_SHARE, LWC_READ, LWC_UNMAP, or 0: there is none.
 */
unsigned int lwc_specs_next_memory(const struct lwc_specs *specs, unsigned long *start,
				   unsigned long *end);

/**
 * lwc_specs_shared() - of a list, what it says is to be shared, and nothing else seen
 * @specs: a list
 *
 * Return: another list, or ERR_PTR(-ENOMEM).
 */
struct lwc_specs *lwc_specs_shared(const struct lwc_specs *specs);

#endif /* LWC_VIEW_H */
