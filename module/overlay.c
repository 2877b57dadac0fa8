// SPDX-License-Identifier: GPL-2.0
/*
 * overlay.c - what is another context's comes into the current one.
 *
 * What can fail comes first, so that all of it is done or nothing. Must never
 * touch the other context, nor give what its descriptor does not allow.
 */
#include <linux/err.h>
#include <linux/sched.h>

#include "context.h"
#include "files.h"
#include "overlay.h"
#include "process.h"
#include "ranges.h"
#include "switch.h"
#include "view.h"

/* What is not asked for stays what it is here. */
static bool stays(const void *specs, unsigned int fd, struct file *file)
{
	return true;
}

/*
 * With the process's lock held. What was at the numbers here comes out in @closing, to
 * be closed once that is dropped: the call's own descriptor may be among it. The kernel
 * frees a file on the way to user space at the earliest, so that one lives until then.
 */
static int overlay_locked(const struct lwc_descriptor *descriptor, const struct lwc_specs *specs,
			  struct lwc_closing **closing)
{
	const struct lwc_files_view view = { lwc_specs_name_file, stays, specs };
	struct lwc_context *context = descriptor->context;
	struct lwc_thread *thread;

	if (!context->alive)
		return -ESRCH;
	if (!(descriptor->rights & LWC_MAY_OVERLAY))
		return -EPERM;
	if (!lwc_ranges_allow(descriptor->ranges, specs))
		return -EPERM;
	if (lwc_specs_name_memory(specs))
		return -EOPNOTSUPP;
	thread = lwc_thread_current(context->process);
	if (IS_ERR(thread))
		return PTR_ERR(thread);
	/* What there is here is here already. */
	if (!specs || context == thread->context)
		return 0;

	/* The table may have to grow, for which the task borrows it. */
	lwc_transit_begin(thread);
	*closing = lwc_files_reserve(current->files, context->files, &view);
	if (!IS_ERR_OR_NULL(*closing))
		lwc_files_equalise(current->files, context->files, &view, *closing);
	lwc_transit_end(thread);
	return PTR_ERR_OR_ZERO(*closing);
}

long lwc_overlay(const struct lwc_descriptor *descriptor, const struct lwc_overlay_args *args)
{
	struct lwc_process *process = descriptor->context->process;
	struct lwc_closing *closing = NULL;
	struct lwc_specs *specs;
	int err;

	if (descriptor->context->snapshot)
		return -EINVAL;
	specs = lwc_specs_read(args->specs, args->n_specs, LWC_FOR_OVERLAY);
	if (IS_ERR(specs))
		return PTR_ERR(specs);
	err = lwc_process_lock(process, LWC_EXCLUDE_NOBODY);
	if (err)
		goto free_specs;
	err = overlay_locked(descriptor, specs, &closing);
	lwc_process_unlock(process);
	if (!IS_ERR(closing))
		lwc_files_close(closing);
free_specs:
	lwc_specs_free(specs);
	return err;
}
