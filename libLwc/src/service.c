// SPDX-License-Identifier: MIT
/*
 * service.c - services: checked arguments, and no service yet.
 *
 * They must never pretend: what cannot be done is -EOPNOTSUPP.
 */
#include <errno.h>
#include <lwc.h>

int lwc_service_open(const struct lwc_spec *specs, unsigned n,
		     long (*fn)(void *state, uint64_t arg), void *state,
		     struct lwc_service **service)
{
	(void)state;
	if (!fn || !service || (!specs && n))
		return -EFAULT;
	if (n > LWC_MAX_SPECS)
		return -E2BIG;
	return -EOPNOTSUPP;
}

int lwc_service_call(struct lwc_service *service, uint64_t arg, long *result)
{
	(void)arg;
	return service && result ? -EOPNOTSUPP : -EFAULT;
}

int lwc_service_close(struct lwc_service *service)
{
	return service ? -EOPNOTSUPP : -EFAULT;
}
