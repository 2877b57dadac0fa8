/* SPDX-License-Identifier: GPL-2.0 */
/*
 * private.h - LWC_PRIVATE: who may look at a thread while it is in a context.
 */
#ifndef LWC_PRIVATE_H
#define LWC_PRIVATE_H

#include <linux/mm_types.h>
#include <linux/sched/coredump.h>

#include "context.h"
#include "kernel/compat.h"
#include "place.h"

int lwc_private_init(void);
void lwc_private_exit(void);

/**
 * lwc_mm_is_hidden() - is it out of the reach of debuggers (prctl(PR_SET_DUMPABLE))?
 */
static inline bool lwc_mm_is_hidden(const struct mm_struct *mm)
{
	return __get_dumpable(READ_ONCE(mm->flags)) != SUID_DUMP_USER;
}

/**
 * lwc_mm_hide() - put it out of the reach of debuggers
 */
void lwc_mm_hide(struct mm_struct *mm);

/**
 * lwc_looks() - how an address space says who may look at it
 *
 * Where two say the same, whoever may look at the one may look at the other.
 */
static inline u8 lwc_looks(const struct mm_struct *mm)
{
	return READ_ONCE(mm->flags) & MMF_DUMPABLE_MASK;
}

/**
 * lwc_looks_differ() - may other people look at @target than at the current task?
 * @target: its process's lock is held
 */
static __always_inline bool lwc_looks_differ(const struct lwc_context *target)
{
	return target->private || lwc_looks(target->mm) != lwc_looks(current->mm);
}

/**
 * lwc_private_supported() - can the current task have private contexts?
 *
 * Not in a program of a format whose core dumps are not watched.
 */
bool lwc_private_supported(void);

/**
 * lwc_watchers_refused() - may the current task go where it is now looked at?
 * @target: its process's lock is held, and tracers are excluded if it is hidden
 *
 * Nobody may come along to a hidden address space who could not have come there
 * (-EPERM): a debugger, or a profiler that samples. Nor may a thread of the process
 * sample the registers or the memory of one that goes elsewhere (-EOPNOTSUPP).
 *
 * Return: 0 or the error.
 */
int lwc_watchers_refused(const struct lwc_context *target);

/**
 * lwc_samplers_refused() - the same of profilers alone
 * @target: its process's lock is held, and lookers are excluded if it is hidden
 *
 * For who takes on the memory of @target for a moment, and does not return to user space
 * with it. Return: 0 or the error.
 */
int lwc_samplers_refused(const struct lwc_context *target);

/**
 * lwc_private_forget() - take the registers of a task that never returns to user space
 * @task: the current one, or one that is stopped until a core dump is written
 */
void lwc_private_forget(struct task_struct *task);

/**
 * lwc_private_enter() - the current task is about to enter a private context
 * @place: where
 *
 * Whatever was done inside or outside since somebody was there last, nobody looks in,
 * and no signal comes in.
 */
void lwc_private_enter(struct lwc_place *place);

#endif /* LWC_PRIVATE_H */
