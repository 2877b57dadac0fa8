/* SPDX-License-Identifier: GPL-2.0 */
/*
 * kernel/hook.h - puts a function of ours in the place of one of the kernel's.
 *
 * By ftrace with IPMODIFY and PERMANENT, so that neither a livepatch nor
 * `sysctl kernel.ftrace_enabled=0` takes it away unseen. A replacement may
 * sleep; it must be entered through lwc_hook_enter() and left through
 * lwc_hook_leave(), or an unload could free code that a task still returns to.
 */
#ifndef LWC_KERNEL_HOOK_H
#define LWC_KERNEL_HOOK_H

#include <linux/ftrace.h>

/**
 * struct lwc_hook - one function replaced
 * @name: the kernel's function
 * @address: where it is, if there are several of that name; else 0
 * @concerns: with the call's registers: is it one for us? All others never
 *	leave the kernel's own code. Called with preemption off; must not sleep
 * @replacement: ours, of the same type
 * @original: set by lwc_hooks_find(): the kernel's body, behind the trace site
 * @site: set by lwc_hooks_find(): the trace site
 * @ops: what ftrace knows of it
 */
struct lwc_hook {
	const char *name;
	unsigned long address;
	bool (*concerns)(const struct pt_regs *regs);
	void *replacement;
	unsigned long original;
	unsigned long site;
	struct ftrace_ops ops;
};

void lwc_hook_enter(void);
void lwc_hook_leave(void);

/**
 * lwc_hooks_find() - learn where functions are
 *
 * Return: 0, or -ENOENT (said in the log) if one is missing or cannot be traced.
 */
int lwc_hooks_find(struct lwc_hook *hooks, unsigned int n);

/**
 * lwc_hooks_install() - replace them all, or none
 *
 * Return: 0 or ftrace's error, said in the log (a livepatch may hold one).
 */
int lwc_hooks_install(struct lwc_hook *hooks, unsigned int n);

/**
 * lwc_hooks_remove() - put the kernel's functions back, and wait until nobody is in ours
 */
void lwc_hooks_remove(struct lwc_hook *hooks, unsigned int n);

#endif /* LWC_KERNEL_HOOK_H */
