// SPDX-License-Identifier: MIT
/*
 * context.c - the contract's calls, each of them one ioctl.
 *
 * lwc_create(), lwc_renew() and lwc_snapshot() return twice, in two copies of
 * the stack, and lwc_switch() is the hot path: nothing here may keep a lock or
 * state outside the stack, or do work that the module could do.
 */
#include <errno.h>
#include <lwc.h>

#include "device.h"
#include "syscall.h"

static inline uint64_t address(const void *p)
{
	return (uint64_t)(uintptr_t)p;
}

/*
 * The right error for a failed call on @fd: what other kinds of files answer
 * to an ioctl that they do not know is up to them, so ask first whose it is.
 */
__attribute__((cold, noinline)) static int refused(int fd, int kind, long ret)
{
	long is = sys_ioctl(fd, LWC_IOC_KIND, 0);

	if (is < 0)
		return -EBADF;
	if (is != kind)
		return -EINVAL;
	return ret == -ENOTTY ? -EOPNOTSUPP : (int)ret;
}

static inline int call(int fd, int kind, unsigned long cmd, void *arg)
{
	long ret = sys_ioctl(fd, cmd, arg);

	if (__builtin_expect(ret < 0, 0))
		return refused(fd, kind, ret);
	return (int)ret;
}

int lwc_features(struct lwc_features *f)
{
	struct lwc_features got = { .size = sizeof(got) };
	long ret;

	if (!f)
		return -EFAULT;
	ret = lwc_device_ioctl(LWC_IOC_FEATURES, &got);
	if (ret >= 0) {
		*f = got;
		ret = 0;
	}
	return (int)ret;
}

int lwc_create(const struct lwc_spec *specs, unsigned n, unsigned flags, struct lwc_event *ev)
{
	struct lwc_create_args args = {
		.size = sizeof(args),
		.flags = flags,
		.specs = address(specs),
		.n_specs = n,
		.event = address(ev),
	};

	return (int)lwc_device_ioctl(LWC_IOC_CREATE, &args);
}

int lwc_switch(int ctx, unsigned flags, uint64_t arg, struct lwc_event *ev)
{
	struct lwc_switch_args args = {
		.size = sizeof(args),
		.flags = flags,
		.arg = arg,
		.event = address(ev),
	};

	return call(ctx, LWC_KIND_CONTEXT, LWC_IOC_SWITCH, &args);
}

int lwc_renew(int ctx, unsigned flags, struct lwc_event *ev)
{
	struct lwc_renew_args args = {
		.size = sizeof(args),
		.flags = flags,
		.created = ctx,
		.event = address(ev),
	};

	return call(ctx, LWC_KIND_CONTEXT, LWC_IOC_RENEW, &args);
}

int lwc_keep(int ctx)
{
	return call(ctx, LWC_KIND_CONTEXT, LWC_IOC_KEEP, NULL);
}

int lwc_overlay(int ctx, const struct lwc_spec *specs, unsigned n)
{
	struct lwc_overlay_args args = {
		.size = sizeof(args),
		.n_specs = n,
		.specs = address(specs),
	};

	return call(ctx, LWC_KIND_CONTEXT, LWC_IOC_OVERLAY, &args);
}

int lwc_restrict(int ctx, unsigned rights, const struct lwc_spec *specs, unsigned n)
{
	struct lwc_restrict_args args = {
		.size = sizeof(args),
		.rights = rights,
		.specs = address(specs),
		.n_specs = n,
	};

	return call(ctx, LWC_KIND_CONTEXT, LWC_IOC_RESTRICT, &args);
}

long lwc_syscall(int ctx, unsigned use, long nr, const uint64_t args[6])
{
	struct lwc_syscall_args sys = {
		.size = sizeof(sys),
		.use = use,
		.nr = nr,
	};
	int ret, i;

	if (!args)
		return -EFAULT;
	for (i = 0; i < 6; i++)
		sys.args[i] = args[i];

	ret = call(ctx, LWC_KIND_CONTEXT, LWC_IOC_SYSCALL, &sys);
	return ret < 0 ? ret : sys.result;
}

int lwc_snapshot(int snap, unsigned flags, struct lwc_event *ev)
{
	struct lwc_snapshot_args args = {
		.size = sizeof(args),
		.flags = flags,
		.snapshot = snap,
		.event = address(ev),
	};

	return (int)lwc_device_ioctl(LWC_IOC_SNAPSHOT, &args);
}

int lwc_rollback(int snap, uint64_t arg)
{
	struct lwc_rollback_args args = {
		.size = sizeof(args),
		.arg = arg,
	};

	return call(snap, LWC_KIND_SNAPSHOT, LWC_IOC_ROLLBACK, &args);
}

int lwc_self(void)
{
	return (int)lwc_device_ioctl(LWC_IOC_SELF, NULL);
}

int lwc_close(int ctx)
{
	if (sys_ioctl(ctx, LWC_IOC_KIND, NULL) < 0)
		return -EBADF;
	return (int)sys_close(ctx);
}
