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
 * task_lookup functions do the same for the listing of /proc/PID/fd. Whoever of another
 * process looks a file up is asked once more whether it may, at that moment.
 *
 * do_seccomp() with TSYNC gives all threads the caller's filters, in whatever
 * context they are.
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

/* Nobody knows any more where one was that has lost its memory, and not yet its files. */
static bool may_have_been_elsewhere(struct task_struct *task)
{
	return is_sibling(task) && !READ_ONCE(task->mm) &&
	       (READ_ONCE(task->files) || READ_ONCE(task->fs)) && lwc_process_is_known(current);
}

static int guarded_ptrace_may_access(struct task_struct *task, unsigned int mode)
{
	int err;

	lwc_hook_enter();
	if (is_elsewhere(task) || may_have_been_elsewhere(task)) {
		lwc_count(refusals);
		err = -EPERM;
	} else {
		err = static_call(original_ptrace_may_access)(task, mode);
	}
	lwc_hook_leave();
	return err;
}

/*
 * May the current task still look at @task, which it could a while ago? In another context
 * that may have other credentials, or be shut; where it ends the kernel knows which it was.
 */
static bool is_still_open(struct task_struct *task)
{
	bool open;

	task_lock(task);
	/* Some ask for the one, some for the other. */
	open = !static_call(original_ptrace_may_access)(task, PTRACE_MODE_READ_FSCREDS) ||
	       !static_call(original_ptrace_may_access)(task, PTRACE_MODE_READ_REALCREDS);
	task_unlock(task);
	return open || lwc_broken(OPEN_ONCE);
}

/* Where another task is: what is taken of it in between is judged by two readings. */
struct whereabouts {
	unsigned long transits;
	bool here;
};

static struct whereabouts whereabouts_of(struct task_struct *task)
{
	struct whereabouts where = { .transits = transits_of(task) };

	/* Pairs with lwc_transit_begin() and lwc_transit_end(). */
	smp_rmb();
	/* A sibling without an mm ends, and its files may be another context's. */
	where.here = !(where.transits & 1) &&
		     (!is_sibling(task) || READ_ONCE(task->mm) == current->mm);
	return where;
}

/* Was what has been taken of it since in a place that the current task may look at? */
static bool was_open(struct task_struct *task, const struct whereabouts *where)
{
	if (!is_sibling(task) && !is_still_open(task))
		return false;
	/* What is judged was taken before this second reading. */
	smp_rmb();
	return transits_of(task) == where->transits;
}

/* One of the kernel's ways to a file of another task; @fd is moved by the last of them. */
typedef struct file *(*lookup)(struct task_struct *task, unsigned int *fd);

/* @refused: it is a sibling that is, or was meanwhile, elsewhere. */
static __always_inline struct file *look_up(struct task_struct *task, unsigned int *fd,
					    lookup take, void (*put)(struct file *file),
					    bool *refused)
{
	const unsigned int first = *fd;
	unsigned int tries;

	*refused = false;
	/* It may come and go between contexts. */
	for (tries = 0; tries < LWC_MAX_TRIES && !*refused; tries++) {
		const struct whereabouts where = whereabouts_of(task);
		struct file *file;

		*fd = first;
		file = where.here ? take(task, fd) : NULL;
		if (where.here && (!file || was_open(task, &where)))
			return file;
		if (file)
			put(file);
		*refused = is_sibling(task);
	}
	return NULL;
}

static struct file *take_by_fget(struct task_struct *task, unsigned int *fd)
{
	return static_call(original_fget_task)(task, *fd);
}

static struct file *take_by_lookup(struct task_struct *task, unsigned int *fd)
{
	return static_call(original_task_lookup)(task, *fd);
}

static struct file *take_by_lookup_next(struct task_struct *task, unsigned int *fd)
{
	return static_call(original_task_lookup_next)(task, fd);
}

static struct file *guarded_fget_task(struct task_struct *task, unsigned int fd)
{
	struct file *file;
	bool refused;

	lwc_hook_enter();
	file = look_up(task, &fd, take_by_fget, fput, &refused);
	if (refused)
		lwc_count(refusals);
	lwc_hook_leave();
	return file;
}

static struct file *guarded_task_lookup(struct task_struct *task, unsigned int fd)
{
	struct file *file;
	bool refused;

	lwc_hook_enter();
	file = look_up(task, &fd, take_by_lookup, lwc_put_looked_up, &refused);
	lwc_hook_leave();
	return file;
}

static struct file *guarded_task_lookup_next(struct task_struct *task, unsigned int *fd)
{
	struct file *file;
	bool refused;

