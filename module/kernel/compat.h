/* SPDX-License-Identifier: GPL-2.0 */
/*
 * kernel/compat.h - what differs between the kernels that are supported.
 *
 * The only place with a version number. The rest of the module is written
 * for the newest series, and reads as if there were no other.
 */
#ifndef LWC_KERNEL_COMPAT_H
#define LWC_KERNEL_COMPAT_H

#include <linux/ftrace.h>
#include <linux/mempolicy.h>
#include <linux/mm.h>
#include <linux/mmu_notifier.h>
#include <linux/nsproxy.h>
#include <linux/sched/coredump.h>
#include <linux/userfaultfd_k.h>
#include <linux/version.h>
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 3, 0)
#include <linux/filelock.h>
#endif
#ifdef CONFIG_X86_USER_SHADOW_STACK
#include <asm/prctl.h>
#endif

#include "kernel/symbols.h"

/**
 * lwc_kernel_is_known() - was this kernel's series tested?
 */
static inline bool lwc_kernel_is_known(void)
{
	const unsigned int series = LINUX_VERSION_CODE >> 8;

	return series == KERNEL_VERSION(6, 1, 0) >> 8 ||
	       series == KERNEL_VERSION(6, 12, 0) >> 8;
}

#define LWC_KNOWN_SERIES	"6.1 and 6.12"

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 2, 0)
#define ftrace_regs_set_instruction_pointer(fregs, ip)	\
	ftrace_instruction_pointer_set(fregs, ip)
#endif

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 3, 0)
#define VM_LOCKED_MASK		(VM_LOCKED | VM_LOCKONFAULT)

static inline void vm_flags_clear(struct vm_area_struct *vma, vm_flags_t flags)
{
	vma->vm_flags &= ~flags;
}

static inline void vm_flags_set(struct vm_area_struct *vma, vm_flags_t flags)
{
	vma->vm_flags |= flags;
}
#endif

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 5, 0)
static inline unsigned long mmf_init_flags(unsigned long flags)
{
	return flags & MMF_INIT_MASK;
}
#endif

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 4, 0)
/* There are no per-vma locks yet: the mmap lock alone keeps faults out. */
static inline void vma_start_write(struct vm_area_struct *vma)
{
}
#endif

/* put_nsproxy() for modules: its last step is not exported. */
static inline void lwc_put_nsproxy(struct nsproxy *ns)
{
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 7, 0)
	if (atomic_dec_and_test(&ns->count))
#else
	if (refcount_dec_and_test(&ns->count))
#endif
		kernel_call(free_nsproxy)(ns);
}

/* Counts @pages against what may be promised. Return: 0 or -ENOMEM. */
static inline int lwc_commit_memory(struct mm_struct *mm, long pages)
{
#ifdef CONFIG_SECURITY
	return kernel_call(security_vm_enough_memory_mm)(mm, pages);
#else
	return kernel_call(__vm_enough_memory)(mm, pages,
					       kernel_call(cap_vm_enough_memory)(mm, pages));
#endif
}

/* The opposite, which always works. */
static inline void lwc_uncommit_memory(long pages)
{
	percpu_counter_add(lwc_committed, -pages);
}

/*
 * Splits the mapping that @address lies in the middle of, if there is one, so that one
 * begins there. Return: 0, -ENOMEM (memory, or too many mappings).
 */
static inline int lwc_split_vma(struct mm_struct *mm, unsigned long address)
{
	struct vm_area_struct *vma = vma_lookup(mm, address);
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 3, 0)
	VMA_ITERATOR(vmi, mm, address);

	if (!vma || vma->vm_start == address)
		return 0;
	/* The iterator has to stand on it. */
	vma = vma_find(&vmi, address + 1);
	return kernel_call(split_vma)(&vmi, vma, address, 0);
#else
	if (!vma || vma->vm_start == address)
		return 0;
	return kernel_call(split_vma)(mm, vma, address, 0);
#endif
}

/* Has the program said that this is to stay as it is (mseal(2))? */
static inline bool lwc_is_sealed(const struct vm_area_struct *vma)
{
#ifdef VM_SEALED
	return vma->vm_flags & VM_SEALED;
#else
	return false;
#endif
}

/*
 * The page at @address, whatever its protection, with a reference. Return: 0, -EFAULT
 * (there cannot be one), -EINTR, -ENOMEM.
 */
static inline int lwc_get_page(struct mm_struct *mm, unsigned long address, struct page **page)
{
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 5, 0)
	long n = get_user_pages_remote(mm, address, 1, FOLL_FORCE, page, NULL, NULL);
