/* SPDX-License-Identifier: GPL-2.0 */
/*
 * process.h - what a process and each of its threads have to do with contexts.
 *
 * Lock order, as in exec: signal->cred_guard_mutex, signal->exec_update_lock,
 * lwc_process.lock, then the kernel's own (mmap lock, task_lock, file_lock).
 * Which of the first two a call takes: enum lwc_exclusion.
 */
#ifndef LWC_PROCESS_H
#define LWC_PROCESS_H

#include <linux/kref.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/signal_types.h>
#include <linux/task_work.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include "kernel/symbols.h"

struct lwc_context;
struct lwc_place;

/**
 * enum lwc_exclusion - who else must not look on during a call
 * @LWC_EXCLUDE_NOBODY: the task goes where whoever may look at it now may look
 *	as well
 * @LWC_EXCLUDE_LOOKERS: signal->exec_update_lock is held for write, so that
 *	nobody obtains an mm or a file of one context by the rights of another
 * @LWC_EXCLUDE_TRACERS: and signal->cred_guard_mutex, so that nobody attaches
 *	to a task with the credentials of the one and gets it with the other's
 */
enum lwc_exclusion {
	LWC_EXCLUDE_NOBODY,
	LWC_EXCLUDE_LOOKERS,
	LWC_EXCLUDE_TRACERS,
};

/**
 * struct lwc_process - the contexts of one process
 * @ref: of its threads and contexts, and of the table while it lives
 * @of_table: in the table of processes, by @signal
 * @signal: names the process; only compared
 * @leader: the thread group's leader when this was made, with a reference:
 *	memory is charged to it, and it keeps @signal's memory
 * @lock: over all that follows
 * @ended: the process has ended or has a new program
 * @threaded: it has had a second thread (see context.h)
 * @exclusion: what who holds @lock holds besides
 * @syncing: a thread gives its filters to all (TSYNC): nobody may move
 * @sync_done: those who wait for the end of that
 * @contexts: alive ones, the root too
 * @contexts_lock: besides @lock, over who is on @contexts and which mm it has, for who
 *	may not sleep; nobody sleeps or allocates under it
 * @threads: struct lwc_thread
 * @n_contexts: how many count against the limit
 * @end_work: runs lwc_process_end() in the last thread, or in exec
 * @sweep_work: looks for contexts that a thread we do not know has left
 * @sweeps_lock: over @sweeps; nobody sleeps under it
 * @sweeps: those that tasks do before they are in user space again
 */
struct lwc_process {
	struct kref ref;
	struct hlist_node of_table;
	const struct signal_struct *signal;
	struct task_struct *leader;
	struct mutex lock; /* over all below, and every context of the process */
	bool ended;
	bool threaded;
	bool syncing;
	enum lwc_exclusion exclusion;
	wait_queue_head_t sync_done;
	struct list_head contexts;
	spinlock_t contexts_lock; /* besides lock, see above */
	struct list_head threads;
	unsigned int n_contexts;
	struct callback_head end_work;
	struct work_struct sweep_work;
	spinlock_t sweeps_lock; /* over sweeps alone */
	struct list_head sweeps;
	struct rcu_head rcu;
};

/**
 * struct lwc_fault - a fault of the thread on its way to become an event (trap.c)
 * @work: runs before the thread is in user space again
 * @pending: @work is queued, and the rest counts
 * @info: the signal that it would be
 * @handler: how the kernel would force that
 */
struct lwc_fault {
	struct callback_head work;
	bool pending;
	struct kernel_siginfo info;
	enum lwc_sig_handler handler;
};

/**
 * struct lwc_thread - a thread that has made a call
 * @of_table: in the table of threads, by @task
 * @task: lives as long as this
 * @serial: never used twice
 * @process: with a reference
 * @of_process: in lwc_process.threads
 * @context: where it is, with a reference
 * @place: its place there
 * @birth: the context it was made in, with a reference: where its
 *	clear_child_tid and robust list count when it ends
 * @has_told: they did
 * @places: in all contexts, with @place
 * @transits: odd while it is on the way between two contexts, so that who
 *	looks at it from outside can tell whether it moved
 * @fault: one that is to become an event
 * @resume_work: gives a place that was left by a fault the rest of its registers
 * @queued: how many of the two works are queued
 * @ended: the thread has let go of everything, and the last of them frees this
 * @end_work: frees this once the thread has let go of everything
 */
