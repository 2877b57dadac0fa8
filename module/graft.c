// SPDX-License-Identifier: GPL-2.0
/*
 * graft.c - ranges of one address space come into another that is in use.
 *
 * As fork() copies a mapping, but into the middle of what runs, in the place of what is
 * there. All that can be refused is asked first; then there is no way back, and what
 * needs memory is done again for a while, until there is some. Who is killed meanwhile
 * never sees what it got of it.
 *
 * Both mmap locks are held for writing from the first question to the end, so the answers
 * hold. Nothing else takes two, but under the process's lock, which is held as well; so
 * their order is free.
 *
 * Must never leave a range half replaced to a thread of the process that goes on.
 */
#include <linux/hugetlb.h>
#include <linux/jiffies.h>
#include <linux/khugepaged.h>
#include <linux/ksm.h>
#include <linux/mm.h>
#include <linux/pkeys.h>
#include <linux/ptrace.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/uprobes.h>
#include <linux/userfaultfd_k.h>

#include "broken.h"
#include "graft.h"
#include "kernel/compat.h"
#include "memory.h"
#include "mm.h"
#include "view.h"

/* Others wait for what is locked here: whoever registers a uprobe, and then each fork(). */
#define PATIENCE	(2 * HZ)

/**
 * struct graft - one run
 * @mm: gets the ranges; the current task's
 * @source: has them
 * @specs: which
 * @limited: see lwc_graft()
 * @mappings: how many more there will be
 * @pages: the same, counted against RLIMIT_AS
 * @data: the same, of private writable memory: RLIMIT_DATA
 * @promised: pages that have to be promised to @mm before they are mapped there
 * @merged: some of it is for KSM
 * @private: some of what is to be shared is private memory of @source
 * @deadline: when to stop waiting for memory, in jiffies
 */
struct graft {
	struct mm_struct *mm;
	struct mm_struct *source;
	const struct lwc_specs *specs;
	bool limited;
	long mappings;
	long pages;
	long data;
	long promised;
	bool merged;
	bool private;
	unsigned long deadline;
};

static long pages_within(const struct vm_area_struct *vma, unsigned long start,
			 unsigned long end)
{
	return (min(end, vma->vm_end) - max(start, vma->vm_start)) >> PAGE_SHIFT;
}

static bool is_data(const struct vm_area_struct *vma)
{
	return (vma->vm_flags & (VM_WRITE | VM_SHARED | VM_STACK)) == VM_WRITE;
}

/* What may be refused */

static int ask_source(struct graft *graft, unsigned long start, unsigned long end,
		      unsigned int mode)
{
	MA_STATE(mas, &graft->source->mm_mt, start, start);
	struct vm_area_struct *vma;

	mas_for_each(&mas, vma, end - 1) {
		const long pages = pages_within(vma, start, end);

		if (vma->vm_flags & VM_DONTCOPY)
			continue;
		if (is_vm_hugetlb_page(vma) || (vma->vm_flags & (VM_PFNMAP | VM_MIXEDMAP | VM_IO)))
			return -EOPNOTSUPP;
		/* A key that this one has not could be given out here, and open it. */
		if (!mm_pkey_is_allocated(graft->mm, vma_pkey(vma)))
			return -EOPNOTSUPP;
		graft->mappings++;
		graft->pages += pages;
		/* Once that is shared it is neither data nor promised to anybody. */
		if (mode == LWC_SHARE && lwc_memory_is_private(vma)) {
			graft->private = true;
			continue;
		}
		if (is_data(vma) && mode != LWC_READ)
			graft->data += pages;
		if (vma->vm_flags & VM_ACCOUNT)
			graft->promised += pages;
		if (vma->vm_flags & VM_MERGEABLE)
			graft->merged = true;
	}
	return 0;
}

/*
 * Does [@start, @end) hold what the caller returns to? Of a stack that does not grow by
 * itself nobody knows how far up it reaches: what lies above may be another mapping,
 * which the kernel has merged with it.
 */
