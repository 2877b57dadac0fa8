// SPDX-License-Identifier: GPL-2.0
/*
 * switch.c - the hot path and nothing else.
 *
 * Everything that can fail comes before leave(): a failed call changes
 * nothing. After the swap the ioctl's own struct file belongs to a table that
 * the task has left, and must not be touched.
 */
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/uaccess.h>

#include "broken.h"
#include "context.h"
#include "files.h"
#include "kernel/compat.h"
#include "mm.h"
#include "place.h"
#include "process.h"
#include "stats.h"
#include "switch.h"

int lwc_event_probe(struct lwc_event __user *to)
{
	u64 __user *first = (u64 __user *)to;
	u64 __user *last = first + sizeof(*to) / sizeof(u64) - 1;
	u64 before;

	/* What is there stays there, for a call that fails. */
	if (get_user(before, first) || put_user(before, first) ||
	    get_user(before, last) || put_user(before, last))
		return -EFAULT;
	return 0;
}

void lwc_event_deliver(struct lwc_event __user *to, const struct lwc_event *event)
{
	if (copy_to_user(to, event, sizeof(*event)))
		force_sig(SIGSEGV);
}

int lwc_switch_refused(const struct lwc_thread *thread)
{
	if (current->io_uring || lwc_task_has_shadow_stack())
		return -EOPNOTSUPP;
	if (current->cred != current->real_cred)
		return -EOPNOTSUPP;
	/* A larger buffer for extended state (AMX), then or now. */
	if (current->thread.fpu.fpstate->is_valloc)
		return -EOPNOTSUPP;
	return lwc_place_fits(thread->place) ? 0 : -EOPNOTSUPP;
}

void lwc_transit_begin(struct lwc_thread *thread)
{
	WRITE_ONCE(thread->transits, thread->transits + 1);
	/* Odd before anything moves: pairs with fget_sibling(). */
	smp_wmb();
}

void lwc_transit_end(struct lwc_thread *thread)
{
	/* Even once all has moved: pairs with fget_sibling(). */
	smp_wmb();
	WRITE_ONCE(thread->transits, thread->transits + 1);
}

static struct lwc_place *find_place(struct lwc_thread *thread, struct lwc_context *target)
{
	struct lwc_place *place;

	list_for_each_entry(place, &thread->places, of_thread) {
		if (place->context == target)
			return place;
	}
	return NULL;
}

/*
 * May whoever may look at the current task look at @target as well? If not,
 * they have to be kept out while it goes there.
 */
static enum lwc_exclusion exclusion_for(const struct lwc_context *target)
{
	if (unlikely(lwc_powers_differ(&target->powers)))
		return LWC_EXCLUDE_TRACERS;
	return LWC_EXCLUDE_NOBODY;
}

/* The references that the task brings into @context (see context.h). */
static void take_references(struct lwc_process *process, struct lwc_context *context)
{
	if (context->owned && !process->threaded) {
		context->owned = false;
		return;
	}
	if (!lwc_broken(MISSING_REFERENCE))
		mmget(context->mm);
	atomic_inc(&context->files->count);
	lwc_fs_get(context->fs);
}

/* The references that the task had in @context. None of them is the last. */
static void leave_references(struct lwc_context *context)
{
	if (!context->owned) {
		context->owned = true;
		return;
	}
	mmput(context->mm);
	kernel_call(put_files_struct)(context->files);
	lwc_fs_put(context->fs);
}

static void move(struct lwc_thread *thread, struct lwc_place *place)
{
	struct lwc_context *before = thread->context, *next = place->context;
	struct lwc_process *process = thread->process;

	lwc_powers_update(&before->powers);
	take_references(process, next);

	lwc_transit_begin(thread);
	lwc_mm_leave();
	task_lock(current);
	local_irq_disable();
	lwc_place_exchange(thread->place, place);
	local_irq_enable();
	lwc_mm_enter(next->mm, process->leader);
	current->files = next->files;
	current->fs = next->fs;
	task_unlock(current);
	lwc_mm_entered();
	lwc_powers_enter(&next->powers);
	lwc_transit_end(thread);

	lwc_place_load_mask(place);
	leave_references(before);
	thread->context = next;
	thread->place = place;
}

/* With the process's lock held. @event is filled on success. */
static int switch_locked(struct lwc_descriptor *descriptor, const struct lwc_switch_args *args,
			 struct lwc_event *event, struct lwc_event __user **to,
			 struct list_head *doomed)
{
	struct lwc_context *target = descriptor->context, *before;
	struct lwc_thread *thread;
	struct lwc_place *place;
	int err, caller;

	if (!target->alive)
		return -ESRCH;
	/* What was read without the lock has changed meanwhile. */
	if (target->process->exclusion < exclusion_for(target))
		return -EAGAIN;
	thread = lwc_thread_current(target->process);
	if (IS_ERR(thread))
		return PTR_ERR(thread);
	before = thread->context;
	if (before == target)
		return -EDEADLK;
	place = find_place(thread, target);
	if (!place)
		return -ENXIO;
	err = lwc_switch_refused(thread);
	if (err)
		return err;
	err = lwc_powers_refused(&target->powers);
	if (err)
		return err;

	lwc_transit_begin(thread);
	caller = lwc_descriptor_for_caller(target, before);
	lwc_transit_end(thread);
	if (caller < 0)
		return caller;

	thread->place->event = u64_to_user_ptr(args->event);
	move(thread, place);
	lwc_count(switches);
	event->created = -1;
	event->caller = caller;
	event->reason = LWC_EV_SWITCH;
	event->arg = args->arg;
	*to = place->event;
	lwc_context_doom_unused(before, doomed);
	return 0;
}

long lwc_switch(struct lwc_descriptor *descriptor, const struct lwc_switch_args *args)
{
	struct lwc_process *process = descriptor->context->process;
	struct lwc_event event = {};
	struct lwc_event __user *to;
	LIST_HEAD(doomed);
	int err;

	if (args->flags & ~LWC_SWITCH_FLAGS)
		return -EINVAL;
	if (descriptor->context->snapshot)
		return -EINVAL;
	if (!(READ_ONCE(descriptor->rights) & LWC_MAY_SWITCH))
		return -EPERM;
	if (args->flags & ~LWC_WORKING_SWITCH_FLAGS)
		return -EOPNOTSUPP;
	err = lwc_event_probe(u64_to_user_ptr(args->event));
	if (err)
		return err;
	do {
		err = lwc_process_lock(process, exclusion_for(descriptor->context));
		if (err)
			return err;
		err = switch_locked(descriptor, args, &event, &to, &doomed);
		lwc_process_unlock(process);
	} while (err == -EAGAIN);
	if (err)
		return err;

	lwc_context_bury(&doomed);
	lwc_event_deliver(to, &event);
	return current_pt_regs()->ax;
}
