/* SPDX-License-Identifier: GPL-2.0 */
/*
 * rollback.h - snapshots are taken, re-armed and rolled back to.
 */
#ifndef LWC_ROLLBACK_H
#define LWC_ROLLBACK_H

#include <linux/lwc.h>

struct lwc_descriptor;
struct lwc_thread;

#define LWC_SNAPSHOT_FLAGS		LWC_TRAP_FAULTS
#define LWC_WORKING_SNAPSHOT_FLAGS	LWC_TRAP_FAULTS

/* The calls of uapi/linux/lwc.h; arguments are checked for size alone. */
long lwc_snapshot(const struct lwc_snapshot_args *args);
long lwc_rollback(struct lwc_descriptor *descriptor, const struct lwc_rollback_args *args);

/**
 * lwc_rollback_at_fault() - to the innermost snapshot that wants faults
 * @thread: the current one
 * @event: for there; lwc_event.created is filled in
 * @to: set to where it is to be written
 *
 * Return: 0; -ENOENT: there is none; or the error: nothing has changed.
 */
int lwc_rollback_at_fault(struct lwc_thread *thread, struct lwc_event *event,
			  struct lwc_event __user **to);

#endif /* LWC_ROLLBACK_H */
