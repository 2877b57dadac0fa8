// SPDX-License-Identifier: GPL-2.0
/*
 * place.c - saves and loads what a thread is in one context.
 *
 * Must never sleep in the extended-state part, and never touch another
 * task: every function works on current.
 */
#include <linux/entry-common.h>
#include <linux/kprobes.h>
#include <linux/slab.h>
#include <linux/sched/task_stack.h>
#include <linux/signal.h>
#include <asm/fpu/api.h>
#include <asm/fpu/xstate.h>
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
	/* A larger buffer (AMX) is none that lwc_place_fits(). */
	if (!current->thread.fpu.fpstate->is_valloc)
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

static u64 read_selectors(void)
{
	u64 fs, gs, ds, es;

	savesegment(fs, fs);
	savesegment(gs, gs);
	savesegment(ds, ds);
	savesegment(es, es);
	return fs | gs << 16 | ds << 32 | es << 48;
}

/* Saving and loading go through one list, in one order, with interrupts off. */
static __always_inline void save(struct lwc_place *place)
{
	place->regs = *current_pt_regs();
	place->regs.ax = 0;
	/* Not in a system call: nothing is restarted on the way out. */
	place->regs.orig_ax = -1;

	place->selectors = read_selectors();
	lwc_read_bases(&place->fsbase, &place->gsbase);
	place->pkru = read_pkru();
	place->cpu = smp_processor_id();

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
	place->dispatch_on = current_thread_info()->syscall_work &
			     SYSCALL_WORK_SYSCALL_USER_DISPATCH;
	if (unlikely(place->dispatch_on))
		place->dispatch = current->syscall_dispatch;
}

/* All but the bases, the protection keys and the signal mask. */
static __always_inline void load(const struct lwc_place *place)
{
	*current_pt_regs() = place->regs;

	lwc_rseq_load(&place->rseq);
	if (IS_ENABLED(CONFIG_SCHED_MM_CID) || unlikely(place->cpu != smp_processor_id()))
		rseq_migrate(current);

	current->sas_ss_sp = place->sas_ss_sp;
	current->sas_ss_size = place->sas_ss_size;
	current->sas_ss_flags = place->sas_ss_flags;
	current->robust_list = place->robust_list;
#ifdef CONFIG_COMPAT
	current->compat_robust_list = place->compat_robust_list;
#endif
	current->clear_child_tid = place->clear_child_tid;
	if (unlikely(place->dispatch_on)) {
		current->syscall_dispatch = place->dispatch;
		set_syscall_work(SYSCALL_USER_DISPATCH);
	} else if (unlikely(test_syscall_work(SYSCALL_USER_DISPATCH))) {
		clear_syscall_work(SYSCALL_USER_DISPATCH);
	}
	/* What was interrupted elsewhere is not restarted here: EINTR. */
	current->restart_block.fn = lwc_do_no_restart_syscall;
}

/* Loading a selector clobbers its base, so bases come after. */
static void load_segments(const struct lwc_place *place)
{
	const unsigned short fs = place->selectors, gs = place->selectors >> 16;
	const unsigned short ds = place->selectors >> 32, es = place->selectors >> 48;

	if (unlikely(place->selectors | read_selectors())) {
		loadsegment(fs, fs);
		load_gs_index(gs);
		loadsegment(ds, ds);
		loadsegment(es, es);
	}
	current->thread.fsindex = fs;
	current->thread.gsindex = gs;
	current->thread.fsbase = place->fsbase;
	current->thread.gsbase = place->gsbase;
	if (!lwc_broken(NO_FS_BASE))
		x86_fsbase_write_cpu(place->fsbase);
	kernel_call(x86_gsbase_write_cpu_inactive)(place->gsbase);
}

static bool same_segments(const struct lwc_place *a, const struct lwc_place *b)
{
	return !(a->selectors | b->selectors |
		 (a->fsbase ^ b->fsbase) | (a->gsbase ^ b->gsbase));
}

#define LWC_RARE_FLAGS	(_TIF_NOTIFY_RESUME | _TIF_FORCED_TF)

/* What save() has left out, for @flags of LWC_RARE_FLAGS. */
static noinline void save_rare(struct lwc_place *place, unsigned long flags)
{
	/* Whoever has moved to another CPU is marked so, to have the area written. */
	if (flags & _TIF_NOTIFY_RESUME)
		place->cpu = -1;
	/* A debugger that steps the thread steps it, not this place. */
	if (flags & _TIF_FORCED_TF)
		place->regs.flags &= ~X86_EFLAGS_TF;
}

/*
 * As a switch of tasks does it. Where the registers are in the buffer already
 * (TIF_NEED_FPU_LOAD) the way back to user space loads them, from wherever
 * the pointer points.
 */
