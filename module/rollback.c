// SPDX-License-Identifier: GPL-2.0
/*
 * rollback.c - makes the current context again what it was at a snapshot.
 *
 * The snapshot is a duplicate of the address space, and the running one is
 * left alone when it is taken. A rollback copies back what was written; where
 * that cannot be, it duplicates the snapshot's and puts the context there. A
 * half-restored context never runs.
 */
#include <linux/file.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/slab.h>

#include "context.h"
#include "files.h"
#include "kernel/compat.h"
#include "mm.h"
#include "place.h"
#include "process.h"
#include "rollback.h"
#include "signals.h"
#include "snapshot.h"
#include "stats.h"
#include "switch.h"

/* Is @thread the only one that is, or has a place, in its context? */
static bool is_alone(const struct lwc_thread *thread)
{
	const struct lwc_context *context = thread->context;
	const struct lwc_place *place;

	list_for_each_entry(place, &context->places, of_context) {
		if (place->thread != thread && !(place->thread->task->flags & PF_EXITING))
			return false;
	}
	if (!thread_group_empty(current) && lwc_context_is_occupied(context, current))
		return false;
	return !lwc_context_has_company(context);
}

/*
 * A snapshot of @process: one that a child has of its parent's is a descriptor as others
 * are, and what it names may go at any time.
 */
static const struct lwc_context *snapshot_of(const struct lwc_process *process, struct file *file)
{
	const struct lwc_descriptor *descriptor = lwc_descriptor_of(file);

	if (!descriptor || !descriptor->context->snapshot ||
	    descriptor->context->process != process)
		return NULL;
	return descriptor->context;
}

/* Descriptors of snapshots are not part of what is recorded: they stay. */
static bool is_no_snapshot(const void *process, unsigned int fd, struct file *file)
{
	return !snapshot_of(process, file);
}

/* But duplicates made since are taken out as everything else. */
static bool is_living_snapshot(const void *process, unsigned int fd, struct file *file)
{
	const struct lwc_context *record = snapshot_of(process, file);

	return record && record->alive && record->snapshot->fd == fd;
}

/* What a snapshot's table has of the running one's. */
static struct lwc_files_view recorded_by(const struct lwc_context *record)
{
	return (struct lwc_files_view){ .keep = is_no_snapshot, .context = record->process };
}

/* The point to come back to: here, as the system call returns. */
static void record_place(struct lwc_snapshot *snapshot, unsigned int flags,
			 struct lwc_event __user *event)
{
	lwc_place_save(snapshot->place);
	lwc_place_copy_extended(snapshot->place);
	snapshot->place->event = event;
	snapshot->traps_faults = flags & LWC_TRAP_FAULTS;
	snapshot->single = thread_group_empty(current);
	lwc_lock_signals();
	memcpy(snapshot->actions, lwc_sighand()->action, sizeof(snapshot->actions));
	lwc_unlock_signals();
}

/* A record for a new snapshot of the context that @thread is in. */
static struct lwc_context *new_record(struct lwc_thread *thread, struct list_head *doomed)
{
	struct lwc_context *record = lwc_context_new(thread->process, doomed);
	struct lwc_snapshot *snapshot;

	if (IS_ERR(record))
		return record;
	snapshot = kzalloc(sizeof(*snapshot), GFP_KERNEL_ACCOUNT);
	if (snapshot)
		snapshot->place = lwc_place_alloc();
	if (!snapshot || !snapshot->place) {
		kfree(snapshot);
		lwc_context_doom(record, doomed);
		return ERR_PTR(-ENOMEM);
	}
	snapshot->record = record;
	snapshot->base = thread->context;
	lwc_context_get(snapshot->base);
	snapshot->thread = thread->serial;
	list_add_tail(&snapshot->of_base, &snapshot->base->snapshots);
	record->snapshot = snapshot;
	record->frozen = true;
	return record;
}

/* May the current thread record or restore its context now? */
static int may_record(const struct lwc_thread *thread)
{
	int err = lwc_switch_refused(thread);

	if (err)
		return err;
	if (!is_alone(thread))
		return -EBUSY;
	return lwc_mm_has_state_of_its_own(current->mm) ? -EOPNOTSUPP : 0;
}

