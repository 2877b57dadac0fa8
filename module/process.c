// SPDX-License-Identifier: GPL-2.0
/*
 * process.c - the records of processes and threads, and how they end.
 *
 * Two tracepoints tell of an end. Their probes must not sleep, so they only
 * unlink the record and queue a task_work; the kernel runs that after the task
 * has let go of its memory and files, and it may sleep. This also breaks the
 * cycle of a context whose own table holds its last descriptor.
 *
 * Must never follow lwc_process.signal: it is a name.
 */
#include <linux/hashtable.h>
#include <linux/module.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/slab.h>
#include <linux/tracepoint.h>

#include "broken.h"
#include "context.h"
#include "place.h"
#include "process.h"

#define LWC_TABLE_BITS	10

/* Address spaces that are put between two looks for more. */
#define LWC_RELEASED_AT_ONCE	32

static DEFINE_HASHTABLE(processes, LWC_TABLE_BITS);
static DEFINE_HASHTABLE(threads, LWC_TABLE_BITS);
/* Over both tables; never held while anything sleeps. */
static DEFINE_SPINLOCK(tables_lock);
/*
 * Records on either table, so that an exit on a machine that uses no contexts
 * costs one load. Threads count too: the last ones of a process come to their
 * probe after its record is gone.
 */
static atomic_t n_records = ATOMIC_INIT(0);
static atomic64_t last_serial = ATOMIC64_INIT(0);
static struct workqueue_struct *sweeper;
static struct tracepoint *exit_tracepoint;
static struct tracepoint *exec_tracepoint;

static struct lwc_process *process_find(const struct signal_struct *signal)
{
	struct lwc_process *process;

	lockdep_assert_held(&tables_lock);
	hash_for_each_possible(processes, process, of_table, (unsigned long)signal) {
		if (process->signal == signal)
			return process;
	}
	return NULL;
}

static void process_unlink(struct lwc_process *process)
{
	lockdep_assert_held(&tables_lock);
	hash_del(&process->of_table);
	atomic_dec(&n_records);
}

struct lwc_thread *lwc_thread_find(const struct task_struct *task)
{
	struct lwc_thread *thread;

	hash_for_each_possible_rcu(threads, thread, of_table, (unsigned long)task) {
		if (thread->task == task)
			return thread;
	}
	return NULL;
}

struct lwc_process *lwc_process_of(const struct task_struct *task)
{
	struct lwc_process *process;

	if (!atomic_read(&n_records))
		return NULL;
	spin_lock(&tables_lock);
	process = process_find(task->signal);
	if (process)
		lwc_process_get(process);
	spin_unlock(&tables_lock);
	return process;
}

bool lwc_process_is_known(const struct task_struct *task)
{
	bool known;

	if (!atomic_read(&n_records))
		return false;
	spin_lock(&tables_lock);
	known = process_find(task->signal);
	spin_unlock(&tables_lock);
	return known;
}

/* Who has read mm->owner under RCU may look at that task until now. */
static void process_free(struct rcu_head *rcu)
{
	struct lwc_process *process = container_of(rcu, struct lwc_process, rcu);

	put_task_struct(process->leader);
	mutex_destroy(&process->lock);
	kfree(process);
}

static void process_release(struct kref *ref)
{
	struct lwc_process *process = container_of(ref, struct lwc_process, ref);

	call_rcu(&process->rcu, process_free);
	/* Unloading waits for whoever is on the way out of here (main.c). */
	module_put(THIS_MODULE);
}

void lwc_process_put(struct lwc_process *process)
{
	kref_put(&process->ref, process_release);
}

/* All of the process's contexts end: it has ended itself, or has a new program. */
static void process_end(struct callback_head *work)
{
	struct lwc_process *process = container_of(work, struct lwc_process, end_work);
	struct lwc_context *context, *next;
	LIST_HEAD(doomed);

	mutex_lock(&process->lock);
	process->ended = true;
	list_for_each_entry_safe(context, next, &process->contexts, of_process)
		lwc_context_doom(context, &doomed);
	mutex_unlock(&process->lock);
	lwc_context_bury(&doomed);
	lwc_process_put(process);
}

