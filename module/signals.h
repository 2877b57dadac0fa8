/* SPDX-License-Identifier: GPL-2.0 */
/*
 * signals.h - the current task's signal handlers and their lock.
 *
 * A task's own sighand stays while the task runs, so no RCU is needed to
 * follow the pointer. Must never be used on another task.
 */
#ifndef LWC_SIGNALS_H
#define LWC_SIGNALS_H

#include <linux/rcupdate.h>
#include <linux/sched/signal.h>

static inline struct sighand_struct *lwc_sighand(void)
{
	return rcu_dereference_raw(current->sighand);
}

static inline void lwc_lock_signals(void)
{
	spin_lock_irq(&lwc_sighand()->siglock);
}

static inline void lwc_unlock_signals(void)
{
	spin_unlock_irq(&lwc_sighand()->siglock);
}

#endif /* LWC_SIGNALS_H */