/* With the process's lock held. Return: the descriptor or an error. */
static int take_locked(struct lwc_process *process, unsigned int flags,
		       struct lwc_event __user *event, struct list_head *doomed)
{
	struct lwc_thread *thread = lwc_thread_current(process);
	struct lwc_context *record;
	struct file *file;
	int err, fd;

	if (IS_ERR(thread))
		return PTR_ERR(thread);
	err = may_record(thread);
	if (err)
		return err;
	record = new_record(thread, doomed);
	if (IS_ERR(record))
		return PTR_ERR(record);
	lwc_powers_update(&thread->context->powers);
	err = lwc_context_fill(record, thread->context, is_no_snapshot, process);
	if (err)
		goto doom;
	record_place(record->snapshot, flags, event);
	file = lwc_descriptor_open(record, 0, false);
	if (IS_ERR(file)) {
		err = PTR_ERR(file);
		goto doom;
	}
	fd = lwc_descriptor_install(thread->context, file);
	record->snapshot->fd = fd;
	/* Where it got no descriptor, its last file goes here, and it with that. */
	fput(file);
	return fd;

doom:
	lwc_context_doom(record, doomed);
	return err;
}

/*
 * Re-arming: what the snapshot has becomes what there is now. With the
 * process's lock held; @old_mm and @closing are put once it is dropped.
 */
static int rearm_locked(struct lwc_context *record, int fd, unsigned int flags,
			struct lwc_event __user *event,
			struct mm_struct **old_mm, struct lwc_closing **closing)
{
	const struct lwc_files_view view = recorded_by(record);
	struct lwc_snapshot *snapshot = record->snapshot;
	struct lwc_thread *thread;
	int err;

	if (!record->alive)
		return -ESRCH;
	thread = lwc_thread_current(record->process);
	if (IS_ERR(thread))
		return PTR_ERR(thread);
	if (snapshot->thread != thread->serial || snapshot->base != thread->context)
		return -EINVAL;
	if (record->shares_files != thread->context->shares_files)
		return -EOPNOTSUPP;
	err = may_record(thread);
	if (err)
		return err;
	lwc_transit_begin(thread);
	if (!record->shares_files)
		*closing = lwc_files_reserve(record->files, current->files, &view);
	lwc_transit_end(thread);
	if (IS_ERR(*closing))
		return PTR_ERR(*closing);
	err = lwc_context_refill_mm(record, thread->context, old_mm);
	if (err) {
		lwc_files_close(*closing);
		return err;
	}
	lwc_files_equalise(record->files, current->files, &view, *closing);
	lwc_fs_equalise(record->fs, current->fs);
	lwc_powers_update(&record->powers);
	record_place(snapshot, flags, event);
	snapshot->fd = fd;
	list_move_tail(&snapshot->of_base, &thread->context->snapshots);
	return 0;
}

long lwc_snapshot(const struct lwc_snapshot_args *args)
{
	struct lwc_event __user *to = u64_to_user_ptr(args->event);
	struct lwc_event event = { .caller = -1, .reason = LWC_EV_CREATED };
	struct lwc_descriptor *descriptor = NULL;
	struct lwc_closing *closing = NULL;
	struct mm_struct *old_mm = NULL;
	struct lwc_process *process;
	struct file *file = NULL;
	LIST_HEAD(doomed);
	long err;

	if (args->reserved || (args->flags & ~LWC_SNAPSHOT_FLAGS))
		return -EINVAL;
	if (args->snapshot != -1) {
		file = fget(args->snapshot);
		if (!file)
			return -EBADF;
		descriptor = lwc_descriptor_of(file);
		err = -EBADF;
		if (!descriptor)
			goto put_file;
		err = -EINVAL;
		if (!descriptor->context->snapshot)
			goto put_file;
	}
	err = -EOPNOTSUPP;
	if (args->flags & ~LWC_WORKING_SNAPSHOT_FLAGS)
		goto put_file;
	err = lwc_event_probe(to);
	if (err)
		goto put_file;

	if (descriptor) {
		process = descriptor->context->process;
		lwc_process_get(process);
	} else {
		process = lwc_process_current(true);
		err = -ENOMEM;
		if (!process)
			goto put_file;
	}
	err = lwc_process_lock(process, LWC_EXCLUDE_NOBODY);
	if (err)
		goto put_process;
	if (descriptor) {
		err = rearm_locked(descriptor->context, args->snapshot, args->flags, to, &old_mm,
				   &closing);
		event.created = args->snapshot;
	} else {
		event.created = take_locked(process, args->flags, to, &doomed);
		err = min(event.created, 0);
	}
	lwc_process_unlock(process);
	lwc_context_bury(&doomed);
	if (err)
		goto put_process;
	lwc_files_close(closing);
	lwc_mm_put(old_mm, process->leader);
	lwc_event_deliver(to, &event);
put_process:
	lwc_process_put(process);
put_file:
	if (file)
		fput(file);
	return err;
}

