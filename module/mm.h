/* SPDX-License-Identifier: GPL-2.0 */
/*
 * mm.h - address spaces: duplicate one, put the current task into one.
 */
#ifndef LWC_MM_H
#define LWC_MM_H

#include <linux/mm_types.h>
#include <linux/sched.h>

#include "kernel/compat.h"

struct lwc_memory;

/*
 * For lockdep: the lock of a duplicate, or of the other side of a pair, is taken below that of
 * the one it was made of (SINGLE_DEPTH_NESTING), and that of a record below both.
 */
#define LWC_THIRD_MMAP_LOCK	2

/**
 * lwc_mm_duplicate() - what fork() would give a child of @source
 * @source: the current task's mm or one that no task runs in
 * @owner: the task that memory is charged to; the caller keeps a reference
 *	for as long as the result may name it
 * @frozen: nothing will run in it, and neither KSM nor khugepaged may replace a
 *	page that it shares: the other would own it alone, and nobody be told
 * @memory: what of @source it sees, and how; NULL: all, as copies
 *
 * Ranges with MADV_DONTFORK are absent and those with MADV_WIPEONFORK zero in
 * the result; locked ranges are not locked, userfaultfd does not watch it and
 * it has no AIO contexts, all as after fork(). May sleep.
 *
 * Return: an mm with one user, or ERR_PTR(-ENOMEM), ERR_PTR(-EINTR) (the task
 * is being killed), or what lwc_memory_apply() says.
 */
struct mm_struct *lwc_mm_duplicate(struct mm_struct *source, struct task_struct *owner,
				   bool frozen, struct lwc_memory *memory);

/**
 * lwc_mm_graft() - map in a live address space a part of what another maps
 * @mm: nothing is mapped there from @start to @end
 * @origin: a mapping of the other, or a part of one; not VM_DONTCOPY, hugetlb or VM_PFNMAP
 * @start: where the part begins
 * @end: where it ends
 *
 * Both mmap locks are held for writing. As fork() would, but that the caller has promised
 * the memory (VM_ACCOUNT) and that the pages follow by lwc_mm_graft_pages().
 *
 * Return: the mapping; NULL: no memory, and nothing has changed.
 */
struct vm_area_struct *lwc_mm_graft(struct mm_struct *mm, struct vm_area_struct *origin,
				    unsigned long start, unsigned long end);

/**
 * lwc_mm_graft_pages() - and copy on write what is in memory of it
 * @vma: of lwc_mm_graft()
 * @origin: that it was made of; its mm's TLB is to be flushed after this
 *
 * Return: 0; or -ENOMEM: @vma has no pages.
 */
int lwc_mm_graft_pages(struct vm_area_struct *vma, struct vm_area_struct *origin);

/**
 * lwc_mm_link_to_file() - put a mapping among those of its file, and count it there
 * @vma: with a file, of which it gets a reference of its own
 * @origin: the mapping that it was made from, to stand behind; NULL: none
 */
void lwc_mm_link_to_file(struct vm_area_struct *vma, struct vm_area_struct *origin);

/**
 * lwc_mm_unmap() - take out what is mapped in [@start, @end)
 * @mm: parked, or the current task's; its mmap lock is held for writing
 *
 * Return: 0, -ENOMEM, -EPERM (sealed).
 */
int lwc_mm_unmap(struct mm_struct *mm, unsigned long start, unsigned long end);

/**
 * lwc_mm_copy_bounds() - what is no mapping: brk, arguments, flags and the like
 * @mm: takes on those of @source; both mmap locks are held
 */
void lwc_mm_copy_bounds(struct mm_struct *mm, struct mm_struct *source);

/**
 * lwc_mm_lacks_duplicate() - is there something in @mm that a duplicate lacks?
 * @mm: its mmap lock is held
 *
 * Locked, MADV_DONTFORK and userfaultfd ranges, private hugetlb pages.
 */
