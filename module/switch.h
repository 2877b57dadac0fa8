/* SPDX-License-Identifier: GPL-2.0 */
/*
 * switch.h - a thread goes from one context to another.
 */
#ifndef LWC_SWITCH_H
#define LWC_SWITCH_H

#include <linux/list.h>
#include <linux/types.h>
#include <linux/lwc.h>

#include "kernel/compat.h"
#include "place.h"
#include "process.h"

struct lwc_descriptor;

/* What works, for LWC_IOC_FEATURES. */
#define LWC_SWITCH_FLAGS	(LWC_FRESH | LWC_DISCARD)

/**
 * lwc_switch_refused() - is there state in the task that cannot be switched?
 * @thread: the current one
 *
 * io_uring (its requests complete into whatever memory the task has then), a
 * user shadow stack, AMX state, overridden credentials.
 *
 * Return: 0 or -EOPNOTSUPP.
 */
static inline int lwc_switch_refused(const struct lwc_thread *thread)
{
	if (likely(!current->io_uring && !lwc_task_has_shadow_stack() &&
		   current->cred == current->real_cred && lwc_place_fits(thread->place)))
		return 0;
	return -EOPNOTSUPP;
}

/**
 * lwc_switch() - LWC_IOC_SWITCH
 * @descriptor: of the target
 * @flags: LWC_FRESH, LWC_DISCARD
 * @arg: handed to the target
 * @event: where the caller wants to be told when control comes back
 *
 * Return: what the system call returns, in the target; or an error here.
 */
long lwc_switch(struct lwc_descriptor *descriptor, unsigned int flags, u64 arg,
		struct lwc_event __user *event);

/**
 * lwc_switch_at_fault() - the current thread leaves for its context's creator
 * @thread: it, in a context that traps faults, on its way to user space
 * @event: for the creator; lwc_event.caller is filled in. What is left goes on at
 *	@event->fault.ip when the creator switches back
 *
 * Return: 0, or the error: nothing has changed.
 */
int lwc_switch_at_fault(struct lwc_thread *thread, struct lwc_event *event);

/**
 * lwc_event_deliver() - write an event to the context that the task is in
 * @to: where
 * @event: what
 *
 * Where that memory cannot be written, the task gets SIGSEGV: nothing is lost
 * silently.
 */
void lwc_event_deliver(struct lwc_event __user *to, const struct lwc_event *event);

/**
 * lwc_event_probe() - can an event be written here?
 *
 * Return: 0 or -EFAULT.
 */
int lwc_event_probe(struct lwc_event __user *to);

/**
 * lwc_transit_begin() - from here to lwc_transit_end() nobody may look at the
 *	current task's mm or files from outside
 */
static inline void lwc_transit_begin(struct lwc_thread *thread)
{
	WRITE_ONCE(thread->transits, thread->transits + 1);
	/* Odd before anything moves: pairs with whereabouts_of(). */
	smp_wmb();
}

static inline void lwc_transit_end(struct lwc_thread *thread)
{
	/* Even once all has moved: pairs with has_stayed(). */
	smp_wmb();
	WRITE_ONCE(thread->transits, thread->transits + 1);
}

#endif /* LWC_SWITCH_H */
