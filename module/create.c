// SPDX-License-Identifier: GPL-2.0
/*
 * create.c - makes contexts, and makes them anew.
 *
 * A call that fails leaves both contexts as they were, but for a renew that
 * cannot finish what it has begun: that context is torn, and nobody enters it.
 */
#include <linux/file.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>

#include "broken.h"
#include "context.h"
#include "create.h"
#include "files.h"
#include "kept.h"
#include "kernel/compat.h"
#include "mm.h"
#include "place.h"
#include "private.h"
#include "process.h"
#include "ranges.h"
#include "snapshot.h"
#include "stats.h"
#include "switch.h"
#include "view.h"

/* The point that the new context starts from: here, as the system call returns. */
static void set_out(struct lwc_place *place, struct lwc_event __user *event)
{
	lwc_place_save(place);
	lwc_place_copy_extended(place);
	place->event = event;
}

/* With the process's lock held. Return: the descriptor or an error. */
static int create_locked(struct lwc_process *process, struct lwc_specs **specs,
			 struct lwc_ranges **grants, unsigned int flags,
			 struct lwc_event __user *event, struct list_head *doomed)
{
	struct lwc_descriptor *descriptor;
	struct lwc_context *context;
	struct lwc_thread *thread;
	struct lwc_place *place;
	struct file *file;
	int err, fd;

	thread = lwc_thread_current(process);
	if (IS_ERR(thread))
		return PTR_ERR(thread);
	err = lwc_switch_refused(thread);
	if (err)
		return err;
	/* Creators that have ended stay as long as what they have made does, and count no more. */
	if (thread->context->depth >= LWC_MAX_DEPTH && !lwc_broken(NO_END_OF_CREATORS))
		return -EMFILE;
	context = lwc_context_new(process, doomed);
	if (IS_ERR(context))
		return PTR_ERR(context);
	context->specs = *specs;
	*specs = NULL;
	context->grants = *grants;
	*grants = NULL;
	context->creator = thread->context;
	context->depth = thread->context->depth + 1;
	lwc_context_get(context->creator);
	context->creator_thread = thread->serial;
	context->traps_faults = flags & LWC_TRAP_FAULTS;
	context->private = flags & LWC_PRIVATE;
	context->looks = context->private ? SUID_DUMP_DISABLE : lwc_looks(current->mm);
	lwc_context_enlist(context);

	/*
	 * What becomes shared below stays so: there has to be a number for it by then. Who
	 * shares the table can see that already, and do nothing with it yet.
	 */
	file = lwc_descriptor_open(context, 0, false);
	if (IS_ERR(file)) {
		err = PTR_ERR(file);
		goto doom;
	}
	descriptor = file->private_data;
	fd = lwc_descriptor_install(thread->context, file);
	err = min(fd, 0);
	if (err)
		goto put_file;
	err = -ENOMEM;
	place = lwc_place_alloc();
	if (!place)
		goto take_out;
	lwc_powers_update(&thread->context->powers);
	err = lwc_context_fill(context, thread->context, lwc_specs_keep_file, context->specs);
	if (err) {
		lwc_place_free(place);
		goto take_out;
	}
	set_out(place, event);
	lwc_context_add_place(context, thread, place);
	if (flags & LWC_KEEP) {
		err = lwc_kept_make(context);
		if (err)
			goto take_out;
	}
	WRITE_ONCE(descriptor->rights, LWC_ALL_RIGHTS);
	fput(file);
	return fd;

take_out:
	if (!lwc_broken(NUMBER_STAYS))
		lwc_files_take_out(thread->context->files, fd, file);
put_file:
	fput(file);
doom:
	lwc_context_doom(context, doomed);
	return err;
}

