/* SPDX-License-Identifier: GPL-2.0 */
/*
 * kept.h - the kept state of a context: what LWC_FRESH and LWC_DISCARD go back to.
 *
 * It is a record as that of a snapshot (a frozen struct lwc_context), but of a
 * context that nobody is in: with the places of all threads that had one.
 */
#ifndef LWC_KEPT_H
#define LWC_KEPT_H

#include <linux/list.h>

struct lwc_closing;
struct lwc_context;
struct lwc_descriptor;
struct lwc_process;
struct lwc_thread;

/**
 * lwc_kept_make() - record a new context's state
 * @context: filled, with its places; its process's lock is held
 *
 * Return: 0, -ENOMEM, -EMFILE, -EINTR, -EOPNOTSUPP, -ERESTARTNOINTR; what was
 * made then goes with @context.
 */
int lwc_kept_make(struct lwc_context *context);

/**
 * struct lwc_reset - one of two, a context and its kept state, becomes the other
 * @context: the context; NULL: there is nothing to do
 * @caller: who is about to enter it; NULL: nobody
 * @closing: of its table
 * @places: room for those that it lacks
 * @old_mm: an address space that is no longer used, for lwc_mm_put()
 */
struct lwc_reset {
	struct lwc_context *context;
	const struct lwc_context *caller;
	struct lwc_closing *closing;
	struct list_head places;
	struct mm_struct *old_mm;
};

/**
 * lwc_kept_take() - record the present state instead
 * @context: has a kept state, and nobody is in it; its process's lock is held
 * @thread: the current one
 * @reset: to be ended with lwc_reset_end(), whatever is returned
 *
 * Return: 0, -ENOMEM, -EMFILE, -EINTR, -EOPNOTSUPP, -ERESTARTNOINTR: nothing has
 * changed, or else the record is torn until this succeeds.
 */
int lwc_kept_take(struct lwc_context *context, struct lwc_thread *thread, struct lwc_reset *reset);

/**
 * lwc_kept_refused() - may @context not go back to its kept state?
 * @context: its process's lock is held
 * @thread: the current one; it may be in it, but nobody else
 *
 * Return: 0; -EINVAL (none, or snapshots inside), -EBUSY, -ENOTRECOVERABLE.
 */
int lwc_kept_refused(const struct lwc_context *context, const struct lwc_thread *thread);

/**
 * lwc_kept_prepare() - is there room for @context to go back?
 * @context: of which lwc_kept_refused() says 0
 * @thread: the current one
 * @reset: to be ended with lwc_reset_end(), whatever is returned
 *
 * Return: 0, -ENOMEM, -EMFILE: nothing has changed.
 */
int lwc_kept_prepare(struct lwc_context *context, struct lwc_thread *thread,
		     struct lwc_reset *reset);

/**
 * lwc_kept_restore() - @context goes back
 * @reset: of lwc_kept_prepare(); nobody is in the context any more
 *
 * Return: 0, -ENOMEM, -EINTR: nothing has changed, or else the context is torn.
 */
int lwc_kept_restore(struct lwc_reset *reset);

/**
 * lwc_reset_end() - free what is left of one
 * @reset: all zero, or of one of the above
 * @process: of the context; its lock is not held
 */
void lwc_reset_end(struct lwc_reset *reset, struct lwc_process *process);

/**
 * lwc_keep() - LWC_IOC_KEEP
 */
long lwc_keep(struct lwc_descriptor *descriptor);

#endif /* LWC_KEPT_H */