void lwc_process_release_memory(void)
{
	struct lwc_process *process = lwc_process_of(current);
	struct mm_struct *memory[LWC_RELEASED_AT_ONCE];
	unsigned int n, i;

	if (!process)
		return;
	do {
		mutex_lock(&process->lock);
		n = lwc_contexts_take_memory(process, memory, ARRAY_SIZE(memory));
		mutex_unlock(&process->lock);
		for (i = 0; i < n; i++)
			mmput(memory[i]);
	} while (n);
	lwc_process_put(process);
}

static void sweep(struct lwc_process *process)
{
	struct lwc_context *context, *next;
	LIST_HEAD(doomed);

	mutex_lock(&process->lock);
	list_for_each_entry_safe(context, next, &process->contexts, of_process)
		lwc_context_doom_unused(context, &doomed);
	mutex_unlock(&process->lock);
	lwc_context_bury(&doomed);
}

static void sweep_work(struct work_struct *work)
{
	struct lwc_process *process = container_of(work, struct lwc_process, sweep_work);

	sweep(process);
	lwc_process_put(process);
}

/* A sweep by the task that is about to let go of something. */
struct sweep {
	struct callback_head work;
	struct lwc_process *process;
	struct list_head of_process;
	const struct task_struct *task; /* only compared */
};

static void sweep_and_free(struct callback_head *work)
{
	struct sweep *this = container_of(work, struct sweep, work);

	spin_lock(&this->process->sweeps_lock);
	list_del(&this->of_process);
	spin_unlock(&this->process->sweeps_lock);
	sweep(this->process);
	lwc_process_put(this->process);
	kfree(this);
}

/*
 * Once for all that the current task closes in one call: the kernel runs first what was
 * queued last, so that everything is closed by then.
 */
static bool queue_sweep(struct lwc_process *process)
{
	struct sweep *later;

	spin_lock(&process->sweeps_lock);
	list_for_each_entry(later, &process->sweeps, of_process) {
		if (later->task == current) {
			spin_unlock(&process->sweeps_lock);
			return true;
		}
	}
	later = kmalloc(sizeof(*later), GFP_ATOMIC);
	if (later) {
		later->process = process;
		later->task = current;
		init_task_work(&later->work, sweep_and_free);
		if (task_work_add(current, &later->work, TWA_RESUME)) {
			kfree(later);
			later = NULL;
		} else {
			lwc_process_get(process);
			list_add(&later->of_process, &process->sweeps);
		}
	}
	spin_unlock(&process->sweeps_lock);
	return later;
}

void lwc_process_sweep_later(struct lwc_process *process)
{
	if (queue_sweep(process))
		return;
	lwc_process_get(process);
	if (!queue_work(sweeper, &process->sweep_work))
		lwc_process_put(process);
}

static void thread_free(struct lwc_thread *thread)
{
	struct lwc_process *process = thread->process;
	struct lwc_place *place, *next;

	mutex_lock(&process->lock);
	list_del(&thread->of_process);
	list_for_each_entry_safe(place, next, &thread->places, of_thread)
		lwc_context_forget_place(place);
	mutex_unlock(&process->lock);
	lwc_context_put(thread->birth);
	kfree_rcu(thread, rcu);
	sweep(process);
	lwc_process_put(process);
}

static void thread_end(struct callback_head *work)
{
	struct lwc_thread *thread = container_of(work, struct lwc_thread, end_work);

	/* The kernel runs what was queued last first: the others come after this one. */
	if (thread->queued)
		thread->ended = true;
	else
		thread_free(thread);
}

bool lwc_thread_queue(struct lwc_thread *thread, struct callback_head *work,
		      task_work_func_t func)
{
	init_task_work(work, func);
	if (task_work_add(current, work, TWA_RESUME))
		return false;
	thread->queued++;
	return true;
}

bool lwc_thread_dequeue(struct lwc_thread *thread)
{
	thread->queued--;
	if (!thread->ended)
		return true;
	if (!thread->queued)
		thread_free(thread);
	return false;
}

/* The current task ends or has a new program: take its record off the table. */
static void current_unlink(enum task_work_notify_mode mode)
{
	struct lwc_thread *thread;

	lockdep_assert_held(&tables_lock);
	thread = lwc_thread_find(current);
	if (!thread)
		return;
	hash_del_rcu(&thread->of_table);
	atomic_dec(&n_records);
	lwc_place_leave_buffers();
	init_task_work(&thread->end_work, thread_end);
	WARN_ON_ONCE(task_work_add(current, &thread->end_work, mode));
}

