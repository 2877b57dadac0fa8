// SPDX-License-Identifier: GPL-2.0
/*
 * mm.c - duplicates address spaces and moves the current task between them.
 *
 * duplicate_mappings() does what the kernel's dup_mmap() does, step by step
 * and in its order, with functions that are global in every kernel (dup_mmap()
 * itself is static, and inlined in some). It must never take a shortcut of its
 * own: rmap, accounting and the page-table copy rely on each step.
 */
#include <linux/binfmts.h>
#include <linux/fs.h>
#include <linux/maple_tree.h>
#include <linux/mman.h>
#include <linux/module.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/shmem_fs.h>
#include <linux/userfaultfd_k.h>

#include "broken.h"
#include "kernel/compat.h"
#include "memory.h"
#include "mm.h"
#include "stats.h"
#include "tables.h"

/*
 * Who memory is charged to. An mm that is shared with another process (vfork,
 * CLONE_VM) may belong to that one, and stays its.
 */
void lwc_mm_set_owner(struct mm_struct *mm, struct task_struct *owner)
{
#ifdef CONFIG_MEMCG
	struct task_struct *before;

	rcu_read_lock();
	before = rcu_dereference(mm->owner);
	if (!before || same_thread_group(before, owner))
		rcu_assign_pointer(mm->owner, owner);
	rcu_read_unlock();
#endif
}

static void copy_exe_file(struct mm_struct *mm, struct mm_struct *source)
{
	struct file *exe_file = kernel_call(get_mm_exe_file)(source);

	RCU_INIT_POINTER(mm->exe_file, exe_file);
	/* The source has denied writing already, so this cannot fail. */
	if (exe_file && exe_file_deny_write_access(exe_file))
		pr_warn_once("the program's file is open for writing\n");
}

/* What a program may change by prctl(2), brk(2), membarrier(2), pkey_alloc(2). */
static void copy_bounds(struct mm_struct *mm, struct mm_struct *source)
{
	mm->start_code = source->start_code;
	mm->end_code = source->end_code;
	mm->start_data = source->start_data;
	mm->end_data = source->end_data;
	mm->start_brk = source->start_brk;
	mm->brk = source->brk;
	mm->start_stack = source->start_stack;
	mm->arg_start = source->arg_start;
	mm->arg_end = source->arg_end;
	mm->env_start = source->env_start;
	mm->env_end = source->env_end;
	memcpy(mm->saved_auxv, source->saved_auxv, sizeof(mm->saved_auxv));
	mm->def_flags = source->def_flags & VM_INIT_DEF_MASK;
	atomic_set(&mm->membarrier_state, atomic_read(&source->membarrier_state));
	mm->context.vdso = source->context.vdso;
#ifdef CONFIG_X86_INTEL_MEMORY_PROTECTION_KEYS
	mm->context.pkey_allocation_map = source->context.pkey_allocation_map;
	mm->context.execute_only_pkey = source->context.execute_only_pkey;
#endif
}

/* The rest of it, for an mm that nobody has seen yet. */
static void copy_layout(struct mm_struct *mm, struct mm_struct *source)
{
	mm->mmap_base = source->mmap_base;
	mm->mmap_legacy_base = source->mmap_legacy_base;
#ifdef CONFIG_HAVE_ARCH_COMPAT_MMAP_BASES
	mm->mmap_compat_base = source->mmap_compat_base;
	mm->mmap_compat_legacy_base = source->mmap_compat_legacy_base;
#endif
	mm->task_size = source->task_size;
	mm->flags = mmf_init_flags(source->flags);
	mm->context.vdso_image = source->context.vdso_image;
	mm->context.flags = source->context.flags;
	copy_bounds(mm, source);
	lwc_copy_mm_layout(mm, source);
}

void lwc_mm_link_to_file(struct vm_area_struct *vma, struct vm_area_struct *origin)
{
	struct address_space *mapping = vma->vm_file->f_mapping;

	get_file(vma->vm_file);
	i_mmap_lock_write(mapping);
	if (vma_is_shared_maywrite(vma))
		mapping_allow_writable(mapping);
	flush_dcache_mmap_lock(mapping);
	if (origin)
		kernel_call(vma_interval_tree_insert_after)(vma, origin, &mapping->i_mmap);
	else
		kernel_call(vma_interval_tree_insert)(vma, &mapping->i_mmap);
	flush_dcache_mmap_unlock(mapping);
	i_mmap_unlock_write(mapping);
}

