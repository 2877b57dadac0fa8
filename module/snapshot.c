// SPDX-License-Identifier: GPL-2.0
/*
 * snapshot.c - the life of a snapshot's record.
 */
#include <linux/slab.h>

#include "context.h"
#include "place.h"
#include "snapshot.h"

void lwc_snapshot_free(struct lwc_snapshot *snapshot)
{
	lwc_place_free(snapshot->place);
	lwc_context_put(snapshot->base);
	kfree(snapshot);
}

void lwc_snapshots_doom(struct lwc_context *base, struct lwc_snapshot *after,
			struct list_head *doomed)
{
	struct list_head *position = after ? after->of_base.next : base->snapshots.next;

	while (position != &base->snapshots) {
		struct lwc_snapshot *snapshot = list_entry(position, struct lwc_snapshot, of_base);

		position = position->next;
		lwc_context_doom(snapshot->record, doomed);
	}
}
