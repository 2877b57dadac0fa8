/* SPDX-License-Identifier: GPL-2.0 */
/*
 * rollback.h - snapshots are taken, re-armed and rolled back to.
 */
#ifndef LWC_ROLLBACK_H
#define LWC_ROLLBACK_H

#include <linux/lwc.h>

struct lwc_descriptor;

#define LWC_SNAPSHOT_FLAGS		LWC_TRAP_FAULTS
#define LWC_WORKING_SNAPSHOT_FLAGS	0

/* The calls of uapi/linux/lwc.h; arguments are checked for size alone. */
long lwc_snapshot(const struct lwc_snapshot_args *args);
long lwc_rollback(struct lwc_descriptor *descriptor, const struct lwc_rollback_args *args);

#endif /* LWC_ROLLBACK_H */
