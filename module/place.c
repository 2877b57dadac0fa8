// SPDX-License-Identifier: GPL-2.0
/*
 * place.c - saves and loads what a thread is in one context.
 *
 * Must never sleep in the extended-state part, and never touch another
 * task: every function works on current.
 */
#include <linux/entry-common.h>
#include <linux/slab.h>
#include <linux/sched/task_stack.h>
#include <linux/signal.h>
#include <asm/fpu/api.h>
#include <asm/fsgsbase.h>
#include <asm/pkru.h>
#include <asm/segment.h>

#include "broken.h"
#include "place.h"

struct lwc_place *lwc_place_alloc(void)
{
	const struct fpstate *now = current->thread.fpu.fpstate;
	struct lwc_place *place;
	size_t size;

	place = kzalloc(sizeof(*place), GFP_KERNEL_ACCOUNT);
	if (!place)
		return NULL;
	/* XSAVE wants 64 bytes of alignment; kmalloc() may give 8. */
	/* The structure's own size has the largest state of all processors in it. */
	size = offsetof(struct fpstate, regs) + now->size + __alignof__(*now);
	place->fpstate_memory = kzalloc(size, GFP_KERNEL_ACCOUNT);
	if (!place->fpstate_memory) {
		kfree(place);
		return NULL;
	}
	place->fpstate = PTR_ALIGN(place->fpstate_memory, __alignof__(*now));
	INIT_LIST_HEAD(&place->of_thread);
	INIT_LIST_HEAD(&place->of_context);
	return place;
}

struct lwc_place *lwc_place_adopt(void)
{
	struct lwc_place *place = kzalloc(sizeof(*place), GFP_KERNEL_ACCOUNT);

	if (!place)
		return NULL;
	place->fpstate = current->thread.fpu.fpstate;
	INIT_LIST_HEAD(&place->of_thread);
	INIT_LIST_HEAD(&place->of_context);
	return place;
}

void lwc_place_free(struct lwc_place *place)
{
	if (!place)
		return;
	kfree(place->fpstate_memory);
	kfree(place);
}

void lwc_place_leave_buffers(void)
{
	struct fpu *fpu = &current->thread.fpu;

	preempt_disable();
	/* A larger buffer that the kernel allocated is the kernel's to free. */
	if (!fpu->fpstate->is_valloc)
		fpu->fpstate = &fpu->__fpstate;
	preempt_enable();
}

void lwc_place_save(struct lwc_place *place)
{
	place->regs = *current_pt_regs();
	place->regs.ax = 0;
	/* Not in a system call: nothing is restarted on the way out. */
	place->regs.orig_ax = -1;
	/* A debugger that steps the thread steps it, not this place. */
	if (test_thread_flag(TIF_FORCED_TF))
		place->regs.flags &= ~X86_EFLAGS_TF;

	savesegment(fs, place->fs);
	savesegment(gs, place->gs);
	savesegment(ds, place->ds);
	savesegment(es, place->es);
	if (!lwc_broken(NO_FS_BASE))
		place->fsbase = x86_fsbase_read_cpu();
	place->gsbase = kernel_call(x86_gsbase_read_cpu_inactive)();
	place->pkru = read_pkru();
	place->cpu = raw_smp_processor_id();

	place->blocked = current->blocked;
	place->sas_ss_sp = current->sas_ss_sp;
	place->sas_ss_size = current->sas_ss_size;
	place->sas_ss_flags = current->sas_ss_flags;
	place->robust_list = current->robust_list;
#ifdef CONFIG_COMPAT
	place->compat_robust_list = current->compat_robust_list;
#endif
	place->clear_child_tid = current->clear_child_tid;
	lwc_rseq_save(&place->rseq);
	place->dispatch = current->syscall_dispatch;
	place->dispatch_on = test_syscall_work(SYSCALL_USER_DISPATCH);
}