#else
	long n = get_user_pages_remote(mm, address, 1, FOLL_FORCE, page, NULL);
#endif

	return n == 1 ? 0 : n ?: -EFAULT;
}

/*
 * Has @n pages from @address on be there; who waits for a file can be killed. @locked: is
 * the mmap lock, held for reading, still held? Return: how many, or an error.
 */
static inline long lwc_fault_in(struct mm_struct *mm, unsigned long address, unsigned long n,
				int *locked)
{
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 5, 0)
	return get_user_pages_remote(mm, address, n, FOLL_FORCE, NULL, NULL, locked);
#else
	return get_user_pages_remote(mm, address, n, FOLL_FORCE, NULL, locked);
#endif
}

#ifdef CONFIG_ANON_VMA_NAME
static inline void lwc_free_name(struct kref *kref)
{
	kfree(container_of(kref, struct anon_vma_name, kref));
}
#endif

/*
 * An anonymous mapping that is to become one of a file: before 6.2 its name is where
 * the link to the file's other mappings has to go.
 */
static inline void lwc_forget_name(struct vm_area_struct *vma)
{
#if defined(CONFIG_ANON_VMA_NAME) && LINUX_VERSION_CODE < KERNEL_VERSION(6, 2, 0)
	if (vma->vm_file || !vma->anon_name)
		return;
	kref_put(&vma->anon_name->kref, lwc_free_name);
	vma->anon_name = NULL;
#endif
}

/* The NUMA policy of a range, where there is such a thing. */
static inline int lwc_dup_policy(struct vm_area_struct *origin, struct vm_area_struct *vma)
{
#ifdef CONFIG_NUMA
	return kernel_call(vma_dup_policy)(origin, vma);
#else
	return 0;
#endif
}

static inline void lwc_put_policy(struct vm_area_struct *vma)
{
#ifdef CONFIG_NUMA
	if (vma_policy(vma))
		kernel_call(__mpol_put)(vma_policy(vma));
#endif
}

/* What dup_mm() copies along with the rest of the structure. */
static inline void lwc_copy_mm_layout(struct mm_struct *mm, const struct mm_struct *source)
{
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 10, 0)
	mm->get_unmapped_area = source->get_unmapped_area;
#endif
#ifdef CONFIG_ADDRESS_MASKING
	mm->context.lam_cr3_mask = source->context.lam_cr3_mask;
	mm->context.untag_mask = source->context.untag_mask;
#endif
}

/* mas_is_err(), which 6.1 does not export. */
static inline bool lwc_mas_is_err(struct ma_state *mas)
{
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 8, 0)
	return xa_is_err(mas->node);
#else
	return mas_is_err(mas);
#endif
}

/*
 * Since 6.6 tables of files' ranges may be taken away under their own lock alone,
 * after a grace period; before, by who holds the mmap lock for writing.
 */
static inline void lwc_hold_tables(void)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 6, 0)
	rcu_read_lock();
#endif
}

static inline void lwc_let_tables_go(void)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 6, 0)
	rcu_read_unlock();
#endif
}

/* pte_lockptr() of an entry that points to the page table in @page. */
static inline spinlock_t *lwc_table_lock(struct mm_struct *mm, pmd_t *pmd, struct page *page)
{
#if defined(CONFIG_SPLIT_PTE_PTLOCKS)
	return ptlock_ptr(page_ptdesc(page));
#elif LINUX_VERSION_CODE < KERNEL_VERSION(6, 6, 0) && USE_SPLIT_PTE_PTLOCKS
	return ptlock_ptr(page);
#else
	return pte_lockptr(mm, pmd);
#endif
}

/* The marks of a page-table entry that has been written through. */
#ifdef _PAGE_DIRTY_BITS
#define LWC_DIRTY_BITS		_PAGE_DIRTY_BITS
#else
#define LWC_DIRTY_BITS		_PAGE_DIRTY
#endif

/*
 * Looking a descriptor up in another task's table gives a file with a
 * reference since 6.7; before it was good under RCU alone.
 */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 7, 0)
#define lwc_task_lookup		task_lookup_fd_rcu
#define lwc_task_lookup_next	task_lookup_next_fd_rcu
#define LWC_TASK_LOOKUP		"task_lookup_fd_rcu"
#define LWC_TASK_LOOKUP_NEXT	"task_lookup_next_fd_rcu"