static bool is_calling_stack(const struct vm_area_struct *vma, unsigned long start,
			     unsigned long end)
{
	const unsigned long sp = current_pt_regs()->sp;
	unsigned long top = vma->vm_end;

	if (lwc_broken(STACK_REPLACED) || sp < vma->vm_start || sp >= vma->vm_end)
		return false;
	/* (The first thread's may have stopped to grow: memory.c.) */
	if (!(vma->vm_flags & VM_GROWSDOWN) && vma->vm_end <= vma->vm_mm->start_stack)
		top = PAGE_ALIGN(sp + 1);
	return start < top && end > sp - LWC_RED_ZONE;
}

static int ask_target(struct graft *graft, unsigned long start, unsigned long end)
{
	MA_STATE(mas, &graft->mm->mm_mt, start, start);
	struct vm_area_struct *vma;

	/* That of a 32-bit program ends earlier. */
	if (end > TASK_SIZE)
		return -EINVAL;
	mas_for_each(&mas, vma, end - 1) {
		const long pages = pages_within(vma, start, end);

		if (lwc_is_sealed(vma))
			return -EPERM;
		if (is_calling_stack(vma, start, end))
			return -EINVAL;
		/* Who watches it would not be told that it goes. */
		if (userfaultfd_armed(vma))
			return -EBUSY;
		graft->mappings--;
		graft->pages -= pages;
		if (is_data(vma))
			graft->data -= pages;
	}
	/* What stays of those that lie on the edges. */
	graft->mappings += 2;
	return 0;
}

static bool is_beyond(unsigned long now, long more, unsigned int limit)
{
	return more > 0 && now + more > rlimit(limit) >> PAGE_SHIFT;
}

static int ask_limits(const struct graft *graft)
{
	const struct mm_struct *mm = graft->mm;

	if (lwc_broken(LIMITS_UNASKED))
		return 0;
	if (is_beyond(mm->total_vm, graft->pages, RLIMIT_AS) ||
	    is_beyond(mm->data_vm, graft->data, RLIMIT_DATA))
		return -ENOMEM;
	return mm->map_count + graft->mappings > READ_ONCE(*lwc_max_map_count) ? -ENOMEM : 0;
}

/* So that what is taken out later does not have to be cut. It says nothing to a program. */
static int split_target(const struct graft *graft)
{
	unsigned long start, end = 0;
	int err = 0;

	while (!err && lwc_specs_next_range(graft->specs, &start, &end)) {
		err = lwc_split_vma(graft->mm, start);
		err = err ?: lwc_split_vma(graft->mm, end);
	}
	return err;
}

static int prepare(struct graft *graft)
{
	unsigned long start, end = 0;
	unsigned int mode;
	int err = 0;

	while (!err && lwc_specs_next_range(graft->specs, &start, &end))
		err = ask_target(graft, start, end);
	end = 0;
	while (!err && (mode = lwc_specs_next_range(graft->specs, &start, &end)))
		err = ask_source(graft, start, end, mode);
	err = err ?: ask_limits(graft);
	err = err ?: split_target(graft);
#ifdef CONFIG_KSM
	if (!err && graft->merged && !test_bit(MMF_VM_MERGEABLE, &graft->mm->flags))
		err = kernel_call(__ksm_enter)(graft->mm);
#endif
	/* Last, as what is promised has to be taken back. */
	err = err ?: lwc_commit_memory(graft->mm, graft->promised);
	/* Nothing is shared for a call that is refused. */
	if (!err && graft->private) {
		lwc_uncommit_memory(graft->promised);
		err = -EAGAIN;
	}
	return err;
}

/* What may not */

/* Waits for memory. Return: is it of any use to try again? */
static bool wait_for_memory(struct graft *graft)
{
	if (fatal_signal_pending(current) || time_after(jiffies, graft->deadline))
		return false;
	schedule_timeout_killable(1);
	return true;
}

static int unmap(struct graft *graft, unsigned long start, unsigned long end)
{
	int err;

	do {
		err = lwc_mm_unmap(graft->mm, start, end);
	} while (err == -ENOMEM && wait_for_memory(graft));
	return err;
}

