// SPDX-License-Identifier: GPL-2.0
/*
 * kernel/hook.c - replaces kernel functions by ftrace; see hook.h.
 *
 * Must never sleep in the ftrace callback.
 */
#include <linux/delay.h>
#include <linux/rcupdate.h>
#include <linux/utsname.h>

#include "kernel/compat.h"
#include "kernel/hook.h"
#include "kernel/symbols.h"

static atomic_t tasks_inside = ATOMIC_INIT(0);

void lwc_hook_enter(void)
{
	atomic_inc(&tasks_inside);
}

void lwc_hook_leave(void)
{
	atomic_dec(&tasks_inside);
}

static void notrace redirect(unsigned long ip, unsigned long parent_ip, struct ftrace_ops *ops,
			     struct ftrace_regs *fregs)
{
	struct lwc_hook *hook = container_of(ops, struct lwc_hook, ops);

	if (hook->concerns(ftrace_get_regs(fregs)))
		ftrace_regs_set_instruction_pointer(fregs, (unsigned long)hook->replacement);
}

int lwc_hook_find(struct lwc_hook *hook)
{
	unsigned long address = hook->address ?: lwc_symbol_address(hook->name);

	hook->site = address ? kernel_call(ftrace_location)(address) : 0;
	if (!hook->site) {
		pr_err("kernel %s has no traceable function '%s', which contexts need; not loaded\n",
		       utsname()->release, hook->name);
		return -ENOENT;
	}
	hook->original = hook->site + MCOUNT_INSN_SIZE;
	return 0;
}

int lwc_hook_install(struct lwc_hook *hook)
{
	int err;

	hook->ops.func = redirect;
	hook->ops.flags = FTRACE_OPS_FL_SAVE_REGS | FTRACE_OPS_FL_IPMODIFY |
			  FTRACE_OPS_FL_PERMANENT;
	err = ftrace_set_filter_ip(&hook->ops, hook->site, 0, 0);
	if (!err)
		err = register_ftrace_function(&hook->ops);
	if (err) {
		ftrace_free_filter(&hook->ops);
		pr_err("cannot hook '%s' (%d): is ftrace off, or does a livepatch hold it?\n",
		       hook->name, err);
	}
	return err;
}

void lwc_hook_remove(struct lwc_hook *hook)
{
	unregister_ftrace_function(&hook->ops);
	ftrace_free_filter(&hook->ops);
}

void lwc_hooks_drain(void)
{
	/* Who was redirected has counted itself once it has left this grace period. */
	synchronize_rcu_tasks();
	while (atomic_read(&tasks_inside))
		msleep(20);
	/* Who counted itself out has returned from the replacement after this one. */
	synchronize_rcu_tasks();
}