static inline void lwc_put_looked_up(struct file *file)
{
}
#else
#define lwc_task_lookup		task_lookup_fdget_rcu
#define lwc_task_lookup_next	task_lookup_next_fdget_rcu
#define LWC_TASK_LOOKUP		"task_lookup_fdget_rcu"
#define LWC_TASK_LOOKUP_NEXT	"task_lookup_next_fdget_rcu"

static inline void lwc_put_looked_up(struct file *file)
{
	fput(file);
}
#endif

/* Have two ranges the same NUMA policy? */
static inline bool lwc_same_policy(const struct vm_area_struct *one,
				   const struct vm_area_struct *other)
{
#ifdef CONFIG_NUMA
	struct mempolicy *a = one->vm_policy, *b = other->vm_policy;

	return a == b || (a && b && kernel_call(__mpol_equal)(a, b));
#else
	return true;
#endif
}

/* Have two ranges the same name (PR_SET_VMA_ANON_NAME)? A duplicate shares it. */
static inline bool lwc_same_name(const struct vm_area_struct *one,
				 const struct vm_area_struct *other)
{
#ifdef CONFIG_ANON_VMA_NAME
	/* Files' ranges have none, and something else in its place. */
	return one->vm_file || one->anon_name == other->anon_name;
#else
	return true;
#endif
}

/* The kernel's own, without page tables for huge pages: nothing to split. */
static inline void lwc_split_huge_pmd(struct vm_area_struct *vma, pmd_t *pmd,
				      unsigned long address)
{
#ifdef CONFIG_TRANSPARENT_HUGEPAGE
	kernel_call(__split_huge_pmd)(vma, pmd, address, false, NULL);
#endif
}

/*
 * Does anyone but @ours listen to @mm? The first members of a structure that
 * is mm/mmu_notifier.c's own; pointers are only compared.
 */
static inline bool lwc_mm_has_other_notifiers(const struct mm_struct *mm,
					      const struct mmu_notifier *ours)
{
	const struct {
		struct hlist_head list;
		bool has_itree;
	} *subscriptions = (const void *)READ_ONCE(mm->notifier_subscriptions);

	if (!subscriptions)
		return false;
	return READ_ONCE(subscriptions->list.first) != &ours->hlist ||
	       READ_ONCE(ours->hlist.next) || READ_ONCE(subscriptions->has_itree);
}

/* Does the current task hold @mm's mmap lock for writing? */
static inline bool lwc_holds_mmap_lock(struct mm_struct *mm)
{
	/* The lowest bits are flags, and set where it is held for reading. */
	return atomic_long_read(&mm->mmap_lock.owner) == (long)current;
}

/* Page counts of @mm that this task still holds back, before it leaves @mm. */
static inline void lwc_settle_rss(struct mm_struct *mm)
{
#ifdef SPLIT_RSS_COUNTING
	const int *held = current->rss_stat.count;

	BUILD_BUG_ON(NR_MM_COUNTERS != 4);
	if (unlikely(held[MM_FILEPAGES] | held[MM_ANONPAGES] | held[MM_SWAPENTS] |
		     held[MM_SHMEMPAGES]))
		kernel_call(sync_mm_rss)(mm);
#endif
}

/*
 * Anonymous pages and swap entries of @mm, exactly, while only the current
 * task uses it.
 */
static inline long lwc_anonymous_pages(struct mm_struct *mm)
{
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 2, 0)
	if (mm == current->mm)
		lwc_settle_rss(mm);
	return atomic_long_read(&mm->rss_stat.count[MM_ANONPAGES]) +
	       atomic_long_read(&mm->rss_stat.count[MM_SWAPENTS]);
#else
	return percpu_counter_sum(&mm->rss_stat[MM_ANONPAGES]) +
	       percpu_counter_sum(&mm->rss_stat[MM_SWAPENTS]);
#endif
}

/*
 * Concurrency ids (6.3) belong to an mm: give one back, take another. A task
 * that ends has given its own back for good.
 */
static inline void lwc_mm_cid_leave(void)
{
#ifdef CONFIG_SCHED_MM_CID
	if (!(current->flags & PF_EXITING))
		kernel_call(sched_mm_cid_before_execve)(current);
#endif
}

static inline void lwc_mm_cid_enter(void)
{
#ifdef CONFIG_SCHED_MM_CID
	if (!(current->flags & PF_EXITING))
		kernel_call(sched_mm_cid_after_execve)(current);
#endif
}

/* Does the task run with a user shadow stack (6.6)? */
static inline bool lwc_task_has_shadow_stack(void)
{
#ifdef CONFIG_X86_USER_SHADOW_STACK
	return current->thread.features & ARCH_SHSTK_SHSTK;
#else
	return false;
#endif
}

