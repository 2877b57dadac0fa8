// SPDX-License-Identifier: GPL-2.0
/*
 * main.c - load, unload, /dev/lwc and the tables of calls.
 *
 * Must never do a call's work: it copies the argument in, checks its size and
 * passes it on.
 */
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/mmu_notifier.h>
#include <linux/module.h>
#include <linux/rcupdate.h>
#include <linux/uaccess.h>
#include <linux/utsname.h>
#include <linux/lwc.h>

#include "context.h"
#include "create.h"
#include "cred.h"
#include "guard.h"
#include "kernel/compat.h"
#include "kernel/symbols.h"
#include "kept.h"
#include "later.h"
#include "oom.h"
#include "overlay.h"
#include "private.h"
#include "process.h"
#include "remap.h"
#include "rollback.h"
#include "stats.h"
#include "switch.h"
#include "trap.h"
#include "view.h"

static bool allow_untested_kernel;
module_param(allow_untested_kernel, bool, 0444);
MODULE_PARM_DESC(allow_untested_kernel, "load on a kernel series that was not tested");

/*
 * Copies an argument structure in, by the rule of openat2(2): a larger one is
 * accepted if what is not known here is zero. Return: 0, -EINVAL (smaller than
 * the first version), -E2BIG, -EFAULT.
 */
static int read_argument(void *argument, size_t size, const void __user *from)
{
	u32 user_size;

	if (get_user(user_size, (const u32 __user *)from))
		return -EFAULT;
	if (user_size < size)
		return -EINVAL;
	if (user_size > PAGE_SIZE)
		return -E2BIG;
	return copy_struct_from_user(argument, size, from, user_size);
}

static long features(struct lwc_features __user *to)
{
	struct lwc_features features;
	u32 size;
	int zero;

	if (get_user(size, &to->size))
		return -EFAULT;
	if (size < sizeof(features))
		return -EINVAL;
	if (size > PAGE_SIZE)
		return -E2BIG;
	/* What a newer program knows and this module does not must be zero. */
	zero = check_zeroed_user((char __user *)to + sizeof(features), size - sizeof(features));
	if (zero <= 0)
		return zero ?: -E2BIG;
	features = (struct lwc_features){
		.size = size,
		.abi = LWC_ABI,
		.create_flags = LWC_WORKING_CREATE_FLAGS,
		.switch_flags = LWC_SWITCH_FLAGS,
		.spec_types = LWC_WORKING_SPEC_TYPES,
		.spec_modes = LWC_WORKING_SPEC_MODES,
		.max_contexts = READ_ONCE(lwc_max_contexts),
	};
	if (copy_to_user(to, &features, sizeof(features)))
		return -EFAULT;
	return 0;
}

/* The size in an ioctl's number is that of the first version: it says nothing. */
static unsigned int call_number(unsigned int command)
{
	return _IOC_TYPE(command) == LWC_IOC_MAGIC ? _IOC_NR(command) : UINT_MAX;
}

static long device_ioctl(struct file *file, unsigned int command, unsigned long argument)
{
	void __user *from = (void __user *)argument;
	union {
		struct lwc_create_args create;
		struct lwc_snapshot_args snapshot;
	} args;
	int err;

	switch (call_number(command)) {
	case _IOC_NR(LWC_IOC_FEATURES):
		return features(from);
	case _IOC_NR(LWC_IOC_CREATE):
		err = read_argument(&args.create, sizeof(args.create), from);
		return err ?: lwc_create(&args.create);
	case _IOC_NR(LWC_IOC_SNAPSHOT):
		err = read_argument(&args.snapshot, sizeof(args.snapshot), from);
		return err ?: lwc_snapshot(&args.snapshot);
	case _IOC_NR(LWC_IOC_SELF):
		return lwc_self();
	default:
		return -ENOTTY;
	}
}

static noinline long switch_any_size(struct lwc_descriptor *descriptor, const void __user *from)
{
	struct lwc_switch_args args;
	int err = read_argument(&args, sizeof(args), from);

	return err ?: lwc_switch(descriptor, args.flags, args.arg, u64_to_user_ptr(args.event));
}

/* The hot path: what the library passes is read in one go, into registers. */
static long switch_ioctl(struct lwc_descriptor *descriptor,
			 const struct lwc_switch_args __user *from)
{
	u64 arg, event;
	u32 size, flags;

	if (!user_read_access_begin(from, sizeof(*from)))
		return -EFAULT;
	unsafe_get_user(size, &from->size, fault);
	unsafe_get_user(flags, &from->flags, fault);
	unsafe_get_user(arg, &from->arg, fault);
	unsafe_get_user(event, &from->event, fault);
	user_read_access_end();
	if (likely(size == sizeof(*from)))
		return lwc_switch(descriptor, flags, arg, u64_to_user_ptr(event));
	return switch_any_size(descriptor, from);

fault:
	user_read_access_end();
	/* A size that is wrong by itself is said first. */
	return switch_any_size(descriptor, from);
}