static void switch_extended(struct fpstate *next, unsigned long flags)
{
	struct fpu *fpu = &current->thread.fpu;

	if (lwc_broken(NO_FPU_SAVE))
		return;
	if (unlikely(flags & _TIF_NEED_FPU_LOAD)) {
		fpu->fpstate = next;
		fpu->last_cpu = -1;
		return;
	}
	kernel_call(save_fpregs_to_fpstate)(fpu);
	fpu->fpstate = next;
	kernel_call(restore_fpregs_from_fpstate)(next, XFEATURE_MASK_FPSTATE);
}

void lwc_place_exchange(struct lwc_place *from, const struct lwc_place *to)
{
	const unsigned long flags = read_thread_flags();

	lockdep_assert_irqs_disabled();
	save(from);
	load(to);
	if (unlikely(flags & LWC_RARE_FLAGS)) {
		save_rare(from, flags);
		if (flags & _TIF_FORCED_TF)
			current_pt_regs()->flags |= X86_EFLAGS_TF;
	}
	if (unlikely(!same_segments(from, to)))
		load_segments(to);
	if (unlikely(from->pkru != to->pkru) && !lwc_broken(NO_PKRU))
		write_pkru(to->pkru);
	switch_extended(to->fpstate, flags);
}

/* A breakpoint in lwc_read_bases() would be taken with the wrong base. */
NOKPROBE_SYMBOL(lwc_place_exchange);

void lwc_place_set_mask(const struct lwc_place *place)
{
	sigset_t blocked = place->blocked;

	if (!lwc_broken(NO_SIGNAL_MASK))
		sigprocmask(SIG_SETMASK, &blocked, NULL);
}

void lwc_place_save(struct lwc_place *place)
{
	local_irq_disable();
	save(place);
	save_rare(place, read_thread_flags());
	local_irq_enable();
}

NOKPROBE_SYMBOL(lwc_place_save);

void lwc_place_load(const struct lwc_place *place)
{
	u64 selectors;
	unsigned long fsbase, gsbase;

	local_irq_disable();
	load(place);
	if (test_thread_flag(TIF_FORCED_TF))
		current_pt_regs()->flags |= X86_EFLAGS_TF;
	selectors = read_selectors();
	lwc_read_bases(&fsbase, &gsbase);
	if (unlikely((selectors | place->selectors) || fsbase != place->fsbase ||
		     gsbase != place->gsbase))
		load_segments(place);
	if (!lwc_broken(NO_PKRU))
		write_pkru(place->pkru);
	local_irq_enable();
	lwc_place_load_mask(place);
}

NOKPROBE_SYMBOL(lwc_place_load);

void lwc_place_copy(struct lwc_place *to, const struct lwc_place *from)
{
	const struct lwc_place before = *to;

	*to = *from;
	to->of_thread = before.of_thread;
	to->of_context = before.of_context;
	to->thread = before.thread;
	to->context = before.context;
	to->fpstate = before.fpstate;
	to->fpstate_memory = before.fpstate_memory;
	memcpy(to->fpstate, from->fpstate, offsetof(struct fpstate, regs) + from->fpstate->size);
	to->fpstate->is_valloc = 0;
}

/*
 * The state is in the registers, as a rule, and stays there: it goes to the copy and
 * comes from it as it would at a switch of tasks. Interrupts are off, as who
 * uses the registers in one saves them by the task's own pointer.
 */
void lwc_place_copy_extended(struct lwc_place *place)
{
	struct fpu *fpu = &current->thread.fpu;
	struct fpstate *own, *copy = place->fpstate;

	local_irq_disable();
	own = fpu->fpstate;
	memcpy(copy, own, offsetof(struct fpstate, regs));
	copy->is_valloc = 0;
	if (unlikely(test_thread_flag(TIF_NEED_FPU_LOAD))) {
		memcpy(&copy->regs, &own->regs, own->size);
	} else {
		fpu->fpstate = copy;
		kernel_call(save_fpregs_to_fpstate)(fpu);
		fpu->fpstate = own;
	}
	local_irq_enable();
}

void lwc_place_restore_extended(const struct lwc_place *place)
{
	struct fpu *fpu = &current->thread.fpu;

	local_irq_disable();
	if (unlikely(test_thread_flag(TIF_NEED_FPU_LOAD))) {
		memcpy(&fpu->fpstate->regs, &place->fpstate->regs, fpu->fpstate->size);
		fpu->last_cpu = -1;
	} else {
		kernel_call(restore_fpregs_from_fpstate)(place->fpstate, XFEATURE_MASK_FPSTATE);
	}
	local_irq_enable();
}