long lwc_create(const struct lwc_create_args *args)
{
	struct lwc_event __user *to = u64_to_user_ptr(args->event);
	struct lwc_event event = { .caller = -1, .reason = LWC_EV_CREATED };
	struct lwc_process *process;
	struct lwc_ranges *grants;
	struct lwc_specs *specs;
	LIST_HEAD(doomed);
	int err;

	if (args->reserved || (args->flags & ~LWC_CREATE_FLAGS))
		return -EINVAL;
	specs = lwc_specs_read(args->specs, args->n_specs, LWC_FOR_CREATE);
	if (IS_ERR(specs))
		return PTR_ERR(specs);
	err = -EOPNOTSUPP;
	if (args->flags & ~LWC_WORKING_CREATE_FLAGS)
		goto free_specs;
	if ((args->flags & LWC_PRIVATE) && !lwc_private_supported())
		goto free_specs;
	err = lwc_event_probe(to);
	if (err)
		goto free_specs;
	grants = lwc_ranges_granted(specs);
	err = PTR_ERR_OR_ZERO(grants);
	if (err)
		goto free_specs;
	err = -ENOMEM;
	process = lwc_process_current(true);
	if (!process)
		goto put_grants;
	/* The new memory is the task's for a moment, where something is left out of it. */
	err = lwc_process_lock(process, LWC_EXCLUDE_LOOKERS);
	if (err)
		goto put_process;
	event.created = create_locked(process, &specs, &grants, args->flags, to,
				      &doomed);
	lwc_process_unlock(process);
	lwc_context_bury(&doomed);
	err = min(event.created, 0);
	if (!err)
		lwc_event_deliver(to, &event);
put_process:
	lwc_process_put(process);
put_grants:
	lwc_ranges_put(grants);
free_specs:
	lwc_specs_free(specs);
	return err;
}

/* What decides which descriptors a renewed context has. */
struct renewed_view {
	const struct lwc_context *context;
};

static bool keep_file(const void *view, unsigned int fd, struct file *file)
{
	const struct renewed_view *renewed = view;

	return lwc_specs_keep_file(renewed->context->specs, fd, file);
}

/*
 * The way back to the creator may stay where it was put: it says nothing of what
 * the context did, and would get a number anew at the next switch. Duplicates of
 * it may not.
 */
static bool spare_file(const void *view, unsigned int fd, struct file *file)
{
	const struct renewed_view *renewed = view;
	const struct lwc_context *context = renewed->context;
	const struct lwc_descriptor *descriptor = lwc_descriptor_of(file);

	return descriptor && descriptor->weak && descriptor->context == context->creator &&
	       descriptor->fd == fd && descriptor->table &&
	       (descriptor->table == context || descriptor->table == context->kept);
}

/* May the current thread renew @context here? */
static int may_renew(const struct lwc_context *context, const struct lwc_thread *thread)
{
	if (context->creator != thread->context || context->creator_thread != thread->serial)
		return -EINVAL;
	if (lwc_context_is_occupied(context, NULL) || lwc_context_has_company(context))
		return -EBUSY;
	return lwc_switch_refused(thread) ?: lwc_samplers_refused(context);
}

/*
 * With the process's lock held. What @context had comes out in @old_mm, to be
 * put once the lock is dropped.
 */
static int renew_locked(struct lwc_context *context, struct lwc_event __user *event,
			struct mm_struct **old_mm, struct lwc_closing **closing,
			struct lwc_reset *kept, struct list_head *doomed)
{
	const struct renewed_view renewed = { context };
	const struct lwc_files_view view = { keep_file, spare_file, &renewed };
	struct lwc_thread *thread;
	struct lwc_place *place;
	bool shared;
	int err;

	if (!context->alive)
		return -ESRCH;
	thread = lwc_thread_current(context->process);
	if (IS_ERR(thread))
		return PTR_ERR(thread);
	err = may_renew(context, thread);
	if (err)
		return err;
	shared = lwc_specs_share_files(context->specs);

	place = lwc_place_alloc();
	if (!place)
		return -ENOMEM;
	lwc_transit_begin(thread);
	*closing = lwc_context_reserve_files(context, current->files, shared, &view);
	lwc_transit_end(thread);
	if (IS_ERR(*closing)) {
		err = PTR_ERR(*closing);
		*closing = NULL;
		goto free_place;
	}
	err = lwc_context_refill_mm(context, thread->context, old_mm);
	if (err && !context->torn)
		goto free_place;

	lwc_context_forget_places(context);
	lwc_snapshots_doom(context, NULL, doomed);
	/* What was kept goes with the rest: nobody may come back to it. */
	if (context->kept)
		context->kept->torn = true;
	if (err)
		goto free_place;
	lwc_context_equalise_files(context, current->files, shared, &view, *closing);
	lwc_fs_equalise(context->fs, current->fs);
	lwc_powers_update(&context->powers);
	set_out(place, event);
	lwc_context_add_place(context, thread, place);
	if (context->kept && !lwc_broken(KEPT_STATE_STAYS)) {
		err = lwc_kept_take(context, thread, kept);
		if (err)
			goto tear;
	}
	lwc_count(renews);
	return 0;

tear:
	/* Its kept state is that of before: as good as half renewed. */
	context->torn = true;
	lwc_context_forget_places(context);
	return err;
free_place:
	lwc_place_free(place);
	return err;
}

