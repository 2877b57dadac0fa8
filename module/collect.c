// SPDX-License-Identifier: GPL-2.0
/*
 * collect.c - finds rings: contexts whose tables hold each other's strong
 * descriptors, and which nobody else holds.
 *
 * As the kernel does for sockets in flight: of all references to a context's
 * open files, those from tables of parked contexts are taken off. What is left
 * comes from outside (a running thread, another process, a message on its
 * way), and whatever can be reached from there stays.
 *
 * Must never run on a hot path: it looks at every descriptor of every parked
 * context. It errs on the side of life: a reference that someone takes
 * meanwhile counts as one from outside.
 */
#include <linux/fs.h>

#include "broken.h"
#include "collect.h"
#include "context.h"
#include "files.h"
#include "process.h"
#include "snapshot.h"

/* A table nobody else can change or hand on: that of a parked context. */
static bool is_parked(const struct lwc_context *context)
{
	return !context->pinned && !lwc_context_is_occupied(context, NULL) &&
	       atomic_read(&context->files->count) == 1;
}

static void visit_named(const struct lwc_context *context, void (*visit)(struct lwc_context *named))
{
	const struct lwc_snapshot *snapshot;

	lwc_files_visit(context->files, lwc_descriptor_visit, visit);
	if (context->kept)
		lwc_files_visit(context->kept->files, lwc_descriptor_visit, visit);
	list_for_each_entry(snapshot, &context->snapshots, of_base)
		lwc_files_visit(snapshot->record->files, lwc_descriptor_visit, visit);
}

static void take_off(struct lwc_context *named)
{
	named->outside--;
}

static void reach(struct lwc_context *named)
{
	named->reached = true;
}

/* Marks what can be reached, from what is marked on. */
static void spread(struct lwc_process *process)
{
	struct lwc_context *context;
	bool more = true;

	while (more) {
		more = false;
		list_for_each_entry(context, &process->contexts, of_process) {
			if (!context->reached || context->searched)
				continue;
			context->searched = true;
			more = true;
			visit_named(context, reach);
		}
	}
}

void lwc_collect(struct lwc_process *process, struct list_head *doomed)
{
	struct lwc_context *context, *next;

	lockdep_assert_held(&process->lock);
	list_for_each_entry(context, &process->contexts, of_process) {
		context->outside = lwc_descriptor_references(context);
		context->searched = false;
	}
	list_for_each_entry(context, &process->contexts, of_process) {
		if (is_parked(context))
			visit_named(context, take_off);
	}
	list_for_each_entry(context, &process->contexts, of_process)
		context->reached = context->outside > 0 || !is_parked(context);
	spread(process);
	list_for_each_entry_safe(context, next, &process->contexts, of_process) {
		if (!context->reached && !lwc_broken(RINGS_STAY))
			lwc_context_doom(context, doomed);
	}
}
