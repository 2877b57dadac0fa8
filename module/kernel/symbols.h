/* SPDX-License-Identifier: GPL-2.0 */
/*
 * kernel/symbols.h - kernel functions that are not exported to modules.
 *
 * Each is resolved once, at load, and called by static_call(), which patches
 * a direct call into place: no retpoline on the hot path, and no indirect
 * call, which the processor would answer with #CP where the target's ENDBR
 * was sealed (IBT). What a kernel header declares is taken from there by
 * typeof(), so that a changed signature is a build error and never a guess.
 *
 * Nothing but this room may look a symbol up.
 */
#ifndef LWC_KERNEL_SYMBOLS_H
#define LWC_KERNEL_SYMBOLS_H

#include <linux/capability.h>
#include <linux/coredump.h>
#include <linux/dnotify.h>
#include <linux/fdtable.h>
#include <linux/file.h>
#include <linux/fs_struct.h>
#include <linux/ftrace.h>
#include <linux/huge_mm.h>
#include <linux/hugetlb.h>
#include <linux/khugepaged.h>
#include <linux/ksm.h>
#include <linux/mempolicy.h>
#include <linux/mm.h>
#include <linux/mmu_context.h>
#include <linux/nsproxy.h>
#include <linux/oom.h>
#include <linux/pgtable.h>
#include <linux/restart_block.h>
#include <linux/rmap.h>
#include <linux/sched/mm.h>
#include <linux/seccomp.h>
#include <linux/security.h>
#include <linux/static_call.h>
#include <linux/swap.h>
#include <linux/uprobes.h>
#include <linux/user_namespace.h>
#include <asm/fpu/sched.h>
#include <asm/fpu/signal.h>
#include <asm/fsgsbase.h>
#include <asm/mmu_context.h>
#include <asm/tlbflush.h>

/* enum sig_handler of kernel/signal.c. */
enum lwc_sig_handler {
	LWC_HANDLER_CURRENT,
	LWC_HANDLER_SIG_DFL,
	LWC_HANDLER_EXIT,
};

/*
 * Static functions, and one that its header hides from modules, have no
 * declaration to take: these are theirs, checked by hand against every series
 * that lwc_kernel_is_known() lists.
 */
void flush_tlb_mm_range(struct mm_struct *mm, unsigned long start, unsigned long end,
			unsigned int stride_shift, bool freed_tables);
int __ptrace_may_access(struct task_struct *task, unsigned int mode);
long do_seccomp(unsigned int op, unsigned int flags, void __user *uargs);
int elf_core_dump(struct coredump_params *params);
long __x64_sys_remap_file_pages(const struct pt_regs *regs);
long __ia32_sys_remap_file_pages(const struct pt_regs *regs);
int force_sig_info_to_task(struct kernel_siginfo *info, struct task_struct *task,
			   enum lwc_sig_handler handler);

#ifdef CONFIG_PER_VMA_LOCK
/* Before, their header was for all to see. */
int split_vma(struct vma_iterator *vmi, struct vm_area_struct *vma, unsigned long address,
	      int new_below);
void unlink_file_vma(struct vm_area_struct *vma);
#endif

#ifdef CONFIG_SCHED_MM_CID
#define LWC_SYMBOLS_MM_CID(f)		\
	f(sched_mm_cid_before_execve)	\
	f(sched_mm_cid_after_execve)
#else
#define LWC_SYMBOLS_MM_CID(f)
#endif

/* Before 6.2 each task caches up to 64 page counts of its mm. */
#ifdef SPLIT_RSS_COUNTING
#define LWC_SYMBOLS_RSS(f)		\
	f(sync_mm_rss)
#else
#define LWC_SYMBOLS_RSS(f)
#endif

#ifdef CONFIG_NUMA
#define LWC_SYMBOLS_NUMA(f)		\
	f(__mpol_equal)			\
	f(__mpol_put)			\
	f(vma_dup_policy)
#else
#define LWC_SYMBOLS_NUMA(f)
#endif

/* Without security modules this one is inline, around the other two. */
#ifdef CONFIG_SECURITY
#define LWC_SYMBOLS_SECURITY(f)		\
	f(security_vm_enough_memory_mm)
