// SPDX-License-Identifier: GPL-2.0
/*
 * guard.c - replaces the kernel functions that take all threads of a process
 * to share one address space and one file table.
 *
 * __ptrace_may_access() says yes within a thread group; behind it stand
 * process_vm_readv(), /proc/PID/mem and its kin, pidfd_getfd(), kcmp() and
 * more. Most of them hold signal->exec_update_lock over the check and what
 * they take afterwards, which a switch in a threaded process holds for write.
 *
 * fget_task() takes a file of another task's table. In older releases the links
 * in /proc/PID/fd come to it some time after their check, and a thread that
 * ends has lost its mm before its files, so it is judged here by itself. The two
 * task_lookup functions do the same for the listing of /proc/PID/fd. The same is done
 * where someone of another process takes a file of a thread in a hidden context.
 *
 * do_seccomp() with TSYNC gives all threads the caller's filters, in whatever
 * context they are.
 *
 * remap_file_pages() shows another part of an object that is mapped, to whom was left
 * a part of it alone.
 *
 * exit_mm_release() tells the futexes of a thread that ends. A thread that
 * ends in another context than it was made in is waited for in that one. The last
 * thread of a process gives back what is parked before it leaves its own memory.
 *
 * Must never say yes where the kernel would say no.
 */
#include <linux/fdtable.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <asm/pkru.h>

#include "broken.h"
#include "context.h"
#include "guard.h"
#include "kernel/hook.h"
#include "kernel/symbols.h"
#include "memory.h"
#include "mm.h"
#include "place.h"
#include "private.h"
#include "process.h"
#include "stats.h"
#include "switch.h"

/* How often to try with a thread that moves all the time. */
#define LWC_MAX_TRIES	100

DEFINE_STATIC_CALL_NULL(original_ptrace_may_access, __ptrace_may_access);
DEFINE_STATIC_CALL_NULL(original_do_seccomp, do_seccomp);
DEFINE_STATIC_CALL_NULL(original_fget_task, fget_task);
DEFINE_STATIC_CALL_NULL(original_task_lookup, lwc_task_lookup);
DEFINE_STATIC_CALL_NULL(original_task_lookup_next, lwc_task_lookup_next);
DEFINE_STATIC_CALL_NULL(original_exit_mm_release, exit_mm_release);
DEFINE_STATIC_CALL_NULL(original_remap, __x64_sys_remap_file_pages);
#ifdef CONFIG_IA32_EMULATION
DEFINE_STATIC_CALL_NULL(original_remap_ia32, __ia32_sys_remap_file_pages);
#endif

static bool is_sibling(struct task_struct *task)
{
	return task != current && same_thread_group(task, current) && !lwc_broken(GUARD_OFF);
}

/* Odd while @task is between two contexts; 0 where it has made no call. */
static unsigned long transits_of(const struct task_struct *task)
{
	const struct lwc_thread *thread;
	unsigned long transits = 0;

	rcu_read_lock();
	thread = lwc_thread_find(task);
	if (thread)
		transits = READ_ONCE(thread->transits);
	rcu_read_unlock();
	return transits;
}

/*
 * Is @task a sibling thread in another context, or on the way to one? Threads of
 * one process have different address spaces in no other case, but that one has
 * lost its own because it ends.
 */
static bool is_elsewhere(struct task_struct *task)
{
	const struct mm_struct *mm;

	if (!is_sibling(task))
		return false;
	mm = READ_ONCE(task->mm);
	return (mm && mm != current->mm) || (transits_of(task) & 1);
}

static int guarded_ptrace_may_access(struct task_struct *task, unsigned int mode)
{
	int err;

	lwc_hook_enter();
	if (is_elsewhere(task)) {
		lwc_count(refusals);
		err = -EPERM;
	} else {
		err = static_call(original_ptrace_may_access)(task, mode);
	}
	lwc_hook_leave();
	return err;
}

/* Where a sibling is: what is taken of it in between is judged by two readings. */
struct whereabouts {
	unsigned long transits;
	bool here;
};

static struct whereabouts whereabouts_of(const struct task_struct *task)
{
	struct whereabouts where = { .transits = transits_of(task) };