	lwc_hook_enter();
	file = look_up(task, fd, take_by_lookup_next, lwc_put_looked_up, &refused);
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
 * may look at this task meanwhile (the caller is in transit, and excludes lookers).
 */
static void enter_memory(struct lwc_process *process, struct mm_struct *mm)
{
	lwc_mm_leave();
	task_lock(current);
	lwc_mm_enter(mm, process->leader);
	task_unlock(current);
	lwc_mm_entered();
}

/* What the kernel writes to and reads in the memory of a thread that ends. */
struct last_words {
	struct robust_list_head __user *robust_list;
#ifdef CONFIG_COMPAT
	struct compat_robust_list_head __user *compat_robust_list;
#endif
	int __user *clear_child_tid;
	u32 pkru;
};

static struct last_words last_words_here(void)
{
	return (struct last_words){
		.robust_list = current->robust_list,
#ifdef CONFIG_COMPAT
		.compat_robust_list = current->compat_robust_list,
#endif
		.clear_child_tid = current->clear_child_tid,
		.pkru = read_pkru(),
	};
}

static struct last_words last_words_at(const struct lwc_place *place)
{
	return (struct last_words){
		.robust_list = place->robust_list,
#ifdef CONFIG_COMPAT
		.compat_robust_list = lwc_broken(COMPAT_LIST_STAYS) ? current->compat_robust_list :
				      place->compat_robust_list,
#endif
		.clear_child_tid = place->clear_child_tid,
		.pkru = place->pkru,
	};
}

static void set_last_words(const struct last_words *words)
{
	current->robust_list = words->robust_list;
#ifdef CONFIG_COMPAT
	current->compat_robust_list = words->compat_robust_list;
#endif
	current->clear_child_tid = words->clear_child_tid;
	write_pkru(words->pkru);
}

/*
 * The memory of the birth context becomes the current task's before the process's lock
 * is let go: whoever puts that context back next has to see that somebody is in it.
 *
 * Return: that memory, with a reference; NULL: there is nothing to tell there.
 */
static struct mm_struct *enter_birth(struct lwc_thread *thread)
{
	struct lwc_process *process = thread->process;
	struct mm_struct *birth_mm = NULL;
	struct last_words words;
	struct lwc_place *place;

	down_write(&current->signal->exec_update_lock);
	mutex_lock(&process->lock);
	place = birth_place(thread);
	if (place && mmget_not_zero(thread->birth->mm)) {
		birth_mm = thread->birth->mm;
		words = last_words_at(place);
		set_last_words(&words);
		lwc_transit_begin(thread);
		enter_memory(process, birth_mm);
	}
	mutex_unlock(&process->lock);
	up_write(&current->signal->exec_update_lock);
	return birth_mm;
}

/* pthread_join() and robust mutexes wait where the thread was made. */
static void release_at_birth(struct lwc_thread *thread)
{
	struct mm_struct *mm = current->mm, *birth_mm;
	struct last_words here = last_words_here();

	if (thread->context == thread->birth)
		return;
	birth_mm = enter_birth(thread);
	if (!birth_mm)
		return;
	static_call(original_exit_mm_release)(current, birth_mm);
	down_write(&current->signal->exec_update_lock);
	enter_memory(thread->process, mm);
	up_write(&current->signal->exec_update_lock);
	lwc_transit_end(thread);
	mmput(birth_mm);
	here.clear_child_tid = NULL;
	set_last_words(&here);
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
	if (thread && task == current && mm) {
		/* It never comes back, and is about to be in memory that others may look at. */
		if (lwc_mm_is_hidden(mm) && !lwc_broken(LAST_REGISTERS_SHOW))
			lwc_private_forget(current);
		release_at_birth(thread);
	}
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

static bool concerns_sibling(const struct pt_regs *regs)
{
	return is_sibling((struct task_struct *)regs->di);
}

/* The record of one that ends may be gone before its files are. */
static bool concerns_known_task(const struct pt_regs *regs)
{
	struct task_struct *task = (struct task_struct *)regs->di;

	return task != current && (same_thread_group(task, current) || lwc_thread_find(task) ||
				   (READ_ONCE(task->flags) & PF_EXITING));
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

enum {
	HOOK_PTRACE, HOOK_FGET, HOOK_LOOKUP, HOOK_LOOKUP_NEXT, HOOK_SECCOMP, HOOK_EXIT, N_HOOKS
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
		.concerns = concerns_known_task,
		.replacement = guarded_task_lookup,
	},
	[HOOK_LOOKUP_NEXT] = {
		.name = LWC_TASK_LOOKUP_NEXT,
		.concerns = concerns_known_task,
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
};

int lwc_guard_init(void)
{
	int err = lwc_hooks_find(hooks, N_HOOKS);

	if (err)
		return err;
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
	return lwc_hooks_install(hooks, N_HOOKS);
}

void lwc_guard_exit(void)
{
	lwc_hooks_remove(hooks, N_HOOKS);
}