static void restore_actions(const struct lwc_snapshot *snapshot)
{
	if (!snapshot->single || !thread_group_empty(current) ||
	    refcount_read(&lwc_sighand()->count) != 1)
		return;
	lwc_lock_signals();
	memcpy(lwc_sighand()->action, snapshot->actions, sizeof(snapshot->actions));
	lwc_unlock_signals();
}

/* The context goes on in @mm. Return: what it ran in, with the task's reference. */
static struct mm_struct *replace_mm(struct lwc_thread *thread, struct mm_struct *mm)
{
	struct lwc_context *context = thread->context;
	struct mm_struct *before = context->mm;

	if (context->owned)
		mmget(mm);
	lwc_transit_begin(thread);
	lwc_mm_leave();
	task_lock(current);
	lwc_mm_enter(mm, thread->process->leader);
	task_unlock(current);
	lwc_mm_entered();
	lwc_transit_end(thread);
	lwc_context_set_mm(context, mm);
	/* The context's own reference; the task's is the caller's to put. */
	if (context->owned)
		mmput(before);
	return before;
}

/* A context that cannot be finished is the end of the process. */
static int restore_mm(struct lwc_context *record, struct lwc_context *base, struct mm_struct **mm)
{
	int err = lwc_context_restore_mm(base, record, mm);

	if (likely(!base->torn))
		return err;
	/* A half-restored context never runs. */
	force_sig(SIGKILL);
	return -ENOTRECOVERABLE;
}

/* What the running table has of a snapshot's, and besides. */
static struct lwc_files_view restored_of(const struct lwc_context *record)
{
	return (struct lwc_files_view){ .spare = is_living_snapshot, .context = record->process };
}

static bool is_of(const void *record, unsigned int fd, struct file *file)
{
	const struct lwc_descriptor *descriptor = lwc_descriptor_of(file);

	return descriptor && descriptor->context == record;
}

/* Of a table that is shared, and so not put back, what is left of the inner ones goes. */
static void take_out_inner(struct files_struct *files, const struct list_head *doomed)
{
	unsigned long left = rlimit(RLIMIT_NOFILE);
	const struct lwc_context *record;
	struct file *file;
	int fd;

	list_for_each_entry(record, doomed, of_process) {
		/* Siblings in another context might duplicate them all the time. */
		while (left && (file = lwc_files_find(files, is_of, record, &fd))) {
			lwc_files_take_out(files, fd, file);
			fput(file);
			left--;
		}
	}
}

/* The address space and the descriptors stay the context's; what it may do may not. */
static enum lwc_exclusion exclusion_for(const struct lwc_context *record)
{
	return lwc_powers_differ(&record->powers) ? LWC_EXCLUDE_TRACERS : LWC_EXCLUDE_NOBODY;
}

/* With the process's lock held. */
static int rollback_locked(struct lwc_context *record, struct file *file,
			   struct lwc_event *event,
			   struct lwc_event __user **to, struct mm_struct **old_mm,
			   struct lwc_closing **closing, struct list_head *doomed)
{
	const struct lwc_files_view view = restored_of(record), without_inner = {};
	struct lwc_snapshot *snapshot = record->snapshot;
	struct lwc_thread *thread;
	struct mm_struct *mm;
	int err;

	if (!record->alive)
		return -ESRCH;
	thread = lwc_thread_current(record->process);
	if (IS_ERR(thread))
		return PTR_ERR(thread);
	if (snapshot->thread != thread->serial || snapshot->base != thread->context)
		return -EINVAL;
	err = lwc_switch_refused(thread);
	if (err)
		return err;
	if (!is_alone(thread))
		return -EBUSY;
	/* What was read without the lock has changed meanwhile. */
	if (record->process->exclusion < exclusion_for(record))
		return -EAGAIN;
	err = lwc_powers_refused(&record->powers);
	if (err)
		return err;
	/* It has unshared its table since: what there was in that is not known. */
	if (record->shares_files != thread->context->shares_files)
		return -EOPNOTSUPP;
	/* Those armed later live until nothing can fail any more, and go then. */
	if (!record->shares_files)
		*closing = lwc_files_reserve(current->files, record->files,
					     list_is_last(&snapshot->of_base,
							  &thread->context->snapshots) ?
					     &view : &without_inner);
	if (IS_ERR(*closing))
		return PTR_ERR(*closing);
	err = restore_mm(record, thread->context, &mm);
	if (err)
		return err;

