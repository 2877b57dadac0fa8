// SPDX-License-Identifier: GPL-2.0
/*
 * private.c - keeps debuggers, profilers and core dumps out of private contexts.
 *
 * The lever is the kernel's own: an address space that is not "dumpable" is out of
 * the reach of whoever lacks CAP_SYS_PTRACE, through every interface that asks for
 * that; it makes no core dump either. What does not ask is dealt with here: the
 * arguments in /proc/PID/cmdline, profilers that were there before, and the
 * registers of all threads in the core dump of any of them.
 *
 * Must never take anything from a thread that can still return to user space.
 */
#include <linux/binfmts.h>
#include <linux/coredump.h>
#include <linux/perf_event.h>
#include <linux/ptrace.h>
#include <linux/sched/signal.h>
#include <linux/sched/task_stack.h>
#include <linux/signal.h>

#include "broken.h"
#include "kernel/hook.h"
#include "kernel/symbols.h"
#include "private.h"
#include "stats.h"

DEFINE_STATIC_CALL_NULL(original_core_dump, elf_core_dump);

/* What writes the core dump of a program such as the current one; 0: nothing. */
static unsigned long dumper_of_current(void)
{
#ifdef CONFIG_COREDUMP
	const struct linux_binfmt *format = current->mm ? current->mm->binfmt : NULL;

	return format ? (unsigned long)format->core_dump : 0;
#else
	return 0;
#endif
}

static bool is_sampler(const struct perf_event *event, struct user_namespace *ns)
{
	const struct perf_event *opened = event->parent ?: event;
	struct task_struct *owner = READ_ONCE(opened->owner);

	if (!event->attr.sample_period || owner == LWC_PERF_KERNEL_OWNER)
		return false;
	/* Whose owner has ended is held by someone whom nobody asks. */
	return !owner || !kernel_call(has_ns_capability_noaudit)(owner, ns, CAP_SYS_PTRACE);
}

/* Does anyone sample the current task's registers who could not trace it in @ns? */
static bool is_sampled(struct user_namespace *ns)
{
	struct perf_event_context *events;
	struct perf_event *event;
	bool found = false;
	unsigned int i;

	/* Interrupts are off, so it is not scheduled, which may exchange the lists. */
	local_irq_disable();
	rcu_read_lock();
	for (i = 0; i < LWC_PERF_CONTEXTS; i++) {
		events = lwc_perf_context(i);
		if (!events)
			continue;
		raw_spin_lock(&events->lock);
		list_for_each_entry(event, &events->event_list, event_entry)
			found |= is_sampler(event, ns);
		raw_spin_unlock(&events->lock);
	}
	rcu_read_unlock();
	local_irq_enable();
	return found;
}

int lwc_watchers_refused(const struct lwc_context *target)
{
	struct user_namespace *ns = target->mm->user_ns;

	if (!target->private && !lwc_mm_is_hidden(target->mm))
		return 0;
	if (unlikely(current->ptrace) && !kernel_call(ptracer_capable)(current, ns) &&
	    !lwc_broken(TRACER_COMES_ALONG))
		return -EPERM;
	if (is_sampled(ns) && !lwc_broken(SAMPLER_COMES_ALONG))
		return -EPERM;
	return 0;
}

static void hide(struct mm_struct *mm)
{
	if (!lwc_broken(DUMPABLE_INSIDE))
		set_mask_bits(&mm->flags, MMF_DUMPABLE_MASK, SUID_DUMP_DISABLE);
	/* Anyone may read what they point to. */
	if (!(mm->arg_end | mm->env_end) || lwc_broken(ARGUMENTS_SHOW))
		return;
	spin_lock(&mm->arg_lock);
	mm->arg_start = 0;
	mm->arg_end = 0;
	mm->env_start = 0;
	mm->env_end = 0;
	spin_unlock(&mm->arg_lock);
}

void lwc_private_enter(struct lwc_place *place)
{
	if (!lwc_broken(SIGNALS_COME_IN))
		siginitsetinv(&place->blocked, sigmask(SIGKILL) | sigmask(SIGSTOP));
	hide(place->context->mm);
}

/* @task ends, and is stopped on its way until the dump is written. */
static void forget_registers(struct task_struct *task)
{
	struct fpstate *fpstate = task->thread.fpu.fpstate;
	struct pt_regs *regs = task_pt_regs(task);
	const struct pt_regs before = *regs;

	memset(regs, 0, sizeof(*regs));
	/* What says whose format they are in. */
	regs->cs = before.cs;
	regs->ss = before.ss;
	memset(&fpstate->regs, 0, fpstate->size);
	task->thread.fsbase = 0;
	task->thread.gsbase = 0;
	task->thread.pkru = 0;
}

static bool has_other_threads(const struct pt_regs *regs)
{
	return current->signal->core_state && current->signal->core_state->dumper.next;
}

/* The memory in it is that of the thread which crashed, the registers those of all. */
static int guarded_core_dump(struct coredump_params *params)
{
	const struct core_thread *thread;
	int dumped;

	lwc_hook_enter();
	for (thread = current->signal->core_state->dumper.next; thread; thread = thread->next) {
		const struct mm_struct *mm = thread->task->mm;

		if (mm && mm != current->mm && lwc_mm_is_hidden(mm) &&
		    !lwc_broken(REGISTERS_DUMPED))
			forget_registers(thread->task);
	}
	dumped = static_call(original_core_dump)(params);
	lwc_hook_leave();
	return dumped;
}

static struct lwc_hook hook = {
	.name = "elf_core_dump",
	.concerns = has_other_threads,
	.replacement = guarded_core_dump,
};

bool lwc_private_supported(void)
{
	const unsigned long dumper = dumper_of_current();

	return !dumper || dumper == hook.address;
}

int lwc_private_init(void)
{
	int err;

	/* The one that loads modules; the name is that of the one for 32 bits as well. */
	hook.address = dumper_of_current();
	if (!hook.address)
		return 0;
	err = lwc_hook_find(&hook);
	if (err)
		return err;
	static_call_update(original_core_dump, (typeof(elf_core_dump) *)hook.original);
	return lwc_hook_install(&hook);
}

void lwc_private_exit(void)
{
	if (!hook.address)
		return;
	lwc_hook_remove(&hook);
	lwc_hooks_drain();
}
