// SPDX-License-Identifier: GPL-2.0
/*
 * switch.c - the hot path and nothing else.
 *
 * docs/switch.md says what each step costs. What is rare is in functions of
 * its own, out of line; what remains is straight, and must never sleep but for
 * the locks, nor loop over contexts or descriptors.
 *
 * Everything that can fail comes before move(): a failed call changes
 * nothing. After it the ioctl's own struct file belongs to a table that the
 * task has left, and must not be touched.
 */
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/uaccess.h>

#include "broken.h"
#include "context.h"
#include "files.h"
#include "kept.h"
#include "kernel/compat.h"
#include "mm.h"
#include "place.h"
#include "private.h"
#include "process.h"
#include "stats.h"
#include "switch.h"

static __always_inline int probe(struct lwc_event __user *to)
{
	u64 __user *first = (u64 __user *)to;
	u64 __user *last = first + sizeof(*to) / sizeof(u64) - 1;
	u64 before;

	if (!user_access_begin(to, sizeof(*to)))
		return -EFAULT;
	/* What is there stays there, for a call that fails. */
	unsafe_get_user(before, first, fault);
	unsafe_put_user(before, first, fault);
	unsafe_get_user(before, last, fault);
	unsafe_put_user(before, last, fault);
	user_access_end();
	return 0;

fault:
	user_access_end();
	return -EFAULT;
}

int lwc_event_probe(struct lwc_event __user *to)
{
	return probe(to);
}

void lwc_event_deliver(struct lwc_event __user *to, const struct lwc_event *event)
{
	const u64 *word = (const u64 *)event;
	u64 __user *slot = (u64 __user *)to;
	unsigned int i;

	BUILD_BUG_ON(sizeof(*event) % sizeof(*word));
	if (!user_write_access_begin(to, sizeof(*to)))
		goto lost;
	for (i = 0; i < sizeof(*event) / sizeof(*word); i++)
		unsafe_put_user(word[i], &slot[i], fault);
	user_write_access_end();
	return;

fault:
	user_write_access_end();
lost:
	force_sig(SIGSEGV);
}

/* The system call that came here has put its result where the place has a value. */
static void restore_result(struct callback_head *work)
{
	struct lwc_thread *thread = container_of(work, struct lwc_thread, resume_work);

	if (lwc_thread_dequeue(thread))
		current_pt_regs()->ax = thread->place->regs.ax;
}

/* The current task is in a place that it had left by a fault. */
static noinline void resume_at_fault(void)
{
	struct lwc_thread *thread;

	rcu_read_lock();
	/* Its own record: only the task itself takes it away, later. */
	thread = lwc_thread_find(current);
	rcu_read_unlock();
	lwc_thread_queue(thread, &thread->resume_work, restore_result);
}

/* As lwc_event_deliver(), for an event of a switch, which is in registers. */
static __always_inline void deliver(struct lwc_event __user *to, int caller, u64 arg)
{
	if (!user_write_access_begin(to, sizeof(*to)))
		goto lost;
	unsafe_put_user(-1, &to->created, fault);
	unsafe_put_user(caller, &to->caller, fault);
	unsafe_put_user(LWC_EV_SWITCH, &to->reason, fault);
	unsafe_put_user(0, &to->nr, fault);
	unsafe_put_user(arg, &to->arg, fault);
	/* What a switch does not fill is zero; not a loop, as it would stay one. */
	unsafe_put_user(0, &to->syscall.args[0], fault);
	unsafe_put_user(0, &to->syscall.args[1], fault);
	unsafe_put_user(0, &to->syscall.args[2], fault);
	unsafe_put_user(0, &to->syscall.args[3], fault);
	unsafe_put_user(0, &to->syscall.args[4], fault);
	unsafe_put_user(0, &to->syscall.args[5], fault);
	unsafe_put_user(0, &to->syscall.ip, fault);
	user_write_access_end();
	return;

fault:
	user_write_access_end();
lost:
	/* Who was left by a fault does not wait to be told. */
	if (to == LWC_AT_FAULT)
		resume_at_fault();
	else
		force_sig(SIGSEGV);
}

/* Why the current thread has no place somewhere. */
static noinline int no_place(const struct lwc_context *target)
{
	struct lwc_thread *thread = lwc_thread_current(target->process);

	if (IS_ERR(thread))
		return PTR_ERR(thread);
	return target->torn ? -ENOTRECOVERABLE : -ENXIO;
}

