// SPDX-License-Identifier: GPL-2.0
/*
 * kernel/hook.c - replaces kernel functions by ftrace; see hook.h.
 *
 * Must never sleep in the ftrace callback.
 */
#include <linux/delay.h>
#include <linux/preempt.h>
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
	bool concerned;

	/* ftrace does not promise it, and what is looked at is held by RCU alone. */
	preempt_disable_notrace();
	concerned = hook->concerns(ftrace_get_regs(fregs));
	preempt_enable_notrace();
	if (concerned)
		ftrace_regs_set_instruction_pointer(fregs, (unsigned long)hook->replacement);
}

static int find(struct lwc_hook *hook)
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

static int install(struct lwc_hook *hook)
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

int lwc_hooks_find(struct lwc_hook *hooks, unsigned int n)
{
	unsigned int i;
	int err = 0;

	for (i = 0; i < n && !err; i++)
		err = find(&hooks[i]);
	return err;
}

int lwc_hooks_install(struct lwc_hook *hooks, unsigned int n)
{
	unsigned int i;
	int err;

	for (i = 0; i < n; i++) {
		err = install(&hooks[i]);
		if (err) {
			lwc_hooks_remove(hooks, i);
			return err;
		}
	}
	return 0;
}

/* Until no task is in a replacement. */
static void drain(void)
{
	/* Who was redirected has counted itself once it has left this grace period. */
	synchronize_rcu_tasks();
	while (atomic_read(&tasks_inside))
		msleep(20);
	/* Who counted itself out has returned from the replacement after this one. */
	synchronize_rcu_tasks();
}

void lwc_hooks_remove(struct lwc_hook *hooks, unsigned int n)
{
	while (n-- > 0) {
		unregister_ftrace_function(&hooks[n].ops);
		ftrace_free_filter(&hooks[n].ops);
	}
	drain();
}
