/* SPDX-License-Identifier: GPL-2.0 */
/*
 * cred.h - what a context may do: credentials, namespaces, seccomp filters.
 */
#ifndef LWC_CRED_H
#define LWC_CRED_H

#include <linux/cred.h>
#include <linux/nsproxy.h>
#include <linux/seccomp.h>

/**
 * struct lwc_powers - a context's own references
 * @cred: credentials, capabilities
 * @ns: namespaces but the user's
 * @seccomp: mode and filters
 * @no_new_privs: as prctl(PR_SET_NO_NEW_PRIVS)
 */
struct lwc_powers {
	const struct cred *cred;
	struct nsproxy *ns;
	struct seccomp seccomp;
	bool no_new_privs;
};

int lwc_powers_init(void);
void lwc_powers_exit(void);

/**
 * lwc_powers_get() - take down the current task's
 * @powers: filled, with references
 */
void lwc_powers_get(struct lwc_powers *powers);

/**
 * lwc_powers_update() - bring @powers up to date with the current task
 * @powers: what the task had when it came in
 */
void lwc_powers_update(struct lwc_powers *powers);

/**
 * lwc_powers_copy() - make @powers what @model is
 * @powers: has references of its own, or is all zero
 * @model: keeps its own
 */
void lwc_powers_copy(struct lwc_powers *powers, const struct lwc_powers *model);

/**
 * lwc_powers_differ() - has the current task other credentials than @powers?
 */
static inline bool lwc_powers_differ(const struct lwc_powers *powers)
{
	return READ_ONCE(powers->cred) != current_cred();
}

/**
 * lwc_powers_peek() - the current task's, without references
 *
 * A task in a call of ours either has filters, or its seccomp is off: the filter
 * tells which.
 */
static inline struct lwc_powers lwc_powers_peek(void)
{
	return (struct lwc_powers){
		.cred = current_cred(),
		.ns = current->nsproxy,
		.seccomp.filter = current->seccomp.filter,
		.no_new_privs = task_no_new_privs(current),
	};
}

/**
 * lwc_powers_match() - are they the same?
 * @now: of lwc_powers_peek()
 */
static inline bool lwc_powers_match(const struct lwc_powers *powers, const struct lwc_powers *now)
{
	return likely(powers->cred == now->cred && powers->ns == now->ns &&
		      powers->seccomp.filter == now->seccomp.filter &&
		      powers->no_new_privs == now->no_new_privs);
}

/**
 * lwc_powers_refused() - may the current task take on @powers?
 *
 * Not other credentials under a debugger that could not have attached to
 * them (-EPERM); not another IPC namespace while semaphores of this one are to
 * be undone at the end of the task (-EOPNOTSUPP).
 *
 * Return: 0 or the error.
 */
int lwc_powers_refused(const struct lwc_powers *powers);

/**
 * lwc_powers_enter() - give them to the current task
 * @powers: keeps its references
 *
 * Processes are counted against the user whose credentials a task has, so
 * the count moves with them.
 */
void lwc_powers_enter(const struct lwc_powers *powers);

/**
 * lwc_powers_put() - drop the references
 */
void lwc_powers_put(struct lwc_powers *powers);

#endif /* LWC_CRED_H */