static void process_unlink_and_end(struct lwc_process *process, enum task_work_notify_mode mode)
{
	process_unlink(process);
	init_task_work(&process->end_work, process_end);
	WARN_ON_ONCE(task_work_add(current, &process->end_work, mode));
}

static void probe_exit(void *unused, struct task_struct *task)
{
	struct lwc_process *process;

	if (!atomic_read(&n_records))
		return;
	spin_lock(&tables_lock);
	process = process_find(task->signal);
	if (process) {
		const bool known = lwc_thread_find(task);

		current_unlink(TWA_NONE);
		if (!atomic_read(&task->signal->live)) {
			process_unlink_and_end(process, TWA_NONE);
		} else if (!known) {
			lwc_process_get(process);
			if (!queue_work(sweeper, &process->sweep_work))
				lwc_process_put(process);
		}
	} else {
		/* Another thread has seen the end of the process before. */
		current_unlink(TWA_NONE);
	}
	spin_unlock(&tables_lock);
}

static void probe_exec(void *unused, struct task_struct *task, pid_t old_pid,
		       struct linux_binprm *bprm)
{
	struct lwc_process *process;

	if (!atomic_read(&n_records))
		return;
	spin_lock(&tables_lock);
	current_unlink(TWA_RESUME);
	process = process_find(task->signal);
	if (process)
		process_unlink_and_end(process, TWA_RESUME);
	spin_unlock(&tables_lock);
}

static struct lwc_process *process_make(void)
{
	struct lwc_process *process = kzalloc(sizeof(*process), GFP_KERNEL_ACCOUNT);

	if (!process)
		return NULL;
	kref_init(&process->ref);
	process->signal = current->signal;
	process->leader = get_task_struct(current->group_leader);
	mutex_init(&process->lock);
	INIT_LIST_HEAD(&process->contexts);
	spin_lock_init(&process->contexts_lock);
	INIT_LIST_HEAD(&process->threads);
	INIT_WORK(&process->sweep_work, sweep_work);
	spin_lock_init(&process->sweeps_lock);
	INIT_LIST_HEAD(&process->sweeps);
	init_waitqueue_head(&process->sync_done);
	/* The caller's open file holds the module, so this cannot fail. */
	__module_get(THIS_MODULE);
	return process;
}

struct lwc_process *lwc_process_current(bool make)
{
	struct lwc_process *process = lwc_process_of(current), *made;

	if (process || !make)
		return process;
	made = process_make();
	if (!made)
		return NULL;
	spin_lock(&tables_lock);
	process = process_find(current->signal);
	if (!process) {
		process = made;
		made = NULL;
		hash_add(processes, &process->of_table, (unsigned long)process->signal);
		atomic_inc(&n_records);
	}
	lwc_process_get(process);
	spin_unlock(&tables_lock);
	if (made)
		lwc_process_put(made);
	return process;
}

void lwc_drop_exclusion(enum lwc_exclusion exclusion)
{
	if (exclusion >= LWC_EXCLUDE_LOOKERS)
		up_write(&current->signal->exec_update_lock);
	if (exclusion >= LWC_EXCLUDE_TRACERS)
		mutex_unlock(&current->signal->cred_guard_mutex);
}

static int take_exclusion(enum lwc_exclusion exclusion)
{
	if (exclusion >= LWC_EXCLUDE_TRACERS &&
	    mutex_lock_killable(&current->signal->cred_guard_mutex))
		return -EINTR;
	if (exclusion >= LWC_EXCLUDE_LOOKERS &&
	    down_write_killable(&current->signal->exec_update_lock)) {
		if (exclusion >= LWC_EXCLUDE_TRACERS)
			mutex_unlock(&current->signal->cred_guard_mutex);
		return -EINTR;
	}
	return 0;
}

