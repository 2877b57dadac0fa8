// SPDX-License-Identifier: GPL-2.0
/*
 * later.c - checks the arguments of calls that do not work yet.
 *
 * Must never change anything.
 */
#include <linux/sched/signal.h>

#include "context.h"
#include "later.h"
#include "process.h"

#define LWC_USE_ALL	(LWC_USE_MEMORY | LWC_USE_FILES | LWC_USE_CREDS)

static long judge(const struct lwc_descriptor *descriptor, unsigned int right)
{
	const struct lwc_context *context = descriptor->context;

	if (context->process->signal != current->signal || !READ_ONCE(context->alive))
		return -ESRCH;
	return READ_ONCE(descriptor->rights) & right ? -EOPNOTSUPP : -EPERM;
}

long lwc_syscall(const struct lwc_descriptor *descriptor, const struct lwc_syscall_args *args)
{
	if (descriptor->context->snapshot || (args->use & ~LWC_USE_ALL) || !args->use)
		return -EINVAL;
	return judge(descriptor, LWC_MAY_SYSCALL);
}
