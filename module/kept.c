// SPDX-License-Identifier: GPL-2.0
/*
 * kept.c - records what a context is, and puts it back to that.
 *
 * Everything is made equal in place: memory by the engine, descriptors by
 * difference, places one by one. What needs memory comes first, so that only
 * the address space can fail half-way; then the one that was to be changed is
 * torn. Must never touch a context that a thread is in.
 */
#include <linux/fs_struct.h>
#include <linux/sched/signal.h>
#include <linux/lwc.h>

#include "broken.h"
#include "context.h"
#include "files.h"
#include "kept.h"
#include "mm.h"
#include "place.h"
#include "private.h"
#include "process.h"
#include "ranges.h"
#include "switch.h"

/* A thread that ends inside still runs on its own. */
static bool is_running(const struct lwc_place *place)
{
	return place->thread->place == place;
}

static struct lwc_place *place_of(const struct lwc_context *context,
				  const struct lwc_thread *thread)
{
	struct lwc_place *place;

	list_for_each_entry(place, &context->places, of_context) {
		if (place->thread == thread)
			return place;
	}
	return NULL;
}

/* Room for the places that @from has and @to lacks. */
static int reserve_places(const struct lwc_context *to, const struct lwc_context *from,
			  struct list_head *places)
{
	const struct lwc_place *place;
	struct lwc_place *made;

	list_for_each_entry(place, &from->places, of_context) {
		if (is_running(place) || place_of(to, place->thread))
			continue;
		made = lwc_place_alloc();
		if (!made)
			return -ENOMEM;
		list_add(&made->of_context, places);
	}
	return 0;
}

/* The threads that have a place in @from have the same in @to, and no others. */
static void equalise_places(struct lwc_context *to, struct lwc_context *from,
			    struct list_head *places)
{
	struct lwc_place *place, *next, *other;

	list_for_each_entry_safe(place, next, &to->places, of_context) {
		if (!is_running(place) && !place_of(from, place->thread))
			lwc_context_forget_place(place);
	}
	list_for_each_entry(place, &from->places, of_context) {
		other = place_of(to, place->thread);
		if (is_running(place) || (other && is_running(other)))
			continue;
		if (!other) {
			other = list_first_entry(places, struct lwc_place, of_context);
			list_del(&other->of_context);
			lwc_context_add_place(to, place->thread, other);
		}
		if (!lwc_broken(PLACE_NOT_RESTORED))
			lwc_place_copy(other, place);
	}
}

/*
 * All descriptors count, those of contexts as well. But of those that the record has
 * got for callers since it was made the context gets that of who is about to enter.
 */
static const struct lwc_files_view whole = {};

static bool is_for_it(const void *caller, unsigned int fd, struct file *file)
{
	const struct lwc_descriptor *descriptor = lwc_descriptor_of(file);

	return !descriptor || !descriptor->for_fresh || descriptor->context == caller;
}

static void reset_begin(struct lwc_reset *reset)
{
	*reset = (struct lwc_reset){ .places = LIST_HEAD_INIT(reset->places) };
}

/* What @to needs to become @from, but for the address space. */
static int reserve(struct lwc_reset *reset, struct lwc_context *to, struct lwc_context *from,
		   struct lwc_thread *thread, const struct lwc_files_view *view)
{
	struct lwc_closing *closing;

	/* The table may have to grow, for which the task borrows it. */
	lwc_transit_begin(thread);
	closing = lwc_context_reserve_files(to, from->files, from->shares_files, view);
	lwc_transit_end(thread);
	if (IS_ERR(closing))
		return PTR_ERR(closing);
	reset->closing = closing;
	return reserve_places(to, from, &reset->places);
}

/* The address space is equal. Cannot fail. */
static void equalise(struct lwc_reset *reset, struct lwc_context *to, struct lwc_context *from,
		     const struct lwc_files_view *view)
{
	lwc_context_equalise_files(to, from->files, from->shares_files, view, reset->closing);
	lwc_fs_equalise(to->fs, from->fs);
	lwc_powers_copy(&to->powers, &from->powers);
	equalise_places(to, from, &reset->places);
}

int lwc_kept_make(struct lwc_context *context)
{
	struct lwc_reset reset;
	int err;

	context->kept = lwc_context_record(context->process);
	if (!context->kept)
		return -ENOMEM;
	/* Who calls with LWC_FRESH is named in the record's table first. */
	context->kept->creator = context->creator;
	context->kept->depth = context->depth;
	lwc_context_get(context->creator);
	context->kept->grants = lwc_ranges_get(context->grants);
	err = lwc_context_fill(context->kept, context, NULL, NULL);
	if (err)
		return err;
	reset_begin(&reset);
	err = reserve_places(context->kept, context, &reset.places);
	if (!err)
		equalise_places(context->kept, context, &reset.places);
	lwc_reset_end(&reset, context->process);
	return err;
}

