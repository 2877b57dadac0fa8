/* SPDX-License-Identifier: GPL-2.0 */
/*
 * sync.h - makes one address space equal to another.
 */
#ifndef LWC_SYNC_H
#define LWC_SYNC_H

#include <linux/mm_types.h>

struct lwc_pair;

/**
 * lwc_pair_equalise() - copy what either side has written since they were equal
 * @pair: complete
 * @to: the one that is changed; the other's content stays what it is
 * @quiet: neither is in use by any task but the current one
 *
 * Return: 0; -EINTR (being killed), -EOPNOTSUPP (@to is a snapshot's, which
 * could not record what the other maps): nothing was changed. Or it cannot be done so,
 * or would cost more than a new duplicate, and the caller replaces @to by a duplicate
 * of the other; the pair is of no use any more: -ESTALE: nothing was changed; -EAGAIN:
 * @to may be changed in parts.
 */
int lwc_pair_equalise(struct lwc_pair *pair, struct mm_struct *to, bool quiet);

/**
 * lwc_mark_written() - make the entries of all anonymous pages dirty
 * @mm: its mmap lock is held for writing
 * @start: first address
 * @end: behind the last
 */
void lwc_mark_written(struct mm_struct *mm, unsigned long start, unsigned long end);

#endif /* LWC_SYNC_H */
