/* SPDX-License-Identifier: GPL-2.0 */
/*
 * place.h - where a thread stands in a context: everything in the task that
 * changes with the context but is not an object of its own.
 *
 * The list is the table "State" of lwc(7): what it says of a place is saved
 * and loaded here and nowhere else.
 */
#ifndef LWC_PLACE_H
#define LWC_PLACE_H

#include <linux/list.h>
#include <linux/ptrace.h>
#include <linux/sched.h>
#include <linux/signal.h>
#include <linux/syscall_user_dispatch.h>
#include <asm/fpu/types.h>

#include "kernel/compat.h"

struct lwc_context;
struct lwc_event;
struct lwc_thread;

/*
 * lwc_place.event of a place that was left by a fault: who comes back is told
 * nothing. It is the address of nothing that a program could have.
 */
#define LWC_AT_FAULT	((struct lwc_event __user *)~0UL)

/**
 * struct lwc_place - a thread's saved state in one context
 * @of_thread: in lwc_thread.places
 * @of_context: in lwc_context.places
 * @thread: whose; NULL for the place of a snapshot
 * @context: where
 * @event: the caller's struct lwc_event, written when control comes back, or
 *	LWC_AT_FAULT
 * @regs: general registers as they go back to user space
 * @fpstate: extended state; the task's own buffer for its first place
 * @fpstate_memory: what to free, NULL for the task's own buffer
 * @fsbase: fs base
 * @gsbase: user gs base
 * @selectors: fs, gs, ds, es, from the lowest 16 bits up
 * @pkru: protection key rights
 * @cpu: the CPU that the rseq area in the context's memory names; -1: any
 * @blocked: signal mask
 * @sas_ss_sp: alternate signal stack
 * @sas_ss_size: its size
 * @sas_ss_flags: its flags
 * @robust_list: head of the robust futex list
 * @compat_robust_list: the same for 32-bit callers
 * @clear_child_tid: cleared and woken when the thread ends
 * @rseq: restartable sequences registration
 * @dispatch: system call user dispatch
 * @dispatch_on: is it on?
 */
struct lwc_place {
	struct list_head of_thread;
	struct list_head of_context;
	struct lwc_thread *thread;
	struct lwc_context *context;
	struct lwc_event __user *event;
	struct pt_regs regs;
	struct fpstate *fpstate;
	void *fpstate_memory;
	unsigned long fsbase;
	unsigned long gsbase;
	u64 selectors;
	u32 pkru;
	int cpu;
	sigset_t blocked;
	unsigned long sas_ss_sp;
	size_t sas_ss_size;
	unsigned int sas_ss_flags;
	struct robust_list_head __user *robust_list;
#ifdef CONFIG_COMPAT
	struct compat_robust_list_head __user *compat_robust_list;
#endif
	int __user *clear_child_tid;
	struct lwc_rseq rseq;
	struct syscall_user_dispatch dispatch;
	unsigned long dispatch_on;
};

/**
 * lwc_place_alloc() - a place with room for the extended state
 *
 * Return: the place, NULL without memory.
 */
struct lwc_place *lwc_place_alloc(void);

/**
 * lwc_place_adopt() - a place for the state that the current task is in
 *
 * Its extended state stays in the task's own buffer.
 *
 * Return: the place, NULL without memory.
 */
struct lwc_place *lwc_place_adopt(void);

/**
 * lwc_place_free() - free what the two above made
 * @place: on no list; not the one that the current task runs in
 */
void lwc_place_free(struct lwc_place *place);

/**
 * lwc_place_leave_buffers() - the current task ends or has a new program
 *
 * Puts its extended state back into its own buffer, so that places can be
 * freed. What was in it is lost.
 */
void lwc_place_leave_buffers(void);

/**
 * lwc_place_fits() - does the current task still use @place's buffer?
 * @place: where the current task runs
 *
 * It does not if the kernel has given it a larger one (AMX).
 */
static inline bool lwc_place_fits(const struct lwc_place *place)
{
	return current->thread.fpu.fpstate == place->fpstate;
}

/**
 * lwc_place_save() - take down the current task's state, without the extended
 * @place: where to
 *
 * The saved place returns 0 from its system call, which is not restarted.
 */
void lwc_place_save(struct lwc_place *place);

/**
 * lwc_place_load() - make that of @place the current task's state
 * @place: what lwc_place_save() filled
 */
void lwc_place_load(const struct lwc_place *place);

/**
 * lwc_place_exchange() - save one, load another, with the extended state
 * @from: where the current task is
 * @to: what lwc_place_save() filled
 *
 * Interrupts are off. The signal mask is not loaded: lwc_place_load_mask().
 */
void lwc_place_exchange(struct lwc_place *from, const struct lwc_place *to);

void lwc_place_set_mask(const struct lwc_place *place);

/**
 * lwc_place_load_mask() - make @place's signal mask the current task's
 */
static inline void lwc_place_load_mask(const struct lwc_place *place)
{
	if (unlikely(!sigequalsets(&current->blocked, &place->blocked)))
		lwc_place_set_mask(place);
}

/**
 * lwc_place_copy() - the state of one place, with the extended, goes to another
 * @to: nobody runs on it; whose and where it is stays
 * @from: nobody runs on it
 */
void lwc_place_copy(struct lwc_place *to, const struct lwc_place *from);

/**
 * lwc_place_copy_extended() - copy the current task's extended state
 * @place: of lwc_place_alloc()
 */
void lwc_place_copy_extended(struct lwc_place *place);

/**
 * lwc_place_restore_extended() - the other way: @place keeps its copy
 * @place: of lwc_place_copy_extended()
 */
void lwc_place_restore_extended(const struct lwc_place *place);

#endif /* LWC_PLACE_H */
