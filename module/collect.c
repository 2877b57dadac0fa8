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

/* Is each reference to @files that of a context which nobody is in? */
static bool is_held_by_parked(const struct lwc_process *process, const struct files_struct *files)
{
	int count = atomic_read(&files->count);
	const struct lwc_context *context;

	if (count == 1)
		return true;
	list_for_each_entry(context, &process->contexts, of_process) {
		if (!lwc_context_holds_table(context, files))
			continue;
		if (!context->parked)
			return false;
		count -= context->files == files;
		count -= context->kept && context->kept->files == files;
	}
	return !count;
}

/* Nobody can change the tables of a parked context, or hand on what is in them. */
static void find_parked(struct lwc_process *process)
{
	struct lwc_context *context;

	list_for_each_entry(context, &process->contexts, of_process)
		context->parked = !context->pinned && !lwc_context_is_occupied(context, NULL);
	list_for_each_entry(context, &process->contexts, of_process) {
		if (context->parked && !is_held_by_parked(process, context->files))
			context->parked = false;
		cond_resched();
	}
}

/* Of those who hold a table the first speaks for it. */
static bool speaks_for(const struct lwc_context *context, const struct files_struct *files)
{
	const struct lwc_context *other;

	if (atomic_read(&files->count) == 1)
		return true;
	list_for_each_entry(other, &context->process->contexts, of_process) {
		if (lwc_context_holds_table(other, files))
			return other == context;
	}
	return false;
}

static void visit(struct lwc_context *context, struct files_struct *files,
		  void (*what)(struct lwc_context *named))
{
	lwc_files_visit(files, lwc_descriptor_visit, what, context->process);
}

static void visit_snapshots(struct lwc_context *context, void (*what)(struct lwc_context *named))
{
	const struct lwc_snapshot *snapshot;

	list_for_each_entry(snapshot, &context->snapshots, of_base) {
		if (snapshot->record->files)
			visit(context, snapshot->record->files, what);
	}
}

/* All that its tables name. */
static void visit_named(struct lwc_context *context, void (*what)(struct lwc_context *named))
{
	visit(context, context->files, what);
	if (context->kept && context->kept->files != context->files)
		visit(context, context->kept->files, what);
	visit_snapshots(context, what);
}

static void take_off(struct lwc_context *named)
{
	named->outside--;
}

static void take_off_named(struct lwc_context *context)
{
	if (speaks_for(context, context->files))
		visit(context, context->files, take_off);
	/* One that it shared until unshare() may also be in use by somebody outside. */
	if (context->kept && context->kept->files != context->files &&
	    is_held_by_parked(context->process, context->kept->files) &&
	    speaks_for(context, context->kept->files))
		visit(context, context->kept->files, take_off);
	visit_snapshots(context, take_off);
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
			/* Of what others name nothing was taken off; their tables may be gone. */
			if (!context->reached || context->searched || !context->parked)
				continue;
			context->searched = true;
			more = true;
			visit_named(context, reach);
			cond_resched();
		}
	}
}

static bool has_table_alone(const struct lwc_context *context)
{
	if (context->kept && context->kept->files != context->files &&
	    atomic_read(&context->kept->files->count) > 1)
		return false;
	return atomic_read(&context->files->count) == 1;
}

bool lwc_is_held_elsewhere(struct lwc_context *context)
{
	lockdep_assert_held(&context->process->lock);
	/* A thread that is inside has its tables, and may have put them already. */
	if (!context->owned || !has_table_alone(context))
		return true;
	context->outside = lwc_descriptor_references(context);
	visit_named(context, take_off);
	return context->outside > 0;
}

void lwc_collect(struct lwc_process *process, struct list_head *doomed)
{
	struct lwc_context *context, *next;

	lockdep_assert_held(&process->lock);
	list_for_each_entry(context, &process->contexts, of_process) {
		context->outside = lwc_descriptor_references(context);
		context->searched = false;
	}
	find_parked(process);
	list_for_each_entry(context, &process->contexts, of_process) {
		if (context->parked)
			take_off_named(context);
		cond_resched();
	}
	list_for_each_entry(context, &process->contexts, of_process)
		context->reached = context->outside > 0 || !context->parked;
	spread(process);
	list_for_each_entry_safe(context, next, &process->contexts, of_process) {
		if (!context->reached && !lwc_broken(RINGS_STAY))
			lwc_context_doom(context, doomed);
	}
}