/*
 * seccomp_filter_release() wants a task that is past the use of its filter:
 * before 6.11 one without a sighand, since then one that exits and has its
 * lock.
 */
static inline void lwc_make_seccomp_carrier(struct task_struct *carrier,
					    struct sighand_struct *sighand)
{
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 11, 0)
	RCU_INIT_POINTER(carrier->sighand, NULL);
#else
	spin_lock_init(&sighand->siglock);
	RCU_INIT_POINTER(carrier->sighand, sighand);
	carrier->flags = PF_EXITING;
#endif
}

static inline void lwc_dnotify_flush(struct file *file, fl_owner_t owner)
{
#ifdef CONFIG_DNOTIFY
	kernel_call(dnotify_flush)(file, owner);
#endif
}

/*
 * Record locks that @owner took through @from are from now on those that it
 * took through @to, another open file of the same inode. With flc_lock held.
 */
static inline void lwc_move_record_locks(struct file_lock_context *locks, fl_owner_t owner,
					 const struct file *from, struct file *to)
{
	struct file_lock *lock;

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 9, 0)
	list_for_each_entry(lock, &locks->flc_posix, fl_list) {
		if (lock->fl_owner == owner && lock->fl_file == from)
			lock->fl_file = to;
	}
#else
	list_for_each_entry(lock, &locks->flc_posix, c.flc_list) {
		if (lock->c.flc_owner == owner && lock->c.flc_file == from)
			lock->c.flc_file = to;
	}
#endif
}

/* Does the current task run a copy of the instruction that a uprobe stands on? */
static inline bool lwc_in_uprobe(void)
{
#ifdef CONFIG_UPROBES
	return unlikely(current->utask && current->utask->active_uprobe);
#else
	return false;
#endif
}

static inline bool lwc_has_fred(void)
{
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 9, 0)
	return false;
#else
	return cpu_feature_enabled(X86_FEATURE_FRED);
#endif
}

/*
 * The bases of user space. Of gs it is the inside of x86_gsbase_read_cpu_inactive(), for
 * who has interrupts off. One statement, so that the compiler puts nothing
 * between; the caller's own function must be out of the reach of kprobes.
 */
static __always_inline void lwc_read_bases(unsigned long *fsbase, unsigned long *gsbase)
{
	/* FRED knows no swapgs. */
	if (!cpu_feature_enabled(X86_FEATURE_FSGSBASE) || lwc_has_fred()) {
		*fsbase = x86_fsbase_read_cpu();
		*gsbase = kernel_call(x86_gsbase_read_cpu_inactive)();
		return;
	}
	*fsbase = rdfsbase();
	asm volatile("swapgs\n\trdgsbase %0\n\tswapgs" : "=r" (*gsbase) : : "memory");
}

/*
 * Lists of the current task's perf events; before 6.2 those of the processor's
 * counters have one of their own. May only be followed with interrupts off.
 */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 2, 0)
#define LWC_PERF_CONTEXTS	perf_nr_task_contexts
#else
#define LWC_PERF_CONTEXTS	1
#endif

static inline struct perf_event_context *lwc_perf_context(unsigned int i)
{
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 2, 0)
	return READ_ONCE(current->perf_event_ctxp[i]);
#else
	return READ_ONCE(current->perf_event_ctxp);
#endif
}

/* Has the current task had perf events? */
static __always_inline bool lwc_is_profiled(void)
{
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 2, 0)
	return (unsigned long)READ_ONCE(current->perf_event_ctxp[perf_hw_context]) |
	       (unsigned long)READ_ONCE(current->perf_event_ctxp[perf_sw_context]);
#else
	return READ_ONCE(current->perf_event_ctxp);
#endif
}

/* perf_event.owner of an event that the kernel has made for itself. */
#define LWC_PERF_KERNEL_OWNER	((struct task_struct *)-1L)

struct lwc_rseq {
	struct rseq __user *area;
	u32 length;
	u32 signature;
};

static inline void lwc_rseq_save(struct lwc_rseq *rseq)
{
	rseq->area = current->rseq;
	rseq->signature = current->rseq_sig;
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 3, 0)
	rseq->length = current->rseq_len;
#endif
}

static inline void lwc_rseq_load(const struct lwc_rseq *rseq)
{
	current->rseq = rseq->area;
	current->rseq_sig = rseq->signature;
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 3, 0)
	current->rseq_len = rseq->length;
#endif
}

#endif /* LWC_KERNEL_COMPAT_H */