	/* Pairs with lwc_transit_begin() and lwc_transit_end(). */
	smp_rmb();
	/* One without an mm ends, and its files may be another context's. */
	where.here = !(where.transits & 1) && READ_ONCE(task->mm) == current->mm;
	return where;
}

static bool has_stayed(const struct task_struct *task, const struct whereabouts *where)
{
	/* What is judged was taken before this second reading. */
	smp_rmb();
	return transits_of(task) == where->transits;
}

/* May the current task still look at @task, which it could a while ago? */
static bool is_still_open(struct task_struct *task)
{
	bool open = true;

	task_lock(task);
	if (task->mm && lwc_mm_is_hidden(task->mm))
		open = !static_call(original_ptrace_may_access)(task, PTRACE_MODE_READ_FSCREDS);
	task_unlock(task);
	return open;
}

/* Of a thread of another process, which may come and go between contexts. */
static struct file *fget_outside(struct task_struct *task, unsigned int fd)
{
	unsigned int tries;
	struct file *file;

	for (tries = 0; tries < LWC_MAX_TRIES; tries++) {
		const struct whereabouts where = { .transits = transits_of(task) };

		/* As in whereabouts_of(). */
		smp_rmb();
		file = static_call(original_fget_task)(task, fd);
		if (!file)
			return NULL;
		if (!(where.transits & 1) && is_still_open(task) && has_stayed(task, &where))
			return file;
		fput(file);
	}
	return NULL;
}

static struct file *guarded_fget_task(struct task_struct *task, unsigned int fd)
{
	struct whereabouts where;
	struct file *file = NULL;

	lwc_hook_enter();
	if (!is_sibling(task)) {
		file = fget_outside(task, fd);
		lwc_hook_leave();
		return file;
	}
	where = whereabouts_of(task);
	if (where.here)
		file = static_call(original_fget_task)(task, fd);
	if (file && !has_stayed(task, &where)) {
		fput(file);
		file = NULL;
	}
	if (!where.here)
		lwc_count(refusals);
	lwc_hook_leave();
	return file;
}

static struct file *guarded_task_lookup(struct task_struct *task, unsigned int fd)
{
	struct whereabouts where;
	struct file *file = NULL;

	lwc_hook_enter();
	where = whereabouts_of(task);
	if (where.here)
		file = static_call(original_task_lookup)(task, fd);
	if (file && !has_stayed(task, &where)) {
		lwc_put_looked_up(file);
		file = NULL;
	}
	lwc_hook_leave();
	return file;
}

static struct file *guarded_task_lookup_next(struct task_struct *task, unsigned int *fd)
{
	struct whereabouts where;
	struct file *file = NULL;

	lwc_hook_enter();
	where = whereabouts_of(task);
	if (where.here)
		file = static_call(original_task_lookup_next)(task, fd);
	if (file && !has_stayed(task, &where)) {
		lwc_put_looked_up(file);
		file = NULL;
	}
	lwc_hook_leave();
	return file;
}

/* The current task's place in the context it was made in, if it has left that. */
static struct lwc_place *birth_place(const struct lwc_thread *thread)
{
	struct lwc_place *place;

	if (thread->context == thread->birth || !thread->birth->alive)
		return NULL;
	list_for_each_entry(place, &thread->places, of_thread) {
		if (place->context == thread->birth)
			return place;
	}
	return NULL;
}

/*
 * Memory alone: the files stay those of the context that is left, so nobody
 * may look at this task meanwhile (the caller is in transit).
 */
static void enter_memory(struct lwc_process *process, struct mm_struct *mm)
{
	down_write(&current->signal->exec_update_lock);
	lwc_mm_leave();
	task_lock(current);
	lwc_mm_enter(mm, process->leader);
	task_unlock(current);
	lwc_mm_entered();
	up_write(&current->signal->exec_update_lock);
}