int lwc_kept_take(struct lwc_context *context, struct lwc_thread *thread, struct lwc_reset *reset)
{
	struct lwc_context *kept = context->kept;
	int err;

	reset_begin(reset);
	if (lwc_mm_has_state_of_its_own(context->mm))
		return -EOPNOTSUPP;
	err = reserve(reset, kept, context, thread, &whole);
	if (err)
		return err;
	err = lwc_context_refill_mm(kept, context, &reset->old_mm);
	if (err)
		return err;
	equalise(reset, kept, context, &whole);
	return 0;
}

/* Does a child made by clone(CLONE_FILES or CLONE_FS) use what is put back? */
static bool has_sharers(const struct lwc_context *context, bool inside)
{
	const int expected = inside && context->owned ? 2 : 1;
	const bool shares = context->shares_files;
	struct task_struct *process, *task;
	bool found = false;

	/* Who reads /proc is a user too, so a count above ours proves nothing. */
	if ((shares || atomic_read(&context->files->count) == expected) &&
	    context->fs->users == expected)
		return false;
	rcu_read_lock();
	for_each_process_thread(process, task) {
		if (((!shares && READ_ONCE(task->files) == context->files) ||
		     READ_ONCE(task->fs) == context->fs) &&
		    !same_thread_group(task, current) && !(task->flags & PF_EXITING)) {
			found = true;
			goto unlock;
		}
	}
unlock:
	rcu_read_unlock();
	return found;
}

/* Can the kept state of @context be put in its place, or the other way round? */
static int refused(const struct lwc_context *context, const struct lwc_thread *thread)
{
	const bool inside = context == thread->context;

	if (!context->kept || !list_empty(&context->snapshots))
		return -EINVAL;
	if (lwc_context_is_occupied(context, inside ? current : NULL) ||
	    lwc_context_has_company(context) || has_sharers(context, inside))
		return -EBUSY;
	return 0;
}

int lwc_kept_refused(const struct lwc_context *context, const struct lwc_thread *thread)
{
	const int err = refused(context, thread);

	if (err)
		return err;
	return context->kept->torn ? -ENOTRECOVERABLE : 0;
}

int lwc_kept_prepare(struct lwc_context *context, struct lwc_thread *thread,
		     struct lwc_reset *reset)
{
	reset_begin(reset);
	reset->context = context;
	reset->caller = context == thread->context ? NULL : thread->context;
	return reserve(reset, context, context->kept, thread,
		       &(struct lwc_files_view){ .keep = is_for_it, .context = reset->caller });
}

int lwc_kept_restore(struct lwc_reset *reset)
{
	struct lwc_context *context = reset->context;
	struct mm_struct *mm;
	int err;

	err = lwc_context_restore_mm(context, context->kept, &mm);
	if (err)
		return err;
	if (mm) {
		reset->old_mm = context->mm;
		lwc_context_set_mm(context, mm);
	}
	equalise(reset, context, context->kept,
		 &(struct lwc_files_view){ .keep = is_for_it, .context = reset->caller });
	return 0;
}

void lwc_reset_end(struct lwc_reset *reset, struct lwc_process *process)
{
	struct lwc_place *place, *next;

	lwc_files_close(reset->closing);
	lwc_mm_put(reset->old_mm, process->leader);
	list_for_each_entry_safe(place, next, &reset->places, of_context)
		lwc_place_free(place);
}

static int keep_locked(struct lwc_context *context, bool of_self, struct lwc_reset *reset)
{
	struct lwc_thread *thread;
	int err;

	if (!context->alive)
		return -ESRCH;
	thread = lwc_thread_current(context->process);
	if (IS_ERR(thread))
		return PTR_ERR(thread);
	if (context == thread->context)
		return context->kept ? -EBUSY : -EINVAL;
	/* What lwc_self() gives out must not let what runs inside keep itself. */
	if (of_self)
		return -EPERM;
	err = refused(context, thread) ?: lwc_samplers_refused(context);
	if (err)
		return err;
	if (context->torn)
		return -ENOTRECOVERABLE;
	return lwc_kept_take(context, thread, reset);
}

long lwc_keep(struct lwc_descriptor *descriptor)
{
	struct lwc_context *context = descriptor->context;
	struct lwc_process *process = context->process;
	struct lwc_reset reset;
	int err;

	if (context->snapshot)
		return -EINVAL;
	if (!(READ_ONCE(descriptor->rights) & LWC_MAY_KEEP) && !lwc_broken(KEEP_FOR_ALL))
		return -EPERM;
	/* The record's table and memory are the task's for a moment. */
	err = lwc_process_lock(process, LWC_EXCLUDE_LOOKERS);
	if (err)
		return err;
	reset_begin(&reset);
	err = keep_locked(context, descriptor->of_self, &reset);
	lwc_process_unlock(process);
	lwc_reset_end(&reset, process);
	return err;
}
