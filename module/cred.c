// SPDX-License-Identifier: GPL-2.0
/*
 * cred.c - swaps the current task's credentials, namespaces and filters.
 *
 * commit_creds() will not do: it is for a change of credentials, and makes the
 * address space undumpable. Must never give a task a pointer whose reference
 * it does not own.
 */
#include <linux/mutex.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/slab.h>
#include <linux/user_namespace.h>

#include "broken.h"
#include "cred.h"
#include "kernel/compat.h"
#include "signals.h"

#ifdef CONFIG_DEBUG_CREDENTIALS
#error "CONFIG_DEBUG_CREDENTIALS counts the tasks of each credential, which is not supported"
#endif

/*
 * Filters can only be put as those of a task. This is none that ever runs; it
 * only carries a filter into seccomp_filter_release(), one at a time.
 */
static struct task_struct *carrier;
static struct sighand_struct *carrier_sighand;
static DEFINE_MUTEX(carrier_lock);

int lwc_powers_init(void)
{
	carrier = kzalloc(sizeof(*carrier), GFP_KERNEL);
	carrier_sighand = kzalloc(sizeof(*carrier_sighand), GFP_KERNEL);
	if (!carrier || !carrier_sighand) {
		lwc_powers_exit();
		return -ENOMEM;
	}
	lwc_make_seccomp_carrier(carrier, carrier_sighand);
	return 0;
}

void lwc_powers_exit(void)
{
	kfree(carrier);
	kfree(carrier_sighand);
}

static void put_filter(struct seccomp_filter *filter)
{
	if (!filter)
		return;
	mutex_lock(&carrier_lock);
	carrier->seccomp.filter = filter;
	kernel_call(seccomp_filter_release)(carrier);
	mutex_unlock(&carrier_lock);
}

/* The current task's filter, with a reference for the caller. */
static void get_filter(struct seccomp *seccomp)
{
	lwc_lock_signals();
	kernel_call(get_seccomp_filter)(current);
	*seccomp = current->seccomp;
	lwc_unlock_signals();
}

void lwc_powers_get(struct lwc_powers *powers)
{
	powers->cred = get_current_cred();
	powers->ns = current->nsproxy;
	get_nsproxy(powers->ns);
	get_filter(&powers->seccomp);
	powers->no_new_privs = task_no_new_privs(current);
}

void lwc_powers_update(struct lwc_powers *powers)
{
	if (unlikely(powers->cred != current_cred())) {
		put_cred(powers->cred);
		powers->cred = get_current_cred();
	}
	if (unlikely(powers->ns != current->nsproxy)) {
		lwc_put_nsproxy(powers->ns);
		powers->ns = current->nsproxy;
		get_nsproxy(powers->ns);
	}
	if (unlikely(powers->seccomp.filter != current->seccomp.filter ||
		     powers->seccomp.mode != current->seccomp.mode)) {
		put_filter(powers->seccomp.filter);
		get_filter(&powers->seccomp);
	}
	powers->no_new_privs = task_no_new_privs(current);
}

/* A reference to a filter that is not the current task's. */
static void hold_filter(struct seccomp_filter *filter)
{
	mutex_lock(&carrier_lock);
	carrier->seccomp.filter = filter;
	kernel_call(get_seccomp_filter)(carrier);
	carrier->seccomp.filter = NULL;
	mutex_unlock(&carrier_lock);
}

void lwc_powers_copy(struct lwc_powers *powers, const struct lwc_powers *model)
{
	struct lwc_powers before = *powers;

	if (lwc_powers_match(powers, model))
		return;
	*powers = *model;
	get_cred(powers->cred);
	get_nsproxy(powers->ns);
	if (powers->seccomp.filter)
		hold_filter(powers->seccomp.filter);
	if (before.cred)
		lwc_powers_put(&before);
}

int lwc_powers_refused(const struct lwc_powers *powers)
{
	if (unlikely(lwc_powers_differ(powers)) && current->ptrace &&
	    !kernel_call(ptracer_capable)(current, powers->cred->user_ns))
		return -EPERM;
#ifdef CONFIG_SYSVIPC
	/* The list names semaphores by numbers that mean others elsewhere. */
	if (unlikely(powers->ns != current->nsproxy) && current->sysvsem.undo_list &&
	    powers->ns->ipc_ns != current->nsproxy->ipc_ns)
		return -EOPNOTSUPP;
#endif
	return 0;
}

static void enter_cred(const struct cred *cred)
{
	const struct cred *before = current_real_cred();
	const bool other_user = cred->user != before->user || cred->user_ns != before->user_ns;

	get_cred(cred);
	get_cred(cred);
	if (other_user)
		kernel_call(inc_rlimit_ucounts)(cred->ucounts, UCOUNT_RLIMIT_NPROC, 1);
	rcu_assign_pointer(current->real_cred, cred);
	rcu_assign_pointer(current->cred, cred);
	if (other_user)
		kernel_call(dec_rlimit_ucounts)(before->ucounts, UCOUNT_RLIMIT_NPROC, 1);
	put_cred(before);
	put_cred(before);
}

static void enter_namespaces(struct nsproxy *ns)
{
	struct nsproxy *before;

	get_nsproxy(ns);
	task_lock(current);
	before = current->nsproxy;
	current->nsproxy = ns;
	task_unlock(current);
	lwc_put_nsproxy(before);
}

static void enter_filters(const struct seccomp *seccomp)
{
	struct seccomp_filter *before;

	lwc_lock_signals();
	before = current->seccomp.filter;
	current->seccomp = *seccomp;
	kernel_call(get_seccomp_filter)(current);
	if (seccomp->mode)
		set_syscall_work(SECCOMP);
	else
		clear_syscall_work(SECCOMP);
	lwc_unlock_signals();
	put_filter(before);
}

void lwc_powers_enter(const struct lwc_powers *powers)
{
	if (unlikely(powers->cred != current_cred()) && !lwc_broken(NO_CRED_SWAP))
		enter_cred(powers->cred);
	if (unlikely(powers->ns != current->nsproxy))
		enter_namespaces(powers->ns);
	if (unlikely(powers->seccomp.filter != current->seccomp.filter ||
		     powers->seccomp.mode != current->seccomp.mode))
		enter_filters(&powers->seccomp);
	if (unlikely(powers->no_new_privs != task_no_new_privs(current))) {
		if (powers->no_new_privs)
			task_set_no_new_privs(current);
		else
			clear_bit(PFA_NO_NEW_PRIVS, &current->atomic_flags);
	}
}

void lwc_powers_put(struct lwc_powers *powers)
{
	put_cred(powers->cred);
	lwc_put_nsproxy(powers->ns);
	put_filter(powers->seccomp.filter);
}