/* pthread_join() and robust mutexes wait where the thread was made. */
static void release_at_birth(struct lwc_thread *thread)
{
	struct robust_list_head __user *robust_list = current->robust_list;
	struct lwc_process *process = thread->process;
	struct mm_struct *mm = current->mm, *birth_mm = NULL;
	const u32 pkru = read_pkru();
	struct lwc_place *place;

	mutex_lock(&process->lock);
	place = birth_place(thread);
	if (place && mmget_not_zero(thread->birth->mm)) {
		birth_mm = thread->birth->mm;
		current->robust_list = place->robust_list;
		current->clear_child_tid = place->clear_child_tid;
		write_pkru(place->pkru);
	}
	mutex_unlock(&process->lock);
	if (!birth_mm)
		return;

	lwc_transit_begin(thread);
	enter_memory(process, birth_mm);
	static_call(original_exit_mm_release)(current, birth_mm);
	enter_memory(process, mm);
	lwc_transit_end(thread);
	mmput(birth_mm);

	write_pkru(pkru);
	current->robust_list = robust_list;
	current->clear_child_tid = NULL;
}

/* The kernel has counted it out before. */
static bool is_last_thread(void)
{
	return !atomic_read(&current->signal->live);
}

static void guarded_exit_mm_release(struct task_struct *task, struct mm_struct *mm)
{
	struct lwc_thread *thread;

	lwc_hook_enter();
	rcu_read_lock();
	/* Its own record: only the task itself takes it away, later. */
	thread = lwc_thread_find(current);
	rcu_read_unlock();
	if (thread && task == current && mm)
		release_at_birth(thread);
	if (thread)
		WRITE_ONCE(thread->has_told, true);
	static_call(original_exit_mm_release)(task, mm);
	if (is_last_thread())
		lwc_process_release_memory();
	lwc_hook_leave();
}

/* With the process's lock held: no thread can go elsewhere meanwhile. */
static bool has_thread_elsewhere(const struct lwc_process *process)
{
	struct task_struct *task;
	bool found = false;

	lockdep_assert_held(&process->lock);
	rcu_read_lock();
	for_each_thread(current, task) {
		if (is_elsewhere(task)) {
			found = true;
			break;
		}
	}
	rcu_read_unlock();
	return found;
}

/*
 * The lock is not held over the original, which takes locks that come before
 * it; a mark keeps everyone where they are meanwhile.
 */
static long synchronize_filters(unsigned int op, unsigned int flags, void __user *uargs)
{
	struct lwc_process *process = lwc_process_current(false);
	long err;

	if (!process)
		return static_call(original_do_seccomp)(op, flags, uargs);
	err = lwc_process_lock(process, LWC_EXCLUDE_NOBODY);
	if (err)
		goto put_process;
	if (has_thread_elsewhere(process)) {
		lwc_process_unlock(process);
		lwc_count(refusals);
		err = -EOPNOTSUPP;
		goto put_process;
	}
	process->syncing = true;
	lwc_process_unlock(process);

	err = static_call(original_do_seccomp)(op, flags, uargs);

	mutex_lock(&process->lock);
	WRITE_ONCE(process->syncing, false);
	mutex_unlock(&process->lock);
	wake_up_all(&process->sync_done);
put_process:
	lwc_process_put(process);
	return err;
}

static long guarded_do_seccomp(unsigned int op, unsigned int flags, void __user *uargs)
{
	long err;

	lwc_hook_enter();
	err = synchronize_filters(op, flags, uargs);
	lwc_hook_leave();
	return err;
}

/*
 * The one call by which a mapping can come to show another part of its object. Looking
 * at the mapping in question would not do: another thread may move one there.
 */
static bool is_remap_refused(void)
{
	if (!lwc_memory_is_limited(current->mm))
		return false;
	lwc_count(refusals);
	return true;
}

static long guarded_remap(const struct pt_regs *regs)
{
	long err = -EPERM;

	lwc_hook_enter();
	if (!is_remap_refused())
		err = static_call(original_remap)(regs);
	lwc_hook_leave();
	return err;
}

#ifdef CONFIG_IA32_EMULATION
static long guarded_remap_ia32(const struct pt_regs *regs)
{
	long err = -EPERM;

	lwc_hook_enter();
	if (!is_remap_refused())
		err = static_call(original_remap_ia32)(regs);
	lwc_hook_leave();
	return err;
}
#endif

static bool concerns_sibling(const struct pt_regs *regs)
{
	return is_sibling((struct task_struct *)regs->di);
}

static bool concerns_known_task(const struct pt_regs *regs)
{
	struct task_struct *task = (struct task_struct *)regs->di;

	return task != current && (same_thread_group(task, current) || lwc_thread_find(task));
}