/* One that is in no tree yet. */
static void free_duplicate(struct vm_area_struct *vma)
{
	kernel_call(unlink_anon_vmas)(vma);
	lwc_put_policy(vma);
	kernel_call(vm_area_free)(vma);
}

/* What of @origin lies from @start to @end, linked with nothing. */
static struct vm_area_struct *part_of(struct vm_area_struct *origin, unsigned long start,
				      unsigned long end)
{
	struct vm_area_struct *part = kernel_call(vm_area_dup)(origin);

	if (!part)
		return NULL;
	part->vm_start = start;
	part->vm_end = end;
	part->vm_pgoff = origin->vm_pgoff + ((start - origin->vm_start) >> PAGE_SHIFT);
	return part;
}

/* The part of a duplicated range that may fail before anyone can see it. */
static struct vm_area_struct *duplicate_vma(struct mm_struct *mm, struct vm_area_struct *origin,
					    unsigned long start, unsigned long end)
{
	struct vm_area_struct *vma = part_of(origin, start, end);

	if (!vma)
		return NULL;
	/* copy_page_range() takes care of what memory types are tracked. */
	if (vma->vm_flags & VM_PFNMAP)
		kernel_call(untrack_pfn_clear)(vma);
	if (lwc_dup_policy(origin, vma))
		goto free_vma;
	vma->vm_mm = mm;
#ifdef CONFIG_USERFAULTFD
	vma->vm_userfaultfd_ctx = NULL_VM_UFFD_CTX;
	vm_flags_clear(vma, __VM_UFFD_FLAGS);
#endif
	if (vma->vm_flags & VM_WIPEONFORK)
		vma->anon_vma = NULL;
	else if (kernel_call(anon_vma_fork)(vma, origin))
		goto free_policy;
	vm_flags_clear(vma, VM_LOCKED_MASK);
	if (is_vm_hugetlb_page(vma))
		kernel_call(hugetlb_dup_vma_private)(vma);
	return vma;

free_policy:
	lwc_put_policy(vma);
free_vma:
	kernel_call(vm_area_free)(vma);
	return NULL;
}

/* A duplicate that is in the tree of its mm becomes known to its file and driver. */
static void link_duplicate(struct vm_area_struct *vma, struct vm_area_struct *origin)
{
	vma->vm_mm->map_count++;
	if (vma->vm_ops && vma->vm_ops->open)
		vma->vm_ops->open(vma);
	/* Behind it in the order of where they begin. */
	if (vma->vm_file)
		lwc_mm_link_to_file(vma, vma->vm_pgoff == origin->vm_pgoff ? origin : NULL);
}

/* Both mmap locks are held for writing. */
static int duplicate_vmas(struct mm_struct *mm, struct mm_struct *source,
			  const struct lwc_memory *memory)
{
	MA_STATE(old, &source->mm_mt, 0, 0);
	MA_STATE(new, &mm->mm_mt, 0, 0);
	struct vm_area_struct *origin, *vma;
	int err;

	err = mas_expected_entries(&new, source->map_count);
	if (err)
		return err;
	mt_clear_in_rcu(new.tree);
	mas_for_each(&old, origin, ULONG_MAX) {
		vma_start_write(origin);
		if ((origin->vm_flags & VM_DONTCOPY) || lwc_memory_hides(memory, origin)) {
			kernel_call(vm_stat_account)(mm, origin->vm_flags, -vma_pages(origin));
			continue;
		}
		err = -EINTR;
		if (fatal_signal_pending(current))
			break;
		err = -ENOMEM;
		vma = duplicate_vma(mm, origin, origin->vm_start, origin->vm_end);
		if (!vma)
			break;
		/* Nothing that follows fails before exit_mmap() would undo this. */
		if ((vma->vm_flags & VM_ACCOUNT) && lwc_commit_memory(source, vma_pages(vma))) {
			free_duplicate(vma);
			break;
		}
		new.index = vma->vm_start;
		new.last = vma->vm_end - 1;
		/* mas_expected_entries() has set aside what this needs. */
		mas_store(&new, vma);
		if (WARN_ON_ONCE(lwc_mas_is_err(&new))) {
			free_duplicate(vma);
			break;
		}
		link_duplicate(vma, origin);
		err = 0;
		if (!(vma->vm_flags & VM_WIPEONFORK))
			err = kernel_call(copy_page_range)(vma, origin);
		if (err)
			break;
	}
	if (!err)
		err = kernel_call(ldt_dup_context)(source, mm);
	mas_destroy(&new);
	mt_set_in_rcu(new.tree);
	return err;
}