/* The current thread's place in @target. A context has as many as threads know it. */
static __always_inline struct lwc_place *own_place(const struct lwc_context *target)
{
	struct lwc_place *place;

	list_for_each_entry(place, &target->places, of_context) {
		if (likely(place->thread->task == current))
			return place;
	}
	return ERR_PTR(no_place(target));
}

/* What stands at a fault is for the one who was told of it. */
static __always_inline bool is_anothers_fault(const struct lwc_place *place,
					      const struct lwc_context *target,
					      const struct lwc_context *from)
{
	return unlikely(place->event == LWC_AT_FAULT) && from != target->creator &&
	       !lwc_broken(FAULT_OF_ANYONE);
}

/*
 * May whoever may look at the current task look at @target as well? If not,
 * they have to be kept out while it goes there.
 */
static enum lwc_exclusion exclusion_for(const struct lwc_context *target)
{
	if (unlikely(lwc_powers_differ(&target->powers) ||
		     READ_ONCE(target->looks) != lwc_looks(current->mm)))
		return LWC_EXCLUDE_TRACERS;
	return LWC_EXCLUDE_NOBODY;
}

/* May the current task take on what @target may do, which is not what it may now? */
static noinline int other_powers_refused(const struct lwc_context *target)
{
	/* What was read without the lock has changed meanwhile. */
	if (target->process->exclusion < exclusion_for(target))
		return -EAGAIN;
	return lwc_powers_refused(&target->powers);
}

/* May the current task go where other people may look at it? */
static noinline int other_looks_refused(const struct lwc_context *target)
{
	if (lwc_looks_differ(target) && target->process->exclusion < LWC_EXCLUDE_TRACERS)
		return -EAGAIN;
	return lwc_watchers_refused(target);
}

/* The first time, or the descriptor is gone. Nobody may look at the table meanwhile. */
static noinline int name_caller(struct lwc_thread *thread, struct lwc_context *target)
{
	int caller;

	lwc_transit_begin(thread);
	caller = lwc_descriptor_for_caller(target, thread->context);
	lwc_transit_end(thread);
	return caller;
}

/* Nothing keeps @left alive but a thread in it, perhaps. */
static noinline void unlock_and_end(struct lwc_process *process, struct lwc_context *left)
{
	LIST_HEAD(doomed);

	lwc_context_doom_unused(left, &doomed);
	lwc_process_unlock(process);
	lwc_context_bury(&doomed);
}

/* The references that the task brings into @context (see context.h). */
static noinline void take_references(struct lwc_context *context)
{
	if (!lwc_broken(MISSING_REFERENCE))
		mmget(context->mm);
	atomic_inc(&context->files->count);
	lwc_fs_get(context->fs);
}

/* The references that the task had in @context. None of them is the last. */
static noinline void leave_references(struct lwc_context *context)
{
	if (!context->owned) {
		context->owned = true;
		return;
	}
	mmput(context->mm);
	kernel_call(put_files_struct)(context->files);
	lwc_fs_put(context->fs);
}

/* @changes: what the task may do, at the target. */
static __always_inline void move(struct lwc_thread *thread, struct lwc_place *place,
				 bool changes)
{
	struct lwc_context *before = thread->context, *next = place->context;
	struct lwc_process *process = thread->process;
	const bool threaded = unlikely(process->threaded);

	if (threaded) {
		take_references(next);
		lwc_mm_take_back(before->mm, process->leader);
		lwc_mm_take_back(next->mm, process->leader);
	} else {
		next->owned = false;
		before->owned = true;
	}

	WRITE_ONCE(before->looks, lwc_looks(before->mm));
	if (unlikely(next->private))
		lwc_private_enter(place);
	lwc_transit_begin(thread);
	lwc_mm_leave();
	task_lock(current);
	local_irq_disable();
	lwc_place_exchange(thread->place, place);
	lwc_mm_enter_irqs_off(next->mm);
	local_irq_enable();
	current->files = next->files;
	current->fs = next->fs;
	task_unlock(current);
	lwc_mm_entered();
	if (unlikely(changes))
		lwc_powers_enter(&next->powers);
	lwc_transit_end(thread);

	lwc_place_load_mask(place);
	if (threaded)
		leave_references(before);
	thread->context = next;
	thread->place = place;
}