/* Of pinned pages there are copies now; whoever has pinned one has said so before. */
static int take_for_reading(struct graft *graft, struct vm_area_struct *vma)
{
	const bool pinned = test_bit(MMF_HAS_PINNED, &graft->source->flags);
	int err = lwc_memory_make_read_only(vma, pinned);

	/* Other threads here may have written through what was writable for a moment. */
	if (pinned)
		kernel_call(flush_tlb_mm_range)(graft->mm, vma->vm_start, vma->vm_end,
						PAGE_SHIFT, false);
	return err;
}

static int take(struct graft *graft, struct vm_area_struct *origin, unsigned long start,
		unsigned long end, unsigned int mode)
{
	struct vm_area_struct *vma;
	int err;

	do {
		vma = lwc_mm_graft(graft->mm, origin, start, end);
	} while (!vma && wait_for_memory(graft));
	if (!vma)
		return -ENOMEM;
	if (vma->vm_flags & VM_ACCOUNT)
		graft->promised -= vma_pages(vma);
	do {
		err = lwc_mm_graft_pages(vma, origin);
	} while (err == -ENOMEM && wait_for_memory(graft));
	if (!err && mode == LWC_READ)
		err = take_for_reading(graft, vma);
	/* A part of a mapping is not to be made larger than it is. */
	if (vma->vm_file &&
	    (graft->limited || start > origin->vm_start || end < origin->vm_end))
		lwc_memory_limit(vma);
	return err;
}

static int replace(struct graft *graft, unsigned long start, unsigned long end,
		   unsigned int mode)
{
	MA_STATE(mas, &graft->source->mm_mt, start, start);
	struct vm_area_struct *origin;
	int err;

	err = unmap(graft, start, end);
	if (err)
		return err;
	mas_for_each(&mas, origin, end - 1) {
		if (origin->vm_flags & VM_DONTCOPY)
			continue;
		err = take(graft, origin, max(start, origin->vm_start),
			   min(end, origin->vm_end), mode);
		if (err)
			return err;
		cond_resched();
	}
	return 0;
}

static int replace_all(struct graft *graft)
{
	unsigned long start, end = 0;
	unsigned int mode;

	int err = 0;

	kernel_call(uprobe_dup_mmap)(graft->source, graft->mm);
	while (!err && (mode = lwc_specs_next_range(graft->specs, &start, &end)))
		err = replace(graft, start, end, mode);
#ifdef CONFIG_TRANSPARENT_HUGEPAGE
	if (!err && test_bit(MMF_VM_HUGEPAGE, &graft->source->flags) &&
	    !test_bit(MMF_VM_HUGEPAGE, &graft->mm->flags))
		kernel_call(__khugepaged_enter)(graft->mm);
#endif
	lwc_uncommit_memory(graft->promised);
	/* Pages that both have now are read-only in the source. */
	if (!lwc_broken(GRAFT_WITHOUT_FLUSH))
		kernel_call(flush_tlb_mm_range)(graft->source, 0, TLB_FLUSH_ALL, 0, true);
	if (!err)
		return 0;
	/* It may also be that another thread is about to exec. */
	if (!fatal_signal_pending(current))
		force_sig(SIGKILL);
	return -ENOTRECOVERABLE;
}

int lwc_graft(struct mm_struct *source, const struct lwc_specs *specs, bool limited)
{
	struct graft graft = {
		.mm = current->mm, .source = source, .specs = specs, .limited = limited,
		.deadline = jiffies + PATIENCE,
	};
	int err = -EINTR;

	/* Who puts breakpoints into a file has to find all mappings of it. */
	kernel_call(uprobe_start_dup_mmap)();
	if (mmap_write_lock_killable(source))
		goto end;
	mmap_write_lock_nested(graft.mm, SINGLE_DEPTH_NESTING);
	err = prepare(&graft);
	if (!err)
		err = replace_all(&graft);
	mmap_write_unlock(graft.mm);
	mmap_write_unlock(source);
end:
	kernel_call(uprobe_end_dup_mmap)();
	return err;
}
