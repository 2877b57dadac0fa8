// SPDX-License-Identifier: GPL-2.0
/*
 * trap.c - faults become switches and rollbacks.
 *
 * The kernel tells a task of its own fault by force_sig_info_to_task(), which is
 * replaced here for threads that may want to hear of it otherwise. That may be
 * called with interrupts off, so nothing is done there but to take the fault down
 * and to queue a task_work. It runs before the thread is in user space again, and
 * before a signal is delivered: there the thread goes elsewhere, or gets the
 * signal after all, by the kernel's own function.
 *
 * Must never sleep in the replacement, and never swallow a fault.
 */
#include <linux/ftrace.h>
#include <linux/rcupdate.h>
#include <linux/sched/signal.h>
#include <linux/signal.h>
#include <linux/uaccess.h>
#include <asm/syscall.h>

#include "broken.h"
#include "context.h"
#include "kernel/compat.h"
#include "kernel/hook.h"
#include "kernel/symbols.h"
#include "process.h"
#include "rollback.h"
#include "stats.h"
#include "switch.h"
#include "trap.h"

#define LWC_FAULTS	(sigmask(SIGSEGV) | sigmask(SIGBUS) | sigmask(SIGILL) | \
			 sigmask(SIGFPE) | sigmask(SIGTRAP) | sigmask(SIGSYS))

/* How long the instruction is that makes a system call, of whatever kind. */
#define LWC_SYSCALL_SIZE	2

DEFINE_STATIC_CALL_NULL(original_force_sig, force_sig_info_to_task);

static bool is_in_system_call(void)
{
	return syscall_get_nr(current, current_pt_regs()) != -1;
}

/* Is it one that the current task's own instructions have raised? */
static bool is_fault(int sig, enum lwc_sig_handler handler)
{
	if (!siginmask(sig, LWC_FAULTS))
		return false;
	/* The end of a program, or of a thread, that cannot go on. */
	if (current->in_execve || (current->flags & (PF_EXITING | PF_KTHREAD)))
		return false;
	/* Of those that must kill there is one that is a fault: SIGSEGV's own frame. */
	if (handler != LWC_HANDLER_CURRENT &&
	    !(handler == LWC_HANDLER_SIG_DFL && sig == SIGSEGV))
		return false;
	/* What breakpoints and single steps are made of belongs to the debugger. */
	if (sig == SIGTRAP && current->ptrace)
		return false;
	/* The instruction does not stand where it was found: uprobes put it right. */
	if (lwc_in_uprobe())
		return false;
	/*
	 * A call may go on with something else, to run guests for example, where what is
	 * queued is run as well. Frames that cannot be read or written, and calls that are
	 * not made, are all that is told on the way out.
	 */
	return !is_in_system_call() || sig == SIGSEGV || sig == SIGSYS;
}

/* Is anyone told of its faults? Whether that works is seen later. */
static bool may_be_told(const struct lwc_thread *thread)
{
	/* Only the thread itself goes elsewhere. */
	const struct lwc_context *context = thread->context;

	return context->traps_faults || !list_empty(&context->snapshots);
}

static bool concerns_fault(const struct pt_regs *regs)
{
	const struct kernel_siginfo *info = (const struct kernel_siginfo *)regs->di;
	const struct lwc_thread *thread;

	if (regs->si != (unsigned long)current || !in_task() ||
	    !is_fault(info->si_signo, (enum lwc_sig_handler)regs->dx))
		return false;
	thread = lwc_thread_find(current);
	return thread && may_be_told(thread);
}

/* Ordinary signals have no address; what is there then is zero. */
static void __user *address_of(const struct kernel_siginfo *info)
{
	return info->si_signo == SIGSYS ? info->si_call_addr : info->si_addr;
}

/* Return: 0 if the fault has become an event. */
static int become_event(struct lwc_thread *thread, const struct kernel_siginfo *info)
{
	struct lwc_event event = {
		.created = -1,
		.caller = -1,
		.reason = LWC_EV_FAULT,
		.nr = info->si_signo,
		.fault.addr = (unsigned long)address_of(info),
		.fault.ip = current_pt_regs()->ip,
		.fault.code = info->si_code,
	};
	struct lwc_event __user *to;

	/* The call was not made: it is what is to be made again. */
	if (info->si_signo == SIGSYS && is_in_system_call())
		event.fault.ip -= LWC_SYSCALL_SIZE;
	if (lwc_broken(FAULT_SKIPPED))
		event.fault.ip += LWC_SYSCALL_SIZE;

	if (!list_empty(&thread->context->snapshots) &&
	    !lwc_rollback_at_fault(thread, &event, &to)) {
		/* Not once more, or there would be no end of it. */
		if (copy_to_user(to, &event, sizeof(event))) {
			struct kernel_siginfo lost = { .si_signo = SIGSEGV, .si_code = SI_KERNEL };

			static_call(original_force_sig)(&lost, current, LWC_HANDLER_CURRENT);
		}
		return 0;
	}
	return lwc_switch_at_fault(thread, &event);
}

static void fault_work(struct callback_head *work)
{
	struct lwc_thread *thread = container_of(work, struct lwc_thread, fault.work);
	/* The next one may come while this one is delivered. */
	struct lwc_fault fault = thread->fault;

	thread->fault.pending = false;
	if (!lwc_thread_dequeue(thread))
		return;
	if ((current->flags & PF_EXITING) || fatal_signal_pending(current))
		return;
	if (!become_event(thread, &fault.info))
		lwc_count(faults);
	else
		static_call(original_force_sig)(&fault.info, current, fault.handler);
}

/* Return: false if nothing can be queued any more. */
static bool take_down(struct lwc_thread *thread, const struct kernel_siginfo *info,
		      enum lwc_sig_handler handler)
{
	struct lwc_fault *fault = &thread->fault;

	/* A second one on the same way out: as for signals, the first is told. */
	if (fault->pending) {
		fault->handler = max(fault->handler, handler);
		return true;
	}
	fault->info = *info;
	fault->handler = handler;
	fault->pending = lwc_thread_queue(thread, &fault->work, fault_work);
	return fault->pending;
}

static int trapped_force_sig(struct kernel_siginfo *info, struct task_struct *task,
			     enum lwc_sig_handler handler)
{
	struct lwc_thread *thread;
	int err = 0;

	lwc_hook_enter();
	rcu_read_lock();
	/* Its own record: only the task itself takes it away, later. */
	thread = lwc_thread_find(current);
	rcu_read_unlock();
	if (!thread || !take_down(thread, info, handler))
		err = static_call(original_force_sig)(info, task, handler);
	lwc_hook_leave();
	return err;
}

static struct lwc_hook hook = {
	.name = "force_sig_info_to_task",
	.concerns = concerns_fault,
	.replacement = trapped_force_sig,
};

int lwc_trap_init(void)
{
	int err = lwc_hooks_find(&hook, 1);

	if (err)
		return err;
	static_call_update(original_force_sig, (typeof(force_sig_info_to_task) *)hook.original);
	return lwc_hooks_install(&hook, 1);
}

void lwc_trap_exit(void)
{
	lwc_hooks_remove(&hook, 1);
}