long lwc_renew(struct lwc_descriptor *descriptor, const struct lwc_renew_args *args)
{
	struct lwc_event __user *to = u64_to_user_ptr(args->event);
	struct lwc_event event = {
		.created = args->created, .caller = -1, .reason = LWC_EV_CREATED,
	};
	struct lwc_context *context = descriptor->context;
	struct lwc_process *process = context->process;
	struct mm_struct *old_mm = NULL;
	struct lwc_closing *closing = NULL;
	struct lwc_reset kept = { .places = LIST_HEAD_INIT(kept.places) };
	LIST_HEAD(doomed);
	int err;

	if (args->flags || args->reserved || context->snapshot)
		return -EINVAL;
	if (!(READ_ONCE(descriptor->rights) & LWC_MAY_KEEP))
		return -EPERM;
	err = lwc_event_probe(to);
	if (err)
		return err;
	/* As in lwc_create(); and others may look at the task than at the context. */
	err = lwc_process_lock(process, LWC_EXCLUDE_LOOKERS);
	if (err)
		return err;
	err = renew_locked(context, to, &old_mm, &closing, &kept, &doomed);
	lwc_process_unlock(process);
	lwc_context_bury(&doomed);
	lwc_files_close(closing);
	lwc_mm_put(old_mm, process->leader);
	lwc_reset_end(&kept, process);
	if (err)
		return err;
	lwc_event_deliver(to, &event);
	return 0;
}

long lwc_self(void)
{
	struct lwc_process *process = lwc_process_current(true);
	struct lwc_thread *thread;
	struct file *file;
	long fd;

	if (!process)
		return -ENOMEM;
	fd = lwc_process_lock(process, LWC_EXCLUDE_NOBODY);
	if (fd)
		goto put_process;
	thread = lwc_thread_current(process);
	fd = PTR_ERR_OR_ZERO(thread);
	if (fd)
		goto unlock;
	file = lwc_descriptor_open_self(thread->context);
	fd = PTR_ERR_OR_ZERO(file);
	if (fd)
		goto unlock;
	fd = lwc_descriptor_install(thread->context, file);
	fput(file);
unlock:
	lwc_process_unlock(process);
put_process:
	lwc_process_put(process);
	return fd;
}

/* With the process's lock held. @listed: NULL: ranges stay what they are. */
static int restrict_locked(struct lwc_descriptor *descriptor, unsigned int rights,
			   struct lwc_ranges *listed)
{
	struct lwc_ranges *left;

	if (!descriptor->context->alive)
		return -ESRCH;
	if (!(descriptor->rights & LWC_MAY_RESTRICT))
		return -EPERM;
	if (listed) {
		left = lwc_ranges_meet(descriptor->ranges, listed);
		if (IS_ERR(left))
			return PTR_ERR(left);
		lwc_ranges_put(descriptor->ranges);
		descriptor->ranges = left;
	}
	WRITE_ONCE(descriptor->rights, descriptor->rights & rights);
	/* It may be no way back any more. */
	if (descriptor->context->known_as == descriptor)
		descriptor->context->known_as = NULL;
	return 0;
}

long lwc_restrict(struct lwc_descriptor *descriptor, const struct lwc_restrict_args *args)
{
	struct lwc_process *process = descriptor->context->process;
	struct lwc_ranges *listed = NULL;
	struct lwc_specs *specs;
	int err;

	if (args->reserved || (args->rights & ~LWC_ALL_RIGHTS) || descriptor->context->snapshot)
		return -EINVAL;
	specs = lwc_specs_read(args->specs, args->n_specs, LWC_FOR_RESTRICT);
	if (IS_ERR(specs))
		return PTR_ERR(specs);
	if (specs)
		listed = lwc_ranges_listed(specs);
	lwc_specs_free(specs);
	if (IS_ERR(listed))
		return PTR_ERR(listed);
	err = lwc_process_lock(process, LWC_EXCLUDE_NOBODY);
	if (err)
		goto put_ranges;
	err = restrict_locked(descriptor, args->rights, listed);
	lwc_process_unlock(process);
put_ranges:
	lwc_ranges_put(listed);
	return err;
}