static void load_segments(const struct lwc_place *place)
{
	unsigned short now;

	/* Loading a selector clobbers its base, so bases come after. */
	savesegment(fs, now);
	if (unlikely(now | place->fs))
		loadsegment(fs, place->fs);
	savesegment(gs, now);
	if (unlikely(now | place->gs))
		load_gs_index(place->gs);
	savesegment(ds, now);
	if (unlikely(now | place->ds))
		loadsegment(ds, place->ds);
	savesegment(es, now);
	if (unlikely(now | place->es))
		loadsegment(es, place->es);
	current->thread.fsindex = place->fs;
	current->thread.gsindex = place->gs;
	current->thread.fsbase = place->fsbase;
	current->thread.gsbase = place->gsbase;
	if (!lwc_broken(NO_FS_BASE))
		x86_fsbase_write_cpu(place->fsbase);
	kernel_call(x86_gsbase_write_cpu_inactive)(place->gsbase);
}

void lwc_place_load(const struct lwc_place *place)
{
	*current_pt_regs() = place->regs;
	if (test_thread_flag(TIF_FORCED_TF))
		current_pt_regs()->flags |= X86_EFLAGS_TF;

	preempt_disable();
	load_segments(place);
	if (!lwc_broken(NO_PKRU))
		write_pkru(place->pkru);
	lwc_rseq_load(&place->rseq);
	/*
	 * The area in the context's memory names the CPU that it was last
	 * written on: not that of the save where an event was pending.
	 */
	if (IS_ENABLED(CONFIG_SCHED_MM_CID) || place->rseq.event_mask ||
	    place->cpu != smp_processor_id())
		rseq_migrate(current);
	preempt_enable();

	if (!lwc_broken(NO_SIGNAL_MASK) && !sigequalsets(&current->blocked, &place->blocked)) {
		sigset_t blocked = place->blocked;

		sigprocmask(SIG_SETMASK, &blocked, NULL);
	}
	current->sas_ss_sp = place->sas_ss_sp;
	current->sas_ss_size = place->sas_ss_size;
	current->sas_ss_flags = place->sas_ss_flags;
	current->robust_list = place->robust_list;
#ifdef CONFIG_COMPAT
	current->compat_robust_list = place->compat_robust_list;
#endif
	current->clear_child_tid = place->clear_child_tid;
	current->syscall_dispatch = place->dispatch;
	if (unlikely(place->dispatch_on))
		set_syscall_work(SYSCALL_USER_DISPATCH);
	else if (unlikely(test_syscall_work(SYSCALL_USER_DISPATCH)))
		clear_syscall_work(SYSCALL_USER_DISPATCH);
	/* What was interrupted elsewhere is not restarted here: EINTR. */
	current->restart_block.fn = lwc_do_no_restart_syscall;
}

/*
 * kernel_fpu_begin_mask(0) leaves the registers saved in the buffer in use
 * and nothing loaded; the way back to user space loads fpu->fpstate.
 */
void lwc_place_switch_extended(const struct lwc_place *next)
{
	struct fpu *fpu = &current->thread.fpu;

	if (lwc_broken(NO_FPU_SAVE))
		return;
	kernel_fpu_begin_mask(0);
	fpu->fpstate = next->fpstate;
	fpu->last_cpu = -1;
	kernel_fpu_end();
}

void lwc_place_copy_extended(struct lwc_place *place)
{
	const struct fpstate *now = current->thread.fpu.fpstate;

	kernel_fpu_begin_mask(0);
	memcpy(place->fpstate, now, offsetof(struct fpstate, regs) + now->size);
	kernel_fpu_end();
	place->fpstate->is_valloc = 0;
}

void lwc_place_restore_extended(const struct lwc_place *place)
{
	struct fpu *fpu = &current->thread.fpu;

	kernel_fpu_begin_mask(0);
	memcpy(&fpu->fpstate->regs, &place->fpstate->regs, fpu->fpstate->size);
	fpu->last_cpu = -1;
	kernel_fpu_end();
}