	/* From here on nothing fails. */
	lwc_snapshots_doom(thread->context, snapshot, doomed);
	lwc_files_equalise(current->files, record->files, &view, *closing);
	if (record->shares_files)
		take_out_inner(current->files, doomed);
	/* It may have been called by a duplicate of a descriptor that was closed. */
	lwc_files_put_back(current->files, snapshot->fd, file);
	lwc_fs_equalise(current->fs, record->fs);
	lwc_powers_enter(&record->powers);
	restore_actions(snapshot);
	*old_mm = mm ? replace_mm(thread, mm) : NULL;
	lwc_place_restore_extended(snapshot->place);
	lwc_place_load(snapshot->place);
	lwc_count(rollbacks);
	event->created = snapshot->fd;
	*to = snapshot->place->event;
	return 0;
}

/*
 * With the process's lock held, which it drops. On success @to is where the event
 * is wanted.
 */
static int rollback_and_unlock(struct lwc_context *record, struct file *file,
			       struct lwc_event *event, struct lwc_event __user **to)
{
	struct lwc_process *process = record->process;
	struct lwc_closing *closing = NULL;
	struct mm_struct *old_mm;
	LIST_HEAD(doomed);
	int err;

	err = rollback_locked(record, file, event, to, &old_mm, &closing, &doomed);
	lwc_process_unlock(process);
	lwc_context_bury(&doomed);
	if (!IS_ERR(closing))
		lwc_files_close(closing);
	if (!err)
		lwc_mm_put(old_mm, process->leader);
	return err;
}

long lwc_rollback(struct lwc_descriptor *descriptor, const struct lwc_rollback_args *args)
{
	struct lwc_event event = {
		.caller = -1, .reason = LWC_EV_ROLLBACK, .arg = args->arg,
	};
	struct lwc_context *record = descriptor->context;
	struct lwc_event __user *to;
	int err;

	if (args->flags || !record->snapshot)
		return -EINVAL;
	do {
		err = lwc_process_lock(record->process, exclusion_for(record));
		if (err)
			return err;
		err = rollback_and_unlock(record, descriptor->file, &event, &to);
	} while (err == -EAGAIN);
	if (err)
		return err;
	lwc_event_deliver(to, &event);
	return current_pt_regs()->ax;
}

/* The innermost one of @thread's that wants faults. */
static struct lwc_snapshot *find_trapping(const struct lwc_thread *thread)
{
	struct lwc_snapshot *snapshot;

	list_for_each_entry_reverse(snapshot, &thread->context->snapshots, of_base) {
		if (snapshot->traps_faults && snapshot->thread == thread->serial)
			return snapshot;
	}
	return NULL;
}

/* The file behind one of the descriptors that the task has of a snapshot. */
static struct file *get_descriptor(struct lwc_context *table, struct lwc_context *record)
{
	const int fd = lwc_descriptor_number(table, record);

	return fd < 0 ? NULL : fget(fd);
}

int lwc_rollback_at_fault(struct lwc_thread *thread, struct lwc_event *event,
			  struct lwc_event __user **to)
{
	struct lwc_process *process = thread->process;
	struct lwc_snapshot *snapshot;
	struct file *file;
	int err;

	err = lwc_process_lock(process, LWC_EXCLUDE_TRACERS);
	if (err)
		return err;
	err = lwc_context_settle(thread->context);
	if (err)
		goto unlock;
	err = -ENOENT;
	snapshot = find_trapping(thread);
	if (!snapshot)
		goto unlock;
	file = get_descriptor(thread->context, snapshot->record);
	if (!file)
		goto unlock;
	err = rollback_and_unlock(snapshot->record, file, event, to);
	fput(file);
	return err;

unlock:
	lwc_process_unlock(process);
	return err;
}
