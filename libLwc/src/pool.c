// SPDX-License-Identifier: MIT
/*
 * pool.c - pools of kept contexts: checked arguments, and no pool yet.
 *
 * They must never pretend: what cannot be done is -EOPNOTSUPP.
 */
#include <errno.h>
#include <lwc.h>

#include "syscall.h"

int lwc_pool_open(const struct lwc_spec *specs, unsigned n, unsigned contexts,
		  struct lwc_pool **pool)
{
	if (!pool || (!specs && n))
		return -EFAULT;
	if (n > LWC_MAX_SPECS)
		return -E2BIG;
	if (!contexts)
		return -EINVAL;
	return -EOPNOTSUPP;
}

int lwc_pool_get(struct lwc_pool *pool)
{
	return pool ? -EOPNOTSUPP : -EFAULT;
}

int lwc_pool_put(struct lwc_pool *pool, int ctx)
{
	if (!pool)
		return -EFAULT;
	if (sys_ioctl(ctx, LWC_IOC_KIND, NULL) < 0)
		return -EBADF;
	return -EOPNOTSUPP;
}

int lwc_pool_close(struct lwc_pool *pool)
{
	return pool ? -EOPNOTSUPP : -EFAULT;
}
