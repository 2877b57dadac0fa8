// SPDX-License-Identifier: GPL-2.0
/*
 * later.c - checks the arguments of calls that do not work yet.
 *
 * Must never change anything.
 */
#include <linux/err.h>
#include <linux/sched/signal.h>

#include "context.h"
#include "later.h"
#include "process.h"
#include "ranges.h"
#include "view.h"

#define LWC_USE_ALL	(LWC_USE_MEMORY | LWC_USE_FILES | LWC_USE_CREDS)

static long judge(const struct lwc_descriptor *descriptor, unsigned int right)
{
	const struct lwc_context *context = descriptor->context;

	if (context->process->signal != current->signal || !READ_ONCE(context->alive))
		return -ESRCH;
	return READ_ONCE(descriptor->rights) & right ? -EOPNOTSUPP : -EPERM;
}

static int overlay_locked(const struct lwc_descriptor *descriptor, const struct lwc_specs *specs)
{
	const long answer = judge(descriptor, LWC_MAY_OVERLAY);

	if (answer == -EOPNOTSUPP && !lwc_ranges_allow(descriptor->ranges, specs))
		return -EPERM;
	return answer;
}

long lwc_overlay(const struct lwc_descriptor *descriptor, const struct lwc_overlay_args *args)
{
	struct lwc_process *process = descriptor->context->process;
	struct lwc_specs *specs;
	int err;

	if (descriptor->context->snapshot)
		return -EINVAL;
	specs = lwc_specs_read(args->specs, args->n_specs, LWC_FOR_OVERLAY);
	if (IS_ERR(specs))
		return PTR_ERR(specs);
	err = lwc_process_lock(process, LWC_EXCLUDE_NOBODY);
	if (!err) {
		err = overlay_locked(descriptor, specs);
		lwc_process_unlock(process);
	}
	lwc_specs_free(specs);
	return err;
}

long lwc_syscall(const struct lwc_descriptor *descriptor, const struct lwc_syscall_args *args)
{
	if (descriptor->context->snapshot || (args->use & ~LWC_USE_ALL) || !args->use)
		return -EINVAL;
	return judge(descriptor, LWC_MAY_SYSCALL);
}