bool lwc_mm_lacks_duplicate(struct mm_struct *mm);

/**
 * lwc_mm_has_state_of_its_own() - the same of what is no mapping
 *
 * AIO contexts, a promise to lock what is mapped later.
 */
bool lwc_mm_has_state_of_its_own(const struct mm_struct *mm);

/* The rare part of the next. */
void lwc_mm_set_owner(struct mm_struct *mm, struct task_struct *owner);

/**
 * lwc_mm_take_back() - make @owner the one that memory is charged to
 *
 * A thread that ends hands its mm to whoever it finds.
 */
static inline void lwc_mm_take_back(struct mm_struct *mm, struct task_struct *owner)
{
#ifdef CONFIG_MEMCG
	if (unlikely(rcu_access_pointer(mm->owner) != owner))
		lwc_mm_set_owner(mm, owner);
#endif
}

/**
 * lwc_mm_leave() - what has to be settled in the mm before it is left
 */
static inline void lwc_mm_leave(void)
{
	lwc_settle_rss(current->mm);
	lwc_mm_cid_leave();
}

/*
 * lwc_mm_enter() for who has interrupts off and the owner right.
 *
 * The order of exec_mmap(): the IBPB mitigation reads current->mm inside of
 * switch_mm_irqs_off(), so it is set before; nothing may preempt between.
 */
static inline void lwc_mm_enter_irqs_off(struct mm_struct *next)
{
	struct mm_struct *before = current->mm;

	lockdep_assert_irqs_disabled();
	current->active_mm = next;
	current->mm = next;
	kernel_call(membarrier_update_current_mm)(next);
	kernel_call(switch_mm_irqs_off)(before, next, current);
}

/**
 * lwc_mm_enter() - the current task goes on in @next
 * @next: the mm; its user reference becomes the task's, whose own on the
 *	mm that it leaves becomes the caller's
 * @owner: the task that memory is charged to
 *
 * Called with task_lock(current) held and lwc_mm_leave() done.
 */
static inline void lwc_mm_enter(struct mm_struct *next, struct task_struct *owner)
{
	lwc_mm_take_back(current->mm, owner);
	lwc_mm_take_back(next, owner);
	local_irq_disable();
	lwc_mm_enter_irqs_off(next);
	local_irq_enable();
}

/**
 * lwc_mm_reads_file() - may a fault in a mapping wait for a file system?
 * @vma: its mm's mmap lock is held
 */
bool lwc_mm_reads_file(struct vm_area_struct *vma);

/**
 * lwc_mm_is_at_hand() - can a fault be served without waiting for a file system?
 * @vma: its mm's mmap lock is held
 * @address: in it
 *
 * A server of files that does not answer is waited for in vain, and where the mmap lock is
 * held for writing not even SIGKILL ends that. Return: false also where it might be so.
 */
bool lwc_mm_is_at_hand(struct vm_area_struct *vma, unsigned long address);

/**
 * lwc_mm_visit() - the current task works in @mm, without its references
 * @mm: where to; later, where it came from
 *
 * For functions of the kernel that take the task's mm for the one they work
 * on. Between the two nothing of the program runs, and nothing may fail.
 */
void lwc_mm_visit(struct mm_struct *mm);

/**
 * lwc_mm_entered() - what has to be settled after task_unlock()
 */
static inline void lwc_mm_entered(void)
{
	lwc_mm_cid_enter();
	lru_gen_use_mm(current->mm);
}

/**
 * lwc_mm_disown() - @mm may outlive @owner: forget it
 */
void lwc_mm_disown(struct mm_struct *mm, struct task_struct *owner);

/**
 * lwc_mm_put() - a context lets go of @mm
 * @mm: with a user reference and one to the structure; or NULL
 * @owner: see lwc_mm_disown()
 */
void lwc_mm_put(struct mm_struct *mm, struct task_struct *owner);

#endif /* LWC_MM_H */
