/* SPDX-License-Identifier: GPL-2.0 */
/*
 * snapshot.h - the record of a context that is only ever rolled back to.
 *
 * A snapshot is a struct lwc_context whose mm, table and powers are those of
 * the point where it was armed, and this beside it. It is on no list of the
 * process; its base knows it.
 */
#ifndef LWC_SNAPSHOT_H
#define LWC_SNAPSHOT_H

#include <linux/list.h>
#include <linux/signal.h>
#include <linux/types.h>

struct lwc_context;
struct lwc_place;

/**
 * struct lwc_snapshot - what a snapshot has and a context has not
 * @of_base: in the snapshots of @base, in the order they were armed
 * @record: the struct lwc_context that this belongs to
 * @base: the context it was taken of, with a reference
 * @thread: serial number of who took it
 * @place: registers and the like
 * @fd: its descriptor when it was armed
 * @traps_faults: a fault of that thread rolls back to it
 * @single: the process had one thread, so @actions count
 * @actions: signal handlers
 */
struct lwc_snapshot {
	struct list_head of_base;
	struct lwc_context *record;
	struct lwc_context *base;
	u64 thread;
	struct lwc_place *place;
	int fd;
	bool traps_faults;
	bool single;
	struct k_sigaction actions[_NSIG];
};

/**
 * lwc_snapshot_free() - free the record, its place and its reference
 */
void lwc_snapshot_free(struct lwc_snapshot *snapshot);

/**
 * lwc_snapshots_doom() - end the lives of a context's snapshots
 * @base: the context; its process's lock is held
 * @after: those armed after this one, NULL: all
 * @doomed: list that they go on
 */
void lwc_snapshots_doom(struct lwc_context *base, struct lwc_snapshot *after,
			struct list_head *doomed);

#endif /* LWC_SNAPSHOT_H */