/*
 * With the process's lock held. On success @left is the context that was left,
 * and @to where the target wants to be told.
 *
 * Return: what the target calls the caller, or the error.
 */
static __always_inline int switch_locked(struct lwc_context *target,
					 struct lwc_event __user *event,
					 struct lwc_event __user **to,
					 struct lwc_context **left)
{
	const struct lwc_powers now = lwc_powers_peek();
	struct lwc_context *before;
	struct lwc_thread *thread;
	struct lwc_place *place;
	bool changes;
	int err, caller;

	if (unlikely(!target->alive))
		return -ESRCH;
	place = own_place(target);
	if (IS_ERR(place))
		return PTR_ERR(place);
	thread = place->thread;
	before = thread->context;
	err = lwc_context_settle(before);
	if (unlikely(err))
		return err;
	if (unlikely(before == target))
		return -EDEADLK;
	if (is_anothers_fault(place, target, before))
		return -EPERM;
	err = lwc_switch_refused(thread);
	if (unlikely(err))
		return err;
	if (unlikely(!lwc_powers_match(&before->powers, &now)))
		lwc_powers_update(&before->powers);
	changes = !lwc_powers_match(&target->powers, &now);
	if (unlikely(changes)) {
		err = other_powers_refused(target);
		if (err)
			return err;
	}
	if (unlikely(lwc_looks_differ(target) || lwc_is_profiled())) {
		err = other_looks_refused(target);
		if (err)
			return err;
	}
	caller = lwc_descriptor_known(target, before);
	if (unlikely(caller < 0))
		caller = name_caller(thread, target);
	if (unlikely(caller < 0))
		return caller;

	thread->place->event = event;
	move(thread, place, changes);
	lwc_count(switches);
	*to = place->event;
	*left = before;
	return caller;
}

/* The same for those who are in less of a hurry, once for all of them. */
static noinline int switch_rarely(struct lwc_context *target, struct lwc_event __user *event,
				  struct lwc_event __user **to, struct lwc_context **left)
{
	return switch_locked(target, event, to, left);
}

/*
 * @target goes back to its kept state. All that may refuse the switch to that is
 * asked first, and the caller gets its name in it: what follows cannot fail.
 */
static int freshen(struct lwc_context *target, struct lwc_thread *thread, struct lwc_reset *reset)
{
	struct lwc_place *place;
	int err, caller;

	if (thread->context == target)
		return -EDEADLK;
	err = lwc_switch_refused(thread);
	if (err)
		return err;
	err = lwc_kept_refused(target, thread);
	if (err)
		return err;
	place = own_place(target->kept);
	if (IS_ERR(place))
		return PTR_ERR(place);
	if (is_anothers_fault(place, target, thread->context))
		return -EPERM;
	/* What it is now, and what it is about to be. */
	err = lwc_powers_refused(&target->kept->powers) ?: lwc_watchers_refused(target) ?:
	      lwc_watchers_refused(target->kept);
	if (err)
		return err;
	caller = lwc_descriptor_known(target->kept, thread->context);
	if (caller < 0)
		caller = name_caller(thread, target->kept);
	if (caller < 0)
		return caller;
	err = lwc_kept_prepare(target, thread, reset);
	if (err)
		return err;
	err = lwc_kept_restore(reset);
	/* Whoever has a place there would go into what is half of this, half of that. */
	if (target->torn)
		lwc_context_forget_places(target);
	return err;
}

/* As switch_locked(), with LWC_FRESH and LWC_DISCARD. */
static int switch_resetting_locked(struct lwc_context *target, unsigned int flags,
				   struct lwc_event __user *event, struct lwc_event __user **to,
				   struct lwc_reset *fresh, struct lwc_reset *discarded,
				   struct list_head *doomed)
{
	struct lwc_context *left;
	struct lwc_thread *thread;
	int err, caller;

