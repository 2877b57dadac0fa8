// SPDX-License-Identifier: GPL-2.0
/*
 * oom.c - lets the OOM killer see what the parked contexts of a process hold.
 *
 * oom_badness() judges a process by the address space that one of its threads is in.
 * With a few pages there and a gigabyte parked, others would be killed in its stead.
 *
 * What is added is never more than there is: the wrong process would be killed then as
 * well. So pages that a context has in common with another count once, which is known of
 * those that it did not inherit; what it has copied of those that it did is not seen, but
 * that a process is as large as the largest of its contexts. (Nor are records, and shared
 * memory.)
 *
 * Must never sleep, nor wait for anyone who may be waiting for memory.
 */
#include <linux/oom.h>

#include "broken.h"
#include "context.h"
#include "kernel/compat.h"
#include "kernel/hook.h"
#include "kernel/symbols.h"
#include "oom.h"
#include "process.h"

DEFINE_STATIC_CALL_NULL(original_oom_badness, oom_badness);

/* A little off, where processors count by themselves; exact sums would take too long. */
static unsigned long anonymous_pages(struct mm_struct *mm)
{
	return get_mm_counter(mm, MM_ANONPAGES) + get_mm_counter(mm, MM_SWAPENTS);
}

/* What a process has besides @judged, the address space that it has been judged by. */
static unsigned long other_pages(struct lwc_process *process, struct mm_struct *judged)
{
	unsigned long tables = 0, own = 0, largest = 0, all;
	const struct lwc_context *context;

	spin_lock(&process->contexts_lock);
	list_for_each_entry(context, &process->contexts, of_process) {
		if (!context->mm)
			continue;
		all = anonymous_pages(context->mm);
		own += all - min(all, context->inherited);
		largest = max(largest, all);
		if (context->mm != judged)
			tables += mm_pgtables_bytes(context->mm) / PAGE_SIZE;
	}
	spin_unlock(&process->contexts_lock);
	all = anonymous_pages(judged);
	own = max(own, largest);
	return tables + own - min(own, all);
}

static unsigned long parked_pages(struct task_struct *task)
{
	struct lwc_process *process = lwc_process_of(task);
	unsigned long pages = 0;

	if (!process)
		return 0;
	task = kernel_call(find_lock_task_mm)(task);
	if (task) {
		__acquire(&task->alloc_lock);
		/* Which keeps its mm as long as it is locked. */
		pages = other_pages(process, task->mm);
		task_unlock(task);
	}
	lwc_process_put(process);
	return pages;
}

static long judge(struct task_struct *task, unsigned long total_pages)
{
	long points;

	lwc_hook_enter();
	points = static_call(original_oom_badness)(task, total_pages);
	if (points != LONG_MIN && !lwc_broken(PARKED_UNSEEN))
		points += parked_pages(task);
	lwc_hook_leave();
	return points;
}

static bool concerns_known_process(const struct pt_regs *regs)
{
	return lwc_process_is_known((struct task_struct *)regs->di);
}

static struct lwc_hook hook = {
	.name = "oom_badness",
	.concerns = concerns_known_process,
	.replacement = judge,
};

int lwc_oom_init(void)
{
	int err = lwc_hooks_find(&hook, 1);

	if (err)
		return err;
	static_call_update(original_oom_badness, (typeof(oom_badness) *)hook.original);
	return lwc_hooks_install(&hook, 1);
}

void lwc_oom_exit(void)
{
	lwc_hooks_remove(&hook, 1);
}