int lwc_process_lock_excluding(struct lwc_process *process, enum lwc_exclusion exclusion)
{
	const bool threaded = !thread_group_empty(current);
	int err;

	if (process->signal != current->signal)
		return -ESRCH;
	if (threaded && exclusion < LWC_EXCLUDE_LOOKERS)
		exclusion = LWC_EXCLUDE_LOOKERS;
	for (;;) {
		err = take_exclusion(exclusion);
		if (err)
			return err;
		mutex_lock(&process->lock);
		if (process->ended) {
			mutex_unlock(&process->lock);
			lwc_drop_exclusion(exclusion);
			return -ESRCH;
		}
		if (likely(!process->syncing))
			break;
		mutex_unlock(&process->lock);
		lwc_drop_exclusion(exclusion);
		if (wait_event_killable(process->sync_done, !READ_ONCE(process->syncing)))
			return -EINTR;
	}
	if (threaded)
		process->threaded = true;
	process->exclusion = exclusion;
	return 0;
}

static struct lwc_context *context_of_mm(struct lwc_process *process, struct mm_struct *mm)
{
	struct lwc_context *context;

	list_for_each_entry(context, &process->contexts, of_process) {
		if (context->mm == mm)
			return context;
	}
	return NULL;
}

static struct lwc_thread *thread_make(struct lwc_process *process)
{
	struct lwc_context *context;
	struct lwc_thread *thread;

	if (list_empty(&process->contexts))
		context = lwc_context_root(process);
	else
		context = context_of_mm(process, current->mm);
	if (!context)
		return ERR_PTR(list_empty(&process->contexts) ? -ENOMEM : -ESRCH);

	thread = kzalloc(sizeof(*thread), GFP_KERNEL_ACCOUNT);
	if (!thread)
		return ERR_PTR(-ENOMEM);
	thread->place = lwc_place_adopt();
	if (!thread->place) {
		kfree(thread);
		return ERR_PTR(-ENOMEM);
	}
	thread->task = current;
	thread->serial = atomic64_inc_return(&last_serial);
	thread->process = process;
	lwc_process_get(process);
	INIT_LIST_HEAD(&thread->places);
	thread->context = context;
	thread->birth = context;
	lwc_context_get(context);
	lwc_context_add_place(context, thread, thread->place);
	list_add(&thread->of_process, &process->threads);
	spin_lock(&tables_lock);
	hash_add_rcu(threads, &thread->of_table, (unsigned long)current);
	atomic_inc(&n_records);
	spin_unlock(&tables_lock);
	return thread;
}

struct lwc_thread *lwc_thread_current(struct lwc_process *process)
{
	struct lwc_thread *thread;
	int err;

	rcu_read_lock();
	thread = lwc_thread_find(current);
	rcu_read_unlock();
	/* A thread's own record is only freed when the thread has ended. */
	if (!thread)
		thread = thread_make(process);
	if (IS_ERR(thread))
		return thread;
	err = lwc_context_settle(thread->context);
	return err ? ERR_PTR(err) : thread;
}

static void find_tracepoint(struct tracepoint *tracepoint, void *unused)
{
	if (!strcmp(tracepoint->name, "sched_process_exit"))
		exit_tracepoint = tracepoint;
	else if (!strcmp(tracepoint->name, "sched_process_exec"))
		exec_tracepoint = tracepoint;
}

int lwc_process_init(void)
{
	int err;

	for_each_kernel_tracepoint(find_tracepoint, NULL);
	if (!exit_tracepoint || !exec_tracepoint) {
		pr_err("the kernel lacks tracepoint %s, which contexts need; not loaded\n",
		       exit_tracepoint ? "sched_process_exec" : "sched_process_exit");
		return -ENOENT;
	}
	sweeper = alloc_workqueue("lwc", WQ_UNBOUND, 0);
	if (!sweeper)
		return -ENOMEM;
	err = tracepoint_probe_register(exit_tracepoint, probe_exit, NULL);
	if (err)
		goto destroy_sweeper;
	err = tracepoint_probe_register(exec_tracepoint, probe_exec, NULL);
	if (err)
		goto unregister_exit;
	return 0;

unregister_exit:
	tracepoint_probe_unregister(exit_tracepoint, probe_exit, NULL);
	tracepoint_synchronize_unregister();
destroy_sweeper:
	destroy_workqueue(sweeper);
	return err;
}

void lwc_process_exit(void)
{
	tracepoint_probe_unregister(exec_tracepoint, probe_exec, NULL);
	tracepoint_probe_unregister(exit_tracepoint, probe_exit, NULL);
	tracepoint_synchronize_unregister();
	destroy_workqueue(sweeper);
}