static bool concerns_all_threads(const struct pt_regs *regs)
{
	return regs->di == SECCOMP_SET_MODE_FILTER && (regs->si & SECCOMP_FILTER_FLAG_TSYNC);
}

static bool concerns_known_thread(const struct pt_regs *regs)
{
	return lwc_thread_find(current) ||
	       (is_last_thread() && lwc_process_is_known(current));
}

static bool concerns_all(const struct pt_regs *regs)
{
	return true;
}

enum {
	HOOK_PTRACE, HOOK_FGET, HOOK_LOOKUP, HOOK_LOOKUP_NEXT, HOOK_SECCOMP, HOOK_EXIT, HOOK_REMAP,
#ifdef CONFIG_IA32_EMULATION
	HOOK_REMAP_IA32,
#endif
	N_HOOKS
};

static struct lwc_hook hooks[N_HOOKS] = {
	[HOOK_PTRACE] = {
		.name = "__ptrace_may_access",
		.concerns = concerns_sibling,
		.replacement = guarded_ptrace_may_access,
	},
	[HOOK_FGET] = {
		.name = "fget_task",
		.concerns = concerns_known_task,
		.replacement = guarded_fget_task,
	},
	[HOOK_LOOKUP] = {
		.name = LWC_TASK_LOOKUP,
		.concerns = concerns_sibling,
		.replacement = guarded_task_lookup,
	},
	[HOOK_LOOKUP_NEXT] = {
		.name = LWC_TASK_LOOKUP_NEXT,
		.concerns = concerns_sibling,
		.replacement = guarded_task_lookup_next,
	},
	[HOOK_SECCOMP] = {
		.name = "do_seccomp",
		.concerns = concerns_all_threads,
		.replacement = guarded_do_seccomp,
	},
	[HOOK_EXIT] = {
		.name = "exit_mm_release",
		.concerns = concerns_known_thread,
		.replacement = guarded_exit_mm_release,
	},
	[HOOK_REMAP] = {
		.name = "__x64_sys_remap_file_pages",
		.concerns = concerns_all,
		.replacement = guarded_remap,
	},
#ifdef CONFIG_IA32_EMULATION
	[HOOK_REMAP_IA32] = {
		.name = "__ia32_sys_remap_file_pages",
		.concerns = concerns_all,
		.replacement = guarded_remap_ia32,
	},
#endif
};

static void remove_hooks(unsigned int n)
{
	while (n-- > 0)
		lwc_hook_remove(&hooks[n]);
	lwc_hooks_drain();
}

int lwc_guard_init(void)
{
	unsigned int i;
	int err;

	for (i = 0; i < N_HOOKS; i++) {
		err = lwc_hook_find(&hooks[i]);
		if (err)
			return err;
	}
	static_call_update(original_ptrace_may_access,
			   (typeof(__ptrace_may_access) *)hooks[HOOK_PTRACE].original);
	static_call_update(original_fget_task, (typeof(fget_task) *)hooks[HOOK_FGET].original);
	static_call_update(original_task_lookup,
			   (typeof(lwc_task_lookup) *)hooks[HOOK_LOOKUP].original);
	static_call_update(original_task_lookup_next,
			   (typeof(lwc_task_lookup_next) *)hooks[HOOK_LOOKUP_NEXT].original);
	static_call_update(original_do_seccomp,
			   (typeof(do_seccomp) *)hooks[HOOK_SECCOMP].original);
	static_call_update(original_exit_mm_release,
			   (typeof(exit_mm_release) *)hooks[HOOK_EXIT].original);
	static_call_update(original_remap,
			   (typeof(__x64_sys_remap_file_pages) *)hooks[HOOK_REMAP].original);
#ifdef CONFIG_IA32_EMULATION
	static_call_update(original_remap_ia32, (typeof(__ia32_sys_remap_file_pages) *)
						hooks[HOOK_REMAP_IA32].original);
#endif
	for (i = 0; i < N_HOOKS; i++) {
		err = lwc_hook_install(&hooks[i]);
		if (err) {
			remove_hooks(i);
			return err;
		}
	}
	return 0;
}

void lwc_guard_exit(void)
{
	remove_hooks(N_HOOKS);
}