struct vm_area_struct *lwc_mm_graft(struct mm_struct *mm, struct vm_area_struct *origin,
				    unsigned long start, unsigned long end)
{
	MA_STATE(mas, &mm->mm_mt, start, end - 1);
	struct vm_area_struct *vma;

	vma_start_write(origin);
	vma = duplicate_vma(mm, origin, start, end);
	if (!vma)
		return NULL;
	vma_start_write(vma);
	vm_flags_set(vma, VM_SOFTDIRTY);
	if (mas_store_gfp(&mas, vma, GFP_KERNEL)) {
		free_duplicate(vma);
		return NULL;
	}
	kernel_call(vm_stat_account)(mm, vma->vm_flags, vma_pages(vma));
	link_duplicate(vma, origin);
	return vma;
}

/* So that a part of a mapping ends where it ends. */
static void split_huge_page_at(struct vm_area_struct *vma, unsigned long address)
{
	pmd_t *pmd = lwc_find_pmd(vma->vm_mm, address);

	if (pmd && (address & ~PMD_MASK) && lwc_is_huge(READ_ONCE(*pmd)))
		lwc_split_huge_pmd(vma, pmd, address & PMD_MASK);
}

int lwc_mm_graft_pages(struct vm_area_struct *vma, struct vm_area_struct *origin)
{
	struct vm_area_struct *part;
	int err;

	if (vma->vm_flags & VM_WIPEONFORK)
		return 0;
	part = part_of(origin, vma->vm_start, vma->vm_end);
	if (!part)
		return -ENOMEM;
	vma_start_write(part);
	if (vma->vm_start > origin->vm_start)
		split_huge_page_at(origin, vma->vm_start);
	if (vma->vm_end < origin->vm_end)
		split_huge_page_at(origin, vma->vm_end);
	err = kernel_call(copy_page_range)(vma, part);
	if (err)
		kernel_call(zap_page_range_single)(vma, vma->vm_start,
						   vma->vm_end - vma->vm_start, NULL);
	kernel_call(vm_area_free)(part);
	return err;
}

static int duplicate_mappings(struct mm_struct *mm, struct mm_struct *source, bool frozen,
			      struct lwc_memory *memory)
{
	int err;

	kernel_call(uprobe_start_dup_mmap)();
	if (mmap_write_lock_killable(source)) {
		kernel_call(uprobe_end_dup_mmap)();
		return -EINTR;
	}
	/* Before the next, which adds to the flags. */
	copy_layout(mm, source);
	kernel_call(uprobe_dup_mmap)(source, mm);
	/* Nobody else knows of it, so there is nothing to deadlock with. */
	mmap_write_lock_nested(mm, SINGLE_DEPTH_NESTING);

	copy_exe_file(mm, source);
	mm->total_vm = source->total_vm;
	mm->data_vm = source->data_vm;
	mm->exec_vm = source->exec_vm;
	mm->stack_vm = source->stack_vm;

	err = duplicate_vmas(mm, source, memory);
#ifdef CONFIG_KSM
	if (!err && !frozen && test_bit(MMF_VM_MERGEABLE, &source->flags))
		err = kernel_call(__ksm_enter)(mm);
#endif
#ifdef CONFIG_TRANSPARENT_HUGEPAGE
	if (!err && !frozen && test_bit(MMF_VM_HUGEPAGE, &source->flags))
		kernel_call(__khugepaged_enter)(mm);
#endif
	/* Every mapping is there to be found; what follows may take its time. */
	kernel_call(uprobe_end_dup_mmap)();
	/* The last that may fail: it changes the source. */
	if (!err && memory)
		err = lwc_memory_apply(memory, mm, source);
	mmap_write_unlock(mm);
	/* Pages that both have now are read-only in the source. */
	kernel_call(flush_tlb_mm_range)(source, 0, TLB_FLUSH_ALL, 0, true);
	mmap_write_unlock(source);
	return err;
}

void lwc_mm_copy_bounds(struct mm_struct *mm, struct mm_struct *source)
{
	unsigned long now = READ_ONCE(mm->flags), then;

	copy_bounds(mm, source);
	/* Others set bits of their own at any time. */
	do {
		then = (now & ~MMF_INIT_MASK) | mmf_init_flags(source->flags);
	} while (then != now && !try_cmpxchg(&mm->flags, &now, then));
}