	if (!target->alive)
		return -ESRCH;
	thread = lwc_thread_current(target->process);
	if (IS_ERR(thread))
		return PTR_ERR(thread);
	if (flags & LWC_DISCARD) {
		err = lwc_kept_refused(thread->context, thread);
		if (!err)
			err = lwc_kept_prepare(thread->context, thread, discarded);
		if (err)
			return err;
	}
	if (flags & LWC_FRESH) {
		err = freshen(target, thread, fresh);
		if (err)
			return err;
	}
	caller = switch_rarely(target, event, to, &left);
	if (caller < 0)
		return caller;
	/* Nothing keeps it alive but a thread in it, perhaps. */
	if (!lwc_context_is_kept(left)) {
		lwc_context_doom_unused(left, doomed);
	} else if ((flags & LWC_DISCARD) && lwc_kept_restore(discarded)) {
		/* Its thread is gone from it, and whatever it did must not be met again. */
		left->torn = true;
		lwc_context_forget_places(left);
	}
	return caller;
}

static noinline long switch_resetting(struct lwc_context *target, unsigned int flags, u64 arg,
				      struct lwc_event __user *event)
{
	struct lwc_process *process = target->process;
	struct lwc_reset fresh = { .places = LIST_HEAD_INIT(fresh.places) };
	struct lwc_reset discarded = { .places = LIST_HEAD_INIT(discarded.places) };
	struct lwc_event __user *to;
	LIST_HEAD(doomed);
	int err, caller;

	err = lwc_process_lock(process, LWC_EXCLUDE_TRACERS);
	if (err)
		return err;
	caller = switch_resetting_locked(target, flags, event, &to, &fresh, &discarded, &doomed);
	lwc_process_unlock(process);
	lwc_context_bury(&doomed);
	lwc_reset_end(&fresh, process);
	lwc_reset_end(&discarded, process);
	if (caller < 0)
		return caller;
	deliver(to, caller, arg);
	return 0;
}

long lwc_switch(struct lwc_descriptor *descriptor, unsigned int flags, u64 arg,
		struct lwc_event __user *event)
{
	struct lwc_context *target = descriptor->context, *left;
	struct lwc_process *process = target->process;
	struct lwc_event __user *to;
	enum lwc_exclusion exclusion;
	int err, caller;

	if (flags & ~LWC_SWITCH_FLAGS)
		return -EINVAL;
	if (target->snapshot)
		return -EINVAL;
	if (!(READ_ONCE(descriptor->rights) & LWC_MAY_SWITCH))
		return -EPERM;
	if ((flags & LWC_FRESH) && !(READ_ONCE(descriptor->rights) & LWC_MAY_KEEP))
		return -EPERM;
	err = probe(event);
	if (err)
		return err;
	if (unlikely(flags))
		return switch_resetting(target, flags, arg, event);
	for (exclusion = exclusion_for(target);; exclusion = LWC_EXCLUDE_TRACERS) {
		err = lwc_process_lock(process, exclusion);
		if (unlikely(err))
			return err;
		caller = switch_locked(target, event, &to, &left);
		if (likely(caller >= 0))
			break;
		lwc_process_unlock(process);
		if (caller != -EAGAIN)
			return caller;
	}
	/* @descriptor is another table's now. */
	if (likely(lwc_context_is_kept(left)))
		lwc_process_unlock(process);
	else
		unlock_and_end(process, left);
	deliver(to, caller, arg);
	/* As lwc_place_save() has it. */
	return 0;
}

int lwc_switch_at_fault(struct lwc_thread *thread, struct lwc_event *event)
{
	struct lwc_context *target = thread->context->creator, *left;
	struct lwc_process *process = thread->process;
	struct lwc_place *place = thread->place;
	const unsigned long ax = current_pt_regs()->ax;
	struct lwc_event __user *to;
	enum lwc_exclusion exclusion;
	int err, caller;

	if (!thread->context->traps_faults)
		return -ENOENT;
	for (exclusion = exclusion_for(target);; exclusion = LWC_EXCLUDE_TRACERS) {
		err = lwc_process_lock(process, exclusion);
		if (err)
			return err;
		caller = switch_rarely(target, LWC_AT_FAULT, &to, &left);
		if (caller >= 0)
			break;
		lwc_process_unlock(process);
		if (caller != -EAGAIN)
			return caller;
	}
	/* What lwc_place_save() has is the return from a system call; this is none. */
	place->regs.ax = ax;
	place->regs.ip = event->fault.ip;
	if (lwc_context_is_kept(left))
		lwc_process_unlock(process);
	else
		unlock_and_end(process, left);
	event->caller = caller;
	lwc_event_deliver(to, event);
	return 0;
}