struct lwc_thread {
	struct hlist_node of_table;
	struct task_struct *task;
	u64 serial;
	struct lwc_process *process;
	struct list_head of_process;
	struct lwc_context *context;
	struct lwc_place *place;
	struct lwc_context *birth;
	bool has_told;
	struct list_head places;
	unsigned long transits;
	struct lwc_fault fault;
	struct callback_head resume_work;
	unsigned int queued;
	bool ended;
	struct callback_head end_work;
	struct rcu_head rcu;
};

int lwc_process_init(void);
void lwc_process_exit(void);

/**
 * lwc_process_of() - the record of the process that a task is a thread of
 * @task: any, with a reference, or under RCU
 *
 * Does not sleep. Return: with a reference; NULL if there is none.
 */
struct lwc_process *lwc_process_of(const struct task_struct *task);

/**
 * lwc_process_is_known() - has a task's process made a call?
 * @task: any
 *
 * Does not sleep.
 */
bool lwc_process_is_known(const struct task_struct *task);

/**
 * lwc_process_sweep_later() - end contexts that nothing keeps alive, on the way to user space
 * @process: any, held by the caller
 *
 * Does not sleep, and takes no lock.
 */
void lwc_process_sweep_later(struct lwc_process *process);

/**
 * lwc_process_release_memory() - the last thread of the current process is about to leave its mm
 *
 * The contexts that nobody is in lose theirs first. (What else they have goes when that
 * of the thread has gone, in process_end().)
 */
void lwc_process_release_memory(void);

/**
 * lwc_process_current() - the current process's record
 * @make: make one if there is none
 *
 * Return: with a reference; NULL if there is none, or without memory.
 */
struct lwc_process *lwc_process_current(bool make);

void lwc_process_put(struct lwc_process *process);

static inline void lwc_process_get(struct lwc_process *process)
{
	kref_get(&process->ref);
}

/* The rare parts of the next two. */
int lwc_process_lock_excluding(struct lwc_process *process, enum lwc_exclusion exclusion);
void lwc_drop_exclusion(enum lwc_exclusion exclusion);

/**
 * lwc_process_lock() - begin a call that reads or changes contexts
 * @process: of the current task
 * @exclusion: at least; where there are threads lookers are always excluded
 *
 * Return: 0, -ESRCH (the process is another, or ended), -EINTR (being killed).
 */
static inline int lwc_process_lock(struct lwc_process *process, enum lwc_exclusion exclusion)
{
	if (unlikely(exclusion != LWC_EXCLUDE_NOBODY || !thread_group_empty(current)))
		return lwc_process_lock_excluding(process, exclusion);
	mutex_lock(&process->lock);
	process->exclusion = LWC_EXCLUDE_NOBODY;
	if (likely(process->signal == current->signal && !process->ended && !process->syncing))
		return 0;
	mutex_unlock(&process->lock);
	return lwc_process_lock_excluding(process, exclusion);
}

static inline void lwc_process_unlock(struct lwc_process *process)
{
	const enum lwc_exclusion exclusion = process->exclusion;

	mutex_unlock(&process->lock);
	if (unlikely(exclusion != LWC_EXCLUDE_NOBODY))
		lwc_drop_exclusion(exclusion);
}

/**
 * lwc_thread_find() - the record of a task
 * @task: may be another; under RCU
 *
 * Return: NULL if it has made no call.
 */
struct lwc_thread *lwc_thread_find(const struct task_struct *task);

/**
 * lwc_thread_queue() - have a work run before the current thread is in user space
 * @thread: it
 * @work: part of @thread
 * @func: begins with lwc_thread_dequeue()
 *
 * May be called with interrupts off. Return: false if the task is ending.
 */
bool lwc_thread_queue(struct lwc_thread *thread, struct callback_head *work,
		      task_work_func_t func);

/**
 * lwc_thread_dequeue() - such a work is run
 *
 * Return: false if the thread has ended, and its record may be gone.
 */
bool lwc_thread_dequeue(struct lwc_thread *thread);

/**
 * lwc_thread_current() - the current thread's record, made if there is none
 * @process: its lock is held
 *
 * Return: the record, or ERR_PTR(-ENOMEM), ERR_PTR(-ESRCH) (its address space
 * belongs to no context), ERR_PTR(-EOPNOTSUPP) (it has unshared its file table).
 */
struct lwc_thread *lwc_thread_current(struct lwc_process *process);

#endif /* LWC_PROCESS_H */