static noinline long any_ioctl(struct file *file, unsigned int command, unsigned long argument)
{
	struct lwc_descriptor *descriptor = lwc_descriptor_of(file);
	void __user *from = (void __user *)argument;
	union {
		struct lwc_renew_args renew;
		struct lwc_restrict_args restricted;
		struct lwc_rollback_args rollback;
		struct lwc_overlay_args overlay;
		struct lwc_syscall_args syscall;
	} args;
	int err;

	switch (call_number(command)) {
	case _IOC_NR(LWC_IOC_SWITCH):
		return switch_any_size(descriptor, from);
	case _IOC_NR(LWC_IOC_ROLLBACK):
		err = read_argument(&args.rollback, sizeof(args.rollback), from);
		return err ?: lwc_rollback(descriptor, &args.rollback);
	case _IOC_NR(LWC_IOC_RENEW):
		err = read_argument(&args.renew, sizeof(args.renew), from);
		return err ?: lwc_renew(descriptor, &args.renew);
	case _IOC_NR(LWC_IOC_RESTRICT):
		err = read_argument(&args.restricted, sizeof(args.restricted), from);
		return err ?: lwc_restrict(descriptor, &args.restricted);
	case _IOC_NR(LWC_IOC_KIND):
		return descriptor->context->snapshot ? 1 : 0;
	case _IOC_NR(LWC_IOC_KEEP):
		return lwc_keep(descriptor);
	case _IOC_NR(LWC_IOC_OVERLAY):
		err = read_argument(&args.overlay, sizeof(args.overlay), from);
		return err ?: lwc_overlay(descriptor, &args.overlay);
	case _IOC_NR(LWC_IOC_SYSCALL):
		err = read_argument(&args.syscall, sizeof(args.syscall), from);
		return err ?: lwc_syscall(descriptor, &args.syscall);
	default:
		return -ENOTTY;
	}
}

long lwc_descriptor_ioctl(struct file *file, unsigned int command, unsigned long argument)
{
	if (likely(command == LWC_IOC_SWITCH))
		return switch_ioctl(file->private_data, (void __user *)argument);
	return any_ioctl(file, command, argument);
}

/* Without compat_ioctl: a 32-bit program's registers are not what is saved. */
static const struct file_operations device_fops = {
	.owner = THIS_MODULE,
	.llseek = noop_llseek,
	.unlocked_ioctl = device_ioctl,
};

static struct miscdevice device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "lwc",
	.mode = 0660,
	.fops = &device_fops,
	.groups = lwc_stats_groups,
};

static int check_kernel(void)
{
	if (cpu_feature_enabled(X86_FEATURE_XENPV)) {
		pr_err("not on a paravirtual Xen guest, whose page tables are not its own; not loaded\n");
		return -EOPNOTSUPP;
	}
	if (lwc_kernel_is_known())
		return 0;
	pr_warn("kernel %s was not tested, series " LWC_KNOWN_SERIES " were\n",
		utsname()->release);
	if (allow_untested_kernel)
		return 0;
	pr_err("not loaded; allow_untested_kernel=1 loads it all the same\n");
	return -EOPNOTSUPP;
}

static int __init lwc_init(void)
{
	int err;

	err = check_kernel();
	if (err)
		return err;
	err = lwc_symbols_resolve();
	if (err)
		return err;
	err = lwc_powers_init();
	if (err)
		return err;
	err = lwc_process_init();
	if (err)
		goto exit_powers;
	err = lwc_guard_init();
	if (err)
		goto exit_process;
	err = lwc_trap_init();
	if (err)
		goto exit_guard;
	err = lwc_private_init();
	if (err)
		goto exit_trap;
	err = lwc_oom_init();
	if (err)
		goto exit_private;
	err = lwc_remap_init();
	if (err)
		goto exit_oom;
	err = misc_register(&device);
	if (err)
		goto exit_remap;
	return 0;

exit_remap:
	lwc_remap_exit();
exit_oom:
	lwc_oom_exit();
exit_private:
	lwc_private_exit();
exit_trap:
	lwc_trap_exit();
exit_guard:
	lwc_guard_exit();
exit_process:
	lwc_process_exit();
exit_powers:
	lwc_powers_exit();
	return err;
}

static void __exit lwc_exit(void)
{
	misc_deregister(&device);
	lwc_remap_exit();
	lwc_oom_exit();
	lwc_private_exit();
	lwc_trap_exit();
	lwc_guard_exit();
	lwc_process_exit();
	lwc_powers_exit();
	/* The last module_put() is made in here: whoever made it is out by now. */
	synchronize_rcu_tasks();
	rcu_barrier();
	/* What listened to address spaces is freed by a function in here. */
	mmu_notifier_synchronize();
}

module_init(lwc_init);
module_exit(lwc_exit);

MODULE_DESCRIPTION("Light-weight contexts: protection units inside a process");
MODULE_LICENSE("GPL");
