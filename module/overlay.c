// SPDX-License-Identifier: GPL-2.0
/*
 * overlay.c - what is another context's comes into the current one.
 *
 * What can fail comes first, so that all of it is done or nothing. Must never
 * change what the other context sees, nor give what its descriptor does not allow.
 */
#include <linux/err.h>
#include <linux/sched.h>

#include "context.h"
#include "files.h"
#include "graft.h"
#include "kernel/compat.h"
#include "mm.h"
#include "overlay.h"
#include "place.h"
#include "process.h"
#include "ranges.h"
#include "remap.h"
#include "switch.h"
#include "view.h"

/* How often to share what a thread in the other context maps anew all the time. */
#define ROUNDS	8

/* What is not asked for stays what it is here. */
static bool stays(const void *specs, unsigned int fd, struct file *file)
{
	return true;
}

/**
 * struct leftovers - what a call has to get rid of once no lock is held
 * @closing: files that were here
 * @mm: what memory was shared by
 */
struct leftovers {
	struct lwc_closing *closing;
	struct mm_struct *mm;
};

/* Is there anything from @first to @last that is asked for? */
static bool names_any(const struct lwc_specs *specs, unsigned long first, unsigned long last)
{
	unsigned long start, end = first;

	return lwc_specs_next_range(specs, &start, &end) && start <= last;
}

/* Where other threads come back to @context, and what they are told there, has to stay. */
static bool is_in_the_way(const struct lwc_context *context, const struct lwc_specs *specs)
{
	const struct lwc_place *place;

	list_for_each_entry(place, &context->places, of_context) {
		const unsigned long event = (unsigned long)place->event;

		if (place->thread->place == place)
			continue;
		if (names_any(specs, event, event + sizeof(struct lwc_event) - 1) ||
		    names_any(specs, place->regs.sp - LWC_RED_ZONE, place->regs.sp))
			return true;
	}
	return false;
}

static int overlay_memory(struct lwc_context *context, const struct lwc_specs *specs,
			  bool limited, struct lwc_thread *thread, struct leftovers *left)
{
	long before;
	int err;

	if (context->torn)
		return -ENOTRECOVERABLE;
	if (is_in_the_way(thread->context, specs))
		return -EINVAL;
	before = lwc_anonymous_pages(current->mm);
	err = lwc_graft(context->mm, specs, limited);
	/* Both have it now. */
	thread->context->inherited += max(lwc_anonymous_pages(current->mm) - before, 0L);
	if (err != -EAGAIN)
		return err;
	/* Once more after that, as a thread that is in there may be faster. */
	return lwc_context_share_memory(context, specs, &left->mm) ?: -EAGAIN;
}

/*
 * With the process's lock held. What was at the numbers here comes out, to be closed once
 * that is dropped: the call's own descriptor may be among it. The kernel frees a file on
 * the way to user space at the earliest, so that one lives until then.
 *
 * Return: -EAGAIN: to be done again.
 */
static int overlay_locked(const struct lwc_descriptor *descriptor, const struct lwc_specs *specs,
			  struct leftovers *left)
{
	const struct lwc_files_view view = { lwc_specs_name_file, stays, specs };
	struct lwc_context *context = descriptor->context;
	struct lwc_closing *closing;
	struct lwc_thread *thread;
	int err = 0;

	if (!context->alive)
		return -ESRCH;
	if (!(descriptor->rights & LWC_MAY_OVERLAY))
		return -EPERM;
	if (!lwc_ranges_allow(descriptor->ranges, specs))
		return -EPERM;
	thread = lwc_thread_current(context->process);
	if (IS_ERR(thread))
		return PTR_ERR(thread);
	/* What there is here is here already. */
	if (!specs || context == thread->context)
		return 0;

	/* The table may have to grow, for which the task borrows it. */
	lwc_transit_begin(thread);
	closing = lwc_files_reserve(current->files, context->files, &view);
	lwc_transit_end(thread);
	if (IS_ERR(closing))
		return PTR_ERR(closing);
	left->closing = closing;
	if (lwc_specs_name_memory(specs))
		err = overlay_memory(context, specs, descriptor->ranges, thread, left);
	if (!err && closing) {
		lwc_transit_begin(thread);
		lwc_files_equalise(current->files, context->files, &view, closing);
		lwc_transit_end(thread);
	}
	return err;
}

long lwc_overlay(const struct lwc_descriptor *descriptor, const struct lwc_overlay_args *args)
{
	struct lwc_process *process = descriptor->context->process;
	unsigned int rounds = ROUNDS;
	struct lwc_remap_user remap;
	struct lwc_specs *specs;
	int err;

	if (descriptor->context->snapshot)
		return -EINVAL;
	specs = lwc_specs_read(args->specs, args->n_specs, LWC_FOR_OVERLAY);
	if (IS_ERR(specs))
		return PTR_ERR(specs);
	/* Before any lock: who remaps may wait for a file. */
	err = lwc_remap_exclude(&remap);
	if (err)
		goto free_specs;
	do {
		struct leftovers left = {};

		/* The other's memory is the task's for a moment, if it is to be shared. */
		err = lwc_process_lock(process, LWC_EXCLUDE_LOOKERS);
		if (err)
			break;
		err = overlay_locked(descriptor, specs, &left);
		lwc_process_unlock(process);
		lwc_files_close(left.closing);
		lwc_mm_put(left.mm, process->leader);
	} while (err == -EAGAIN && --rounds);
	lwc_remap_end(&remap);
free_specs:
	lwc_specs_free(specs);
	return err == -EAGAIN ? -EBUSY : err;
}
