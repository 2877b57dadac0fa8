/* SPDX-License-Identifier: GPL-2.0 */
/*
 * memory.h - what a new context sees of its creator's memory: SHARE, READ, UNMAP.
 */
#ifndef LWC_MEMORY_H
#define LWC_MEMORY_H

#include <linux/list.h>
#include <linux/types.h>

struct lwc_specs;
struct mm_struct;
struct vm_area_struct;

/**
 * struct lwc_memory - the view that a duplicate is made with
 * @specs: what was asked for
 * @hidden: nobody is to look at the duplicate, not even while it is made
 * @records: address spaces that nobody runs in and a rollback puts the source back to
 * @n_records: how many
 * @pieces: private memory on its way to be shared
 * @converted: the source has memory that it did not share before
 */
struct lwc_memory {
	const struct lwc_specs *specs;
	bool hidden;
	struct mm_struct **records;
	unsigned int n_records;
	struct list_head pieces;
	bool converted;
};

/**
 * lwc_memory_hides() - will a duplicate not have anything of @vma?
 * @memory: the view; NULL: all is seen
 */
bool lwc_memory_hides(const struct lwc_memory *memory, const struct vm_area_struct *vma);

/**
 * lwc_memory_apply() - make a new duplicate what its view says
 * @memory: the view
 * @mm: the duplicate, which nobody has seen yet
 * @source: what it was made of
 *
 * Both mmap locks are held for writing. What is to be shared becomes shared
 * memory in @source, and in what that may be put back to, as the last thing, so
 * that a failure leaves them as they were.
 *
 * Return: 0, -EBUSY (a page is pinned for DMA), -EFAULT (its content cannot be
 * read), -EINTR, -ENOMEM, -EOPNOTSUPP (a range cannot be seen so).
 */
int lwc_memory_apply(struct lwc_memory *memory, struct mm_struct *mm, struct mm_struct *source);

/**
 * lwc_memory_is_private() - can it be written to, and is not shared by being mapped by both?
 */
bool lwc_memory_is_private(struct vm_area_struct *vma);

/**
 * lwc_memory_make_read_only() - for good, but for who can open the object for writing
 * @vma: its mmap lock is held for writing
 * @pinned: pages of it may be copies of pinned ones, and so be writable already
 *
 * Becomes a private mapping without a right to write, or one of a file opened for reading.
 *
 * Return: 0; -EOPNOTSUPP: hugetlb, or shared memory whose pages are mapped for good.
 */
int lwc_memory_make_read_only(struct vm_area_struct *vma, bool pinned);

/**
 * lwc_memory_limit() - a mapping of an object that is not to come to more of it
 * @vma: its mmap lock is held for writing
 */
void lwc_memory_limit(struct vm_area_struct *vma);

/**
 * lwc_memory_is_limited() - does it map a part of an object, and is not to come to the rest?
 *
 * Of a context with UNMAP or READ specs, and of a child that it forks.
 */
bool lwc_memory_is_limited(struct mm_struct *mm);

/**
 * lwc_memory_read_in() - have what is to be shared of files be there
 * @memory: the view
 * @source: what the duplicate is to be made of
 *
 * With no mmap lock held: later, with two of them, nothing could end the wait for a file
 * system that does not answer; then what is missing after all is -EAGAIN.
 *
 * Return: 0, -EFAULT (it cannot be read), -EINTR, -ENOMEM.
 */
int lwc_memory_read_in(const struct lwc_memory *memory, struct mm_struct *source);

/**
 * lwc_memory_release() - after lwc_memory_apply() and with no lock held
 * @memory: the view
 * @source: what the duplicate was made of, the current task's
 */
void lwc_memory_release(struct lwc_memory *memory, struct mm_struct *source);

#endif /* LWC_MEMORY_H */
