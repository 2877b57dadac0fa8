/* SPDX-License-Identifier: GPL-2.0 */
/*
 * graft.h - ranges of one address space come into another that is in use.
 */
#ifndef LWC_GRAFT_H
#define LWC_GRAFT_H

#include <linux/types.h>

struct lwc_specs;
struct mm_struct;

/* Below the stack pointer a function may keep something, too. */
#define LWC_RED_ZONE	128

/**
 * lwc_graft() - the current task's memory gets ranges of another address space
 * @source: of another context; what runs in it waits meanwhile
 * @specs: which, and how: LWC_COW, LWC_SHARE or LWC_READ
 * @limited: no more is to be seen of the objects mapped there
 *
 * Nobody may remap the current task's memory meanwhile (lwc_remap_exclude()).
 * What was there in the current task's goes, also where @source has a hole. Nothing
 * is changed in @source, but that it shares pages on write.
 *
 * Return: 0; -EAGAIN: what is to be shared has to be made so first
 * (lwc_context_share_memory()); -EBUSY (userfaultfd here), -EINTR, -EINVAL (the calling
 * stack is in the way, or a huge page would be cut), -ENOMEM (memory, or limits),
 * -EOPNOTSUPP (hugetlb, device memory, a key of its own), -EPERM (sealed): nothing has
 * changed; -ENOTRECOVERABLE: this is the end of the process.
 */
int lwc_graft(struct mm_struct *source, const struct lwc_specs *specs, bool limited);

#endif /* LWC_GRAFT_H */
