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

static bool is_hidden(const struct lwc_context *context)
{
	return context->private || lwc_mm_is_hidden(context->mm);
}

/* What a sample has of a thread's registers and memory. */
#define LWC_SAMPLE_STATE	(PERF_SAMPLE_REGS_USER | PERF_SAMPLE_REGS_INTR | \
				 PERF_SAMPLE_STACK_USER | PERF_SAMPLE_CALLCHAIN | \
				 PERF_SAMPLE_BRANCH_STACK | PERF_SAMPLE_ADDR | PERF_SAMPLE_RAW)

/*
 * Who opened an event; NULL: someone who has ended, so that it is held by someone
 * whom nobody asks. Under RCU.
 */
static struct task_struct *owner_of(const struct perf_event *event)
{
	return READ_ONCE((event->parent ?: event)->owner);
}

/* Is it someone's who could not trace the current task in @ns? */
static bool is_intruder(const struct perf_event *event, struct user_namespace *ns)
{
	struct task_struct *owner = owner_of(event);

	return !owner || !kernel_call(has_ns_capability_noaudit)(owner, ns, CAP_SYS_PTRACE);
}

/* Is it of the current task's own process, and says more than where the thread is? */
static bool is_sibling(const struct perf_event *event)
{
	struct task_struct *owner = owner_of(event);

	return (event->attr.sample_type & LWC_SAMPLE_STATE) &&
	       (!owner || same_thread_group(owner, current));
}

/* Does it only count? Others say what is mapped, or where the processor has been. */
static bool is_counter(const struct perf_event *event)
{
	const struct perf_event_attr *attr = &event->attr;

	if (attr->sample_period)
		return false;
	return (!event->pmu->setup_aux && !attr->mmap && !attr->mmap2 && !attr->mmap_data &&
		!attr->comm && !attr->context_switch) || lwc_broken(RECORDER_COMES_ALONG);
}

/* What is to be asked of an event that watches the current task. */
static int sampler_refused(const struct perf_event *event, const struct lwc_context *target)
{
	if (is_counter(event) || owner_of(event) == LWC_PERF_KERNEL_OWNER)
		return 0;
	if (is_hidden(target) && is_intruder(event, target->mm->user_ns) &&
	    !lwc_broken(SAMPLER_COMES_ALONG))
		return -EPERM;
	if (is_sibling(event) && !lwc_broken(SAMPLED_BY_SIBLING))
		return -EOPNOTSUPP;
	return 0;
}

int lwc_samplers_refused(const struct lwc_context *target)
{
	struct perf_event_context *events;
	const struct perf_event *event;
	unsigned int i;
	int err = 0;

	/* Interrupts are off, so it is not scheduled, which may exchange the lists. */
	local_irq_disable();
	rcu_read_lock();
	for (i = 0; i < LWC_PERF_CONTEXTS; i++) {
		events = lwc_perf_context(i);
		if (!events)
			continue;
		raw_spin_lock(&events->lock);
		list_for_each_entry(event, &events->event_list, event_entry)
			err = err ?: sampler_refused(event, target);
		raw_spin_unlock(&events->lock);
	}
	rcu_read_unlock();
	local_irq_enable();
	return err;
}

int lwc_watchers_refused(const struct lwc_context *target)
{
	if (unlikely(current->ptrace) && is_hidden(target) &&
	    !kernel_call(ptracer_capable)(current, target->mm->user_ns) &&
	    !lwc_broken(TRACER_COMES_ALONG))
		return -EPERM;
	return lwc_samplers_refused(target);
}

void lwc_mm_hide(struct mm_struct *mm)
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
	lwc_mm_hide(place->context->mm);
}

void lwc_private_forget(struct task_struct *task)
{
	struct fpstate *fpstate = task->thread.fpu.fpstate;
	struct pt_regs *regs = task_pt_regs(task);
	const struct pt_regs before = *regs;

	memset(regs, 0, sizeof(*regs));
	/* What says whose format they are in. */
	regs->cs = before.cs;
	regs->ss = before.ss;
	/* In no system call, of which there would be arguments. */
	regs->orig_ax = -1;
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
			lwc_private_forget(thread->task);
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
	err = lwc_hooks_find(&hook, 1);
	if (err)
		return err;
	static_call_update(original_core_dump, (typeof(elf_core_dump) *)hook.original);
	return lwc_hooks_install(&hook, 1);
}

void lwc_private_exit(void)
{
	if (!hook.address)
		return;
	lwc_hooks_remove(&hook, 1);
}