struct mm_struct *lwc_mm_duplicate(struct mm_struct *source, struct task_struct *owner,
				   bool frozen, struct lwc_memory *memory)
{
	struct mm_struct *mm = kernel_call(mm_alloc)();
	int err;

	if (!mm)
		return ERR_PTR(-ENOMEM);
	put_user_ns(mm->user_ns);
	mm->user_ns = get_user_ns(source->user_ns);
	lwc_mm_set_owner(mm, owner);

	/* mmput() puts the module of mm->binfmt, so it is set only once got. */
	err = -ENOMEM;
	if (source->binfmt && !try_module_get(source->binfmt->module))
		goto put_mm;
	mm->binfmt = source->binfmt;
	err = duplicate_mappings(mm, source, frozen, memory);
	if (err)
		goto put_mm;
	lwc_count(duplicates);
	mm->hiwater_rss = get_mm_rss(mm);
	mm->hiwater_vm = mm->total_vm;

	/* As fork() does: under the lock that cgroup migration takes. */
	task_lock(current);
	kernel_call(lru_gen_add_mm)(mm);
	task_unlock(current);
	return mm;

put_mm:
	lwc_mm_disown(mm, owner);
	mmput(mm);
	return ERR_PTR(err);
}

bool lwc_mm_has_state_of_its_own(const struct mm_struct *mm)
{
	if (mm->def_flags & VM_LOCKED)
		return true;
#ifdef CONFIG_AIO
	return rcu_access_pointer(mm->ioctx_table);
#else
	return false;
#endif
}

static bool vma_lacks_duplicate(struct vm_area_struct *vma)
{
	if (vma->vm_flags & (VM_DONTCOPY | VM_LOCKED | VM_LOCKONFAULT))
		return true;
	if (userfaultfd_armed(vma))
		return true;
	/* A duplicate has no reservation and may be killed at the next write. */
	return is_vm_hugetlb_page(vma) && !(vma->vm_flags & VM_SHARED);
}

bool lwc_mm_lacks_duplicate(struct mm_struct *mm)
{
	MA_STATE(mas, &mm->mm_mt, 0, 0);
	struct vm_area_struct *vma;

	lockdep_assert_held(&mm->mmap_lock);
	mas_for_each(&mas, vma, ULONG_MAX) {
		if (vma_lacks_duplicate(vma))
			return true;
	}
	return false;
}

bool lwc_mm_reads_file(struct vm_area_struct *vma)
{
	/* /dev/zero is a file, too. */
	return vma->vm_file && !vma_is_anonymous(vma) && !is_vm_hugetlb_page(vma) &&
	       !shmem_mapping(vma->vm_file->f_mapping);
}

bool lwc_mm_is_at_hand(struct vm_area_struct *vma, unsigned long address)
{
	struct page *page;
	bool at_hand;

	if (!lwc_mm_reads_file(vma) || lwc_broken(FILE_WAITED_FOR))
		return true;
	page = find_get_page(vma->vm_file->f_mapping, linear_page_index(vma, address));
	if (!page)
		return false;
	at_hand = PageUptodate(page) && !PageLocked(page);
	put_page(page);
	return at_hand;
}

void lwc_mm_visit(struct mm_struct *mm)
{
	lwc_mm_leave();
	task_lock(current);
	local_irq_disable();
	lwc_mm_enter_irqs_off(mm);
	local_irq_enable();
	task_unlock(current);
	lwc_mm_entered();
}

int lwc_mm_unmap(struct mm_struct *mm, unsigned long start, unsigned long end)
{
	struct mm_struct *own = current->mm;
	int err;

	/* It counts what it has unmapped in the current task's mm (since 6.12). */
	if (mm != own)
		lwc_mm_visit(mm);
	err = kernel_call(do_munmap)(mm, start, end - start, NULL);
	if (mm != own)
		lwc_mm_visit(own);
	return err;
}

void lwc_mm_disown(struct mm_struct *mm, struct task_struct *owner)
{
#ifdef CONFIG_MEMCG
	struct task_struct __force **slot = (struct task_struct __force **)&mm->owner;
	struct task_struct *process, *task;

	if (cmpxchg(slot, owner, NULL) != owner || !atomic_read(&mm->mm_users))
		return;
	/* A task outside of the process may go on in it: as mm_update_next_owner(). */
	rcu_read_lock();
	for_each_process_thread(process, task) {
		if (READ_ONCE(task->mm) != mm || (task->flags & PF_KTHREAD))
			continue;
		task_lock(task);
		if (task->mm == mm)
			cmpxchg(slot, NULL, task);
		task_unlock(task);
		break;
	}
	rcu_read_unlock();
#endif
}

void lwc_mm_put(struct mm_struct *mm, struct task_struct *owner)
{
	if (!mm)
		return;
	mmput(mm);
	lwc_mm_disown(mm, owner);
	mmdrop(mm);
}