#else
#define LWC_SYMBOLS_SECURITY(f)		\
	f(__vm_enough_memory)		\
	f(cap_vm_enough_memory)
#endif

#ifdef CONFIG_TRANSPARENT_HUGEPAGE
#define LWC_SYMBOLS_HUGE(f)		\
	f(__split_huge_pmd)
#else
#define LWC_SYMBOLS_HUGE(f)
#endif

#ifdef CONFIG_DNOTIFY
#define LWC_SYMBOLS_DNOTIFY(f)		\
	f(dnotify_flush)
#else
#define LWC_SYMBOLS_DNOTIFY(f)
#endif

#define LWC_SYMBOLS(f)			\
	f(__khugepaged_enter)		\
	f(__ksm_enter)			\
	f(__mm_populate)		\
	f(anon_vma_fork)		\
	f(copy_fs_struct)		\
	f(copy_page_range)		\
	f(dec_rlimit_ucounts)		\
	f(do_munmap)			\
	f(dup_fd)			\
	f(f_dupfd)			\
	f(find_lock_task_mm)		\
	f(flush_tlb_mm_range)		\
	f(free_fs_struct)		\
	f(free_nsproxy)			\
	f(ftrace_location)		\
	f(get_mm_exe_file)		\
	f(get_seccomp_filter)		\
	f(handle_mm_fault)		\
	f(has_ns_capability_noaudit)	\
	f(hugetlb_dup_vma_private)	\
	f(inc_rlimit_ucounts)		\
	f(ldt_dup_context)		\
	f(lru_add_drain)		\
	f(lru_gen_add_mm)		\
	f(membarrier_update_current_mm)	\
	f(mm_alloc)			\
	f(ptracer_capable)		\
	f(put_files_struct)		\
	f(restore_fpregs_from_fpstate)	\
	f(save_fpregs_to_fpstate)	\
	f(seccomp_filter_release)	\
	f(split_vma)			\
	f(switch_mm_irqs_off)		\
	f(unlink_anon_vmas)		\
	f(unlink_file_vma)		\
	f(untrack_pfn_clear)		\
	f(uprobe_dup_mmap)		\
	f(uprobe_end_dup_mmap)		\
	f(uprobe_start_dup_mmap)	\
	f(vm_area_dup)			\
	f(vm_area_free)			\
	f(vm_stat_account)		\
	f(vma_interval_tree_insert)	\
	f(vma_interval_tree_insert_after)	\
	f(vma_set_page_prot)		\
	f(x86_gsbase_read_cpu_inactive)	\
	f(x86_gsbase_write_cpu_inactive)	\
	f(zap_page_range_single)	\
	LWC_SYMBOLS_DNOTIFY(f)		\
	LWC_SYMBOLS_HUGE(f)		\
	LWC_SYMBOLS_MM_CID(f)		\
	LWC_SYMBOLS_NUMA(f)		\
	LWC_SYMBOLS_RSS(f)		\
	LWC_SYMBOLS_SECURITY(f)

#define LWC_DECLARE_SYMBOL(symbol)	DECLARE_STATIC_CALL(lwc_##symbol, symbol);
LWC_SYMBOLS(LWC_DECLARE_SYMBOL)
#undef LWC_DECLARE_SYMBOL

/* Calls a function of the list above. */
#define kernel_call(symbol)		static_call(lwc_##symbol)

/* What restart_block.fn is when nothing is to be restarted. */
extern typeof(do_no_restart_syscall) *lwc_do_no_restart_syscall;

/* What has been promised to programs (vm.overcommit_memory), in pages. */
extern struct percpu_counter *lwc_committed;

/* How many mappings an address space may have. */
extern const int *lwc_max_map_count;

/**
 * lwc_symbols_resolve() - find every function of the list
 *
 * Says which is missing. Return: 0 or -ENOENT.
 */
int lwc_symbols_resolve(void);

/**
 * lwc_symbol_address() - where a function of the kernel is
 * @name: its name
 *
 * Valid after lwc_symbols_resolve(). Return: the address, or 0.
 */
unsigned long lwc_symbol_address(const char *name);

#endif /* LWC_KERNEL_SYMBOLS_H */
