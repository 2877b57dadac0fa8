// SPDX-License-Identifier: GPL-2.0
/*
 * context.c - contexts, their descriptors, who keeps them alive.
 *
 * Must never put an mm or a file table while a process's lock is held: that
 * runs drivers' code. It goes on a list of the doomed and is buried later.
 */
#include <linux/anon_inodes.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/module.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/xarray.h>

#include "broken.h"
#include "collect.h"
#include "context.h"
#include "files.h"
#include "kernel/compat.h"
#include "memory.h"
#include "mm.h"
#include "pair.h"
#include "place.h"
#include "process.h"
#include "ranges.h"
#include "snapshot.h"
#include "stats.h"
#include "sync.h"
#include "view.h"

unsigned int lwc_max_contexts = 1024;
module_param_named(max_contexts, lwc_max_contexts, uint, 0644);
MODULE_PARM_DESC(max_contexts, "contexts and snapshots that one process may have");

static unsigned int max_contexts_per_user = 16384;
module_param(max_contexts_per_user, uint, 0644);
MODULE_PARM_DESC(max_contexts_per_user, "contexts and snapshots that one user may have");

static bool enabled = true;
module_param(enabled, bool, 0644);
MODULE_PARM_DESC(enabled, "0: no new contexts and snapshots (EPERM)");

/* How many each user has: uid -> xa_mk_value(count). */
static DEFINE_XARRAY(users);
static DEFINE_MUTEX(users_lock);

static int charge_user(kuid_t user)
{
	unsigned long count;
	void *entry;
	int err = 0;

	mutex_lock(&users_lock);
	entry = xa_load(&users, __kuid_val(user));
	count = entry ? xa_to_value(entry) : 0;
	if (count >= READ_ONCE(max_contexts_per_user))
		err = -EAGAIN;
	else
		err = xa_err(xa_store(&users, __kuid_val(user), xa_mk_value(count + 1),
				      GFP_KERNEL));
	mutex_unlock(&users_lock);
	return err;
}

static void uncharge_user(kuid_t user)
{
	unsigned long count;

	mutex_lock(&users_lock);
	count = xa_to_value(xa_load(&users, __kuid_val(user))) - 1;
	/* Replacing an entry allocates nothing. */
	if (count)
		xa_store(&users, __kuid_val(user), xa_mk_value(count), GFP_KERNEL);
	else
		xa_erase(&users, __kuid_val(user));
	mutex_unlock(&users_lock);
}

static struct lwc_context *context_alloc(struct lwc_process *process)
{
	struct lwc_context *context = kzalloc(sizeof(*context), GFP_KERNEL_ACCOUNT);

	if (!context)
		return NULL;
	kref_init(&context->ref);
	context->process = process;
	lwc_process_get(process);
	INIT_LIST_HEAD(&context->of_process);
	INIT_LIST_HEAD(&context->places);
	INIT_LIST_HEAD(&context->descriptors);
	INIT_LIST_HEAD(&context->snapshots);
	INIT_LIST_HEAD(&context->names);
	context->alive = true;
	return context;
}

void lwc_context_enlist(struct lwc_context *context)
{
	struct lwc_process *process = context->process;

	spin_lock(&process->contexts_lock);
	list_add(&context->of_process, &process->contexts);
	spin_unlock(&process->contexts_lock);
}

struct lwc_context *lwc_context_root(struct lwc_process *process)
{
	struct lwc_context *context = context_alloc(process);

	if (!context)
		return NULL;
	context->pinned = true;
	context->mm = current->mm;
	mmgrab(context->mm);
	context->files = current->files;
	context->fs = current->fs;
	lwc_powers_get(&context->powers);
	lwc_context_enlist(context);
	return context;
}

struct lwc_context *lwc_context_record(struct lwc_process *process)
{
	struct lwc_context *record = context_alloc(process);

	if (record)
		record->frozen = true;
	return record;
}

/* Room for one more in the process and for the user, to be uncharged. */
static int charge(struct lwc_process *process, kuid_t user)
{
	int err;

	if (process->n_contexts >= READ_ONCE(lwc_max_contexts))
		return -EMFILE;
	err = charge_user(user);
	if (!err)
		process->n_contexts++;
	return err;
}

struct lwc_context *lwc_context_new(struct lwc_process *process, struct list_head *doomed)
{
	struct lwc_context *context;
	int err;

	if (!READ_ONCE(enabled))
		return ERR_PTR(-EPERM);
	context = context_alloc(process);
	if (!context)
		return ERR_PTR(-ENOMEM);
	context->user = current_uid();
	err = charge(process, context->user);
	if (err == -EMFILE || err == -EAGAIN) {
		lwc_collect(process, doomed);
		err = charge(process, context->user);
	}
	if (err) {
		lwc_context_put(context);
		return ERR_PTR(err);
	}
	context->counted = true;
	lwc_count(contexts);
	return context;
}

/* A duplicate of @model's mm for @context. */
static struct mm_struct *duplicate_paired(struct lwc_context *context,
					  const struct lwc_context *model)
{
	bool lacks;

	if (context->frozen) {
		mmap_read_lock(model->mm);
		lacks = lwc_mm_lacks_duplicate(model->mm);
		mmap_read_unlock(model->mm);
		if (lacks)
			return ERR_PTR(-EOPNOTSUPP);
	}
	return lwc_pair_duplicate(model->mm, context->process->leader,
				  context->frozen ? LWC_DUPLICATE_FROZEN : LWC_NONE_FROZEN,
				  lwc_context_is_quiet(model), &context->pair);
}

/*
 * Where a rollback puts @model's memory back to: what is shared from now on stays shared.
 * Not its kept state, which nothing that runs inside may choose.
 */
static int list_records(struct lwc_memory *memory, const struct lwc_context *model)
{
	const struct lwc_snapshot *snapshot;
	unsigned int n = 1;

	list_for_each_entry(snapshot, &model->snapshots, of_base)
		n++;
	memory->records = kmalloc_array(n, sizeof(memory->records[0]), GFP_KERNEL_ACCOUNT);
	if (!memory->records)
		return -ENOMEM;
	list_for_each_entry(snapshot, &model->snapshots, of_base)
		memory->records[memory->n_records++] = snapshot->record->mm;
	return 0;
}

static void forget_pair(struct lwc_context *context)
{
	lwc_pair_free(context->pair);
	context->pair = NULL;
}

/* What is known of @model and others no longer holds, or of too little. */
static void forget_pairs_of(struct lwc_context *model)
{
	struct lwc_snapshot *snapshot;
	struct lwc_context *context;

	list_for_each_entry(snapshot, &model->snapshots, of_base)
		forget_pair(snapshot->record);
	if (model->kept)
		forget_pair(model->kept);
	list_for_each_entry(context, &model->process->contexts, of_process) {
		if (context->creator == model)
			forget_pair(context);
	}
	forget_pair(model);
}

/* A duplicate of @model's mm, seen as @specs say. */
static struct mm_struct *duplicate_view(struct lwc_context *model, const struct lwc_specs *specs,
					bool hidden)
{
	struct lwc_memory memory = {
		.specs = specs, .pieces = LIST_HEAD_INIT(memory.pieces), .hidden = hidden,
	};
	unsigned int rounds = 4;
	struct mm_struct *mm;
	int err;

	do {
		err = lwc_memory_read_in(&memory, model->mm) ?: list_records(&memory, model);
		if (err)
			return ERR_PTR(err);
		mm = lwc_mm_duplicate(model->mm, model->process->leader, false, &memory);
		lwc_memory_release(&memory, model->mm);
		/* Reclaim was faster. */
	} while (mm == ERR_PTR(-EAGAIN) && --rounds);
	if (memory.converted)
		forget_pairs_of(model);
	return mm == ERR_PTR(-EAGAIN) ? ERR_PTR(-EBUSY) : mm;
}

int lwc_context_share_memory(struct lwc_context *context, const struct lwc_specs *specs,
			     struct mm_struct **unused)
{
	struct lwc_specs *shared = lwc_specs_shared(specs);
	struct mm_struct *mm;

	*unused = NULL;
	if (IS_ERR(shared))
		return PTR_ERR(shared);
	/* Not for what it is: with it the memory is shared. */
	mm = duplicate_view(context, shared, context->private);
	lwc_specs_free(shared);
	if (IS_ERR(mm))
		return PTR_ERR(mm);
	mmgrab(mm);
	*unused = mm;
	return 0;
}

void lwc_context_set_mm(struct lwc_context *context, struct mm_struct *mm)
{
	const unsigned long inherited = lwc_anonymous_pages(mm);

	mmgrab(mm);
	spin_lock(&context->process->contexts_lock);
	context->mm = mm;
	context->inherited = inherited;
	spin_unlock(&context->process->contexts_lock);
}

static bool has_view(const struct lwc_context *context)
{
	unsigned long start, end = 0;

	return lwc_specs_next_memory(context->specs, &start, &end);
}

static int fill_files(struct lwc_context *context, struct lwc_context *model,
		      lwc_files_filter keep, const void *view)
{
	struct files_struct *files;

	if (context->frozen)
		context->shares_files = model->shares_files;
	else
		context->shares_files = lwc_specs_share_files(context->specs);
	/* A snapshot puts nothing back in a table that is another's. */
	if (context->shares_files && context->snapshot)
		return 0;
	if (context->shares_files && !lwc_broken(FILES_COPIED)) {
		files = model->files;
		atomic_inc(&files->count);
	} else {
		files = lwc_files_duplicate(model->files, keep, view);
		if (IS_ERR(files))
			return PTR_ERR(files);
	}
	context->files = files;
	return 0;
}

int lwc_context_fill(struct lwc_context *context, struct lwc_context *model,
		     lwc_files_filter keep, const void *view)
{
	struct mm_struct *mm;
	int err;

	context->owned = true;
	context->fs = kernel_call(copy_fs_struct)(model->fs);
	if (!context->fs)
		return -ENOMEM;
	err = fill_files(context, model, keep, view);
	if (err)
		return err;
	/* The first renew makes a pair of a context and its creator. */
	if (context->frozen)
		mm = duplicate_paired(context, model);
	else if (has_view(context))
		mm = duplicate_view(model, context->specs, context->private);
	else
		mm = lwc_mm_duplicate(model->mm, context->process->leader, false, NULL);
	if (IS_ERR(mm))
		return PTR_ERR(mm);
	lwc_context_set_mm(context, mm);
	lwc_powers_copy(&context->powers, &model->powers);
	return 0;
}

/* Does another context have its table? That is only compared. */
static bool shares_table(const struct lwc_context *context)
{
	const struct lwc_context *other;

	list_for_each_entry(other, &context->process->contexts, of_process) {
		if (other != context && lwc_context_holds_table(other, context->files))
			return true;
	}
	return false;
}

/* Than itself, and the current task if that is inside. */
static bool has_more_users(const struct lwc_context *context)
{
	const bool inside = current->mm == context->mm;

	return atomic_read(&context->files->count) > (inside && context->owned ? 2 : 1);
}

struct lwc_closing *lwc_context_reserve_files(struct lwc_context *context,
					      struct files_struct *model, bool shared,
					      const struct lwc_files_view *view)
{
	struct lwc_closing *closing;
	struct files_struct *files;

	if (shared && context->files == model)
		return NULL;
	if (!shared && context->shares_files)
		return ERR_PTR(-EOPNOTSUPP);
	if (!shared && !(has_more_users(context) && shares_table(context)))
		return lwc_files_reserve(context->files, model, view);

	closing = lwc_closing_alloc(0);
	if (!closing)
		return ERR_PTR(-ENOMEM);
	if (shared) {
		atomic_inc(&model->count);
		closing->replacement = model;
		return closing;
	}
	files = lwc_files_duplicate(model, view->keep, view->context);
	if (IS_ERR(files)) {
		lwc_files_close(closing);
		return ERR_CAST(files);
	}
	closing->replacement = files;
	return closing;
}

/* What it was told of its callers by goes: the table stays, and is another's. */
static void take_out_callers(struct lwc_context *context)
{
	struct lwc_descriptor *descriptor;

	list_for_each_entry(descriptor, &context->descriptors, of_table) {
		if (descriptor->for_caller && !lwc_broken(CALLERS_STAY))
			lwc_files_take_out(context->files, descriptor->fd, descriptor->file);
	}
}

void lwc_context_equalise_files(struct lwc_context *context, struct files_struct *model,
				bool shared, const struct lwc_files_view *view,
				struct lwc_closing *closing)
{
	if (!closing)
		return;
	if (!closing->replacement) {
		lwc_files_equalise(context->files, model, view, closing);
		return;
	}
	take_out_callers(context);
	context->shares_files = shared;
	closing->of = context->files;
	context->files = closing->replacement;
	closing->replacement = NULL;
}

/*
 * A thread that ends clears its thread id, and marks its robust futexes, in the mm
 * that it still has when it counts as none that is inside.
 */
static bool is_left_by_all(const struct lwc_context *context)
{
	const struct task_struct *task;
	bool left = true;

	if (lwc_context_is_quiet(context))
		return true;
	rcu_read_lock();
	list_for_each_entry_rcu(task, &context->process->leader->signal->thread_head,
				thread_node)
		left &= task == current || READ_ONCE(task->mm) != context->mm;
	rcu_read_unlock();
	return left;
}

/* Can its mm become what another is? Else it gets a duplicate of that in its place. */
static bool can_stay(const struct lwc_context *context)
{
	return !lwc_mm_has_state_of_its_own(context->mm) && is_left_by_all(context);
}

/*
 * @context could not be made equal (@err of lwc_pair_equalise()), and there is no duplicate
 * to take its place. @paired has the pair.
 */
static void give_up(struct lwc_context *context, struct lwc_context *paired, int err)
{
	if (err == -EAGAIN)
		context->torn = true;
	forget_pair(paired);
}

int lwc_context_refill_mm(struct lwc_context *context, struct lwc_context *model,
			  struct mm_struct **old_mm)
{
	const bool quiet = lwc_context_is_quiet(context) && lwc_context_is_quiet(model);
	struct mm_struct *mm;
	int err = 0;

	*old_mm = NULL;
	if (lwc_pair_joins(context->pair, context->mm, model->mm) && can_stay(context) &&
	    (quiet || (!lwc_context_is_occupied(model, current) &&
		       !lwc_context_has_company(model)))) {
		err = lwc_pair_equalise(context->pair, context->mm, quiet);
		if (!err)
			context->torn = false;
		if (err != -EAGAIN && err != -ESTALE)
			return err;
	}
	if (has_view(context))
		mm = duplicate_view(model, context->specs, context->private);
	else
		mm = duplicate_paired(context, model);
	if (IS_ERR(mm)) {
		if (err)
			give_up(context, context, err);
		return PTR_ERR(mm);
	}
	*old_mm = context->mm;
	lwc_context_set_mm(context, mm);
	context->torn = false;
	return 0;
}

int lwc_context_restore_mm(struct lwc_context *context, struct lwc_context *record,
			   struct mm_struct **mm)
{
	int err = 0;

	*mm = NULL;
	if (record->torn)
		return -ENOTRECOVERABLE;
	if (lwc_broken(PAGE_NOT_RESTORED))
		return 0;
	if (!context->torn && lwc_pair_joins(record->pair, context->mm, record->mm) &&
	    can_stay(context)) {
		err = lwc_pair_equalise(record->pair, context->mm, lwc_context_is_quiet(context));
		if (err != -EAGAIN && err != -ESTALE)
			return err;
	}
	*mm = lwc_pair_duplicate(record->mm, context->process->leader, LWC_SOURCE_FROZEN, true,
				 &record->pair);
	if (IS_ERR(*mm)) {
		if (err)
			give_up(context, record, err);
		err = PTR_ERR(*mm);
		*mm = NULL;
		return err;
	}
	context->torn = false;
	return 0;
}

/* Objects that a context no longer has, put on the way back to user space. */
struct left_objects {
	struct callback_head work;
	struct files_struct *files;
	struct fs_struct *fs;
};

static void put_left_objects(struct callback_head *work)
{
	struct left_objects *left = container_of(work, struct left_objects, work);

	kernel_call(put_files_struct)(left->files);
	lwc_fs_put(left->fs);
	kfree(left);
}

int lwc_context_adopt(struct lwc_context *context)
{
	struct left_objects *left;

	if (lwc_context_is_occupied(context, current))
		return -EOPNOTSUPP;
	if (context->owned) {
		left = kmalloc(sizeof(*left), GFP_KERNEL_ACCOUNT);
		if (!left)
			return -ENOMEM;
		left->files = context->files;
		left->fs = context->fs;
		init_task_work(&left->work, put_left_objects);
		if (task_work_add(current, &left->work, TWA_RESUME)) {
			kfree(left);
			return -ESRCH;
		}
		atomic_inc(&current->files->count);
		lwc_fs_get(current->fs);
	}
	if (context->files != current->files) {
		/* Where the context has no reference and nobody else has it is gone. */
		if (context->owned || shares_table(context))
			take_out_callers(context);
		context->shares_files = false;
	}
	context->files = current->files;
	context->fs = current->fs;
	return 0;
}

static void context_release(struct kref *ref)
{
	struct lwc_context *context = container_of(ref, struct lwc_context, ref);
	struct lwc_process *process = context->process;

	kfree(context);
	lwc_process_put(process);
}

void lwc_context_put(struct lwc_context *context)
{
	struct lwc_context *creator;

	/* With it go those that only it was made by: one after another, they may be many. */
	while (context) {
		creator = context->creator;
		if (!kref_put(&context->ref, context_release))
			break;
		context = creator;
	}
}

void lwc_context_add_place(struct lwc_context *context, struct lwc_thread *thread,
			   struct lwc_place *place)
{
	place->context = context;
	lwc_context_get(context);
	place->thread = thread;
	list_add(&place->of_context, &context->places);
	list_add(&place->of_thread, &thread->places);
}

void lwc_context_forget_place(struct lwc_place *place)
{
	list_del(&place->of_context);
	list_del(&place->of_thread);
	lwc_context_put(place->context);
	lwc_place_free(place);
}

void lwc_context_forget_places(struct lwc_context *context)
{
	struct lwc_place *place, *next;

	list_for_each_entry_safe(place, next, &context->places, of_context) {
		/* A thread that is, or ends, inside still runs on its own. */
		if (place->thread->place != place)
			lwc_context_forget_place(place);
	}
}

bool lwc_context_is_occupied(const struct lwc_context *context, const struct task_struct *except)
{
	const struct task_struct *task;
	bool occupied = false;

	/* The leader's record keeps the signal_struct, and with it the list. */
	rcu_read_lock();
	list_for_each_entry_rcu(task, &context->process->leader->signal->thread_head,
				thread_node) {
		/* Who ends runs no code of the program any more. */
		if (task != except && READ_ONCE(task->mm) == context->mm &&
		    !(task->flags & PF_EXITING)) {
			occupied = true;
			break;
		}
	}
	rcu_read_unlock();
	return occupied;
}

bool lwc_context_is_quiet(const struct lwc_context *context)
{
	const bool inside = context->mm == current->mm;

	return atomic_read(&context->mm->mm_users) == (context->owned ? 1 + inside : 1);
}

bool lwc_context_has_company(const struct lwc_context *context)
{
	const struct mm_struct *mm = context->mm;
	struct task_struct *process, *task;
	bool found = false;

	/* Who reads /proc is a user too, so a count above ours proves nothing. */
	if (lwc_context_is_quiet(context))
		return false;
	rcu_read_lock();
	for_each_process_thread(process, task) {
		if (READ_ONCE(task->mm) == mm && !same_thread_group(task, current) &&
		    !(task->flags & (PF_KTHREAD | PF_EXITING))) {
			found = true;
			goto unlock;
		}
	}
unlock:
	rcu_read_unlock();
	return found;
}

/* Does somebody else have its table, so that this stays when it ends? */
static bool has_company_in_table(const struct lwc_context *context)
{
	return context->owned && context->files && atomic_read(&context->files->count) > 1;
}

void lwc_context_doom(struct lwc_context *context, struct list_head *doomed)
{
	struct lwc_descriptor *descriptor, *next_descriptor;

	lockdep_assert_held(&context->process->lock);
	context->alive = false;
	spin_lock(&context->process->contexts_lock);
	list_move(&context->of_process, doomed);
	spin_unlock(&context->process->contexts_lock);
	if (context->counted) {
		context->process->n_contexts--;
		uncharge_user(context->user);
		lwc_count_down(contexts);
	}
	if (has_company_in_table(context))
		take_out_callers(context);
	list_for_each_entry_safe(descriptor, next_descriptor, &context->descriptors, of_table) {
		list_del_init(&descriptor->of_table);
		descriptor->table = NULL;
	}
	lwc_snapshots_doom(context, NULL, doomed);
	if (context->kept) {
		lwc_context_doom(context->kept, doomed);
		context->kept = NULL;
	}
	if (context->snapshot)
		list_del(&context->snapshot->of_base);
	lwc_context_forget_places(context);
}

void lwc_context_doom_unused(struct lwc_context *context, struct list_head *doomed)
{
	lockdep_assert_held(&context->process->lock);
	if (!context->alive || lwc_context_is_kept(context))
		return;
	if (!context->snapshot && lwc_context_is_occupied(context, NULL))
		return;
	lwc_context_doom(context, doomed);
}

/* Is a thread about to tell those who wait for its end where it was made? */
static bool is_awaited_by_birth(const struct lwc_context *context)
{
	const struct lwc_thread *thread;

	list_for_each_entry(thread, &context->process->threads, of_process) {
		if (thread->birth == context && !READ_ONCE(thread->has_told))
			return true;
	}
	return false;
}

struct taken_memory {
	struct mm_struct **memory;
	unsigned int n;
	unsigned int most;
};

/* But of @spared. Return: is there room for more? */
static bool take_memory(struct lwc_context *context, struct taken_memory *taken,
			const struct mm_struct *spared)
{
	if (taken->n == taken->most)
		return false;
	if (context->mm && context->owned && !context->emptied && context->mm != spared &&
	    !is_awaited_by_birth(context)) {
		context->emptied = true;
		taken->memory[taken->n++] = context->mm;
	}
	return true;
}

static bool take_memory_with_records(struct lwc_context *context, struct taken_memory *taken,
				     const struct mm_struct *spared)
{
	const struct lwc_snapshot *snapshot;

	list_for_each_entry(snapshot, &context->snapshots, of_base) {
		if (!take_memory(snapshot->record, taken, spared))
			return false;
	}
	if (context->kept && !take_memory(context->kept, taken, spared))
		return false;
	return take_memory(context, taken, spared);
}

unsigned int lwc_contexts_take_memory(struct lwc_process *process, struct mm_struct **memory,
				      unsigned int most)
{
	const struct mm_struct *spared = READ_ONCE(current->signal->oom_mm);
	struct taken_memory taken = { .memory = memory, .most = most };
	struct lwc_context *context;

	lockdep_assert_held(&process->lock);
	if (lwc_broken(MEMORY_COMES_BACK_LATE) || lwc_broken(LEAK_REFERENCE))
		return 0;
	list_for_each_entry(context, &process->contexts, of_process) {
		if (!take_memory_with_records(context, &taken, spared))
			return taken.n;
	}
	if (spared && !taken.n) {
		list_for_each_entry(context, &process->contexts, of_process)
			take_memory(context, &taken, NULL);
	}
	return taken.n;
}

static void context_bury(struct lwc_context *context)
{
	lwc_pair_free(context->pair);
	if (context->owned) {
		if (context->mm && !context->emptied && !lwc_broken(LEAK_REFERENCE))
			mmput(context->mm);
		if (context->files)
			kernel_call(put_files_struct)(context->files);
		if (context->fs)
			lwc_fs_put(context->fs);
	}
	if (context->mm) {
		lwc_mm_disown(context->mm, context->process->leader);
		mmdrop(context->mm);
	}
	if (context->powers.cred)
		lwc_powers_put(&context->powers);
	if (context->snapshot)
		lwc_snapshot_free(context->snapshot);
	lwc_specs_free(context->specs);
	lwc_ranges_put(context->grants);
	lwc_context_put(context);
}

/*
 * Who shares the table of one that ends may be named in that alone, and would keep it, and
 * all that is open in it. Not so where the table is somebody's who lives.
 */
static bool leaves_a_table(const struct lwc_context *context)
{
	return has_company_in_table(context) && !context->frozen &&
	       !(context->shares_files && context->creator->alive);
}

/* Where no context has a reference to its table the threads that are inside have. */
static bool may_collect(const struct lwc_process *process)
{
	return same_thread_group(current, process->leader) && !(current->flags & PF_EXITING);
}

static void collect(struct lwc_process *process, struct list_head *doomed)
{
	mutex_lock(&process->lock);
	lwc_collect(process, doomed);
	mutex_unlock(&process->lock);
	lwc_process_put(process);
}

void lwc_context_bury(struct list_head *doomed)
{
	struct lwc_context *context, *next;
	struct lwc_process *process;

	do {
		process = NULL;
		list_for_each_entry_safe(context, next, doomed, of_process) {
			if (!process && leaves_a_table(context) && may_collect(context->process)) {
				process = context->process;
				lwc_process_get(process);
			}
			list_del_init(&context->of_process);
			context_bury(context);
		}
		if (process)
			collect(process, doomed);
	} while (!list_empty(doomed));
}

/*
 * One of lwc_self() is closed somewhere. Where its context has it too nobody would be told
 * of that, and the context would go on with none to hold it. Not here: the reference is
 * still there, and what ends may close the next one.
 */
static int descriptor_flush(struct file *file, fl_owner_t owner)
{
	const struct lwc_descriptor *descriptor = file->private_data;
	const struct lwc_context *context = descriptor->context;

	if (unlikely(descriptor->of_self) && !READ_ONCE(context->strong) && !context->pinned)
		lwc_process_sweep_later(context->process);
	return 0;
}

static int descriptor_release(struct inode *inode, struct file *file)
{
	struct lwc_descriptor *descriptor = file->private_data;
	struct lwc_context *context = descriptor->context;
	struct lwc_process *process = context->process;
	LIST_HEAD(doomed);

	mutex_lock(&process->lock);
	list_del(&descriptor->of_table);
	list_del(&descriptor->of_names);
	if (context->known_as == descriptor)
		context->known_as = NULL;
	if (descriptor->of_self)
		context->selves--;
	else if (!descriptor->weak)
		context->strong--;
	if (!descriptor->weak)
		lwc_context_doom_unused(context, &doomed);
	mutex_unlock(&process->lock);
	lwc_context_bury(&doomed);
	lwc_context_put(context);
	lwc_ranges_put(descriptor->ranges);
	kfree(descriptor);
	return 0;
}

static void descriptor_show(struct seq_file *seq, struct file *file)
{
	const struct lwc_descriptor *descriptor = file->private_data;

	seq_printf(seq, "lwc-kind:\t%s\nlwc-rights:\t%#x\nlwc-weak:\t%d\n",
		   descriptor->context->snapshot ? "snapshot" : "context",
		   READ_ONCE(descriptor->rights), descriptor->weak || descriptor->of_self);
}

static const struct file_operations descriptor_fops = {
	.owner = THIS_MODULE,
	.llseek = noop_llseek,
	.flush = descriptor_flush,
	.release = descriptor_release,
	.show_fdinfo = descriptor_show,
	.unlocked_ioctl = lwc_descriptor_ioctl,
};

struct lwc_descriptor *lwc_descriptor_of(struct file *file)
{
	return file->f_op == &descriptor_fops ? file->private_data : NULL;
}

struct file *lwc_descriptor_open(struct lwc_context *context, unsigned int rights, bool weak)
{
	struct lwc_descriptor *descriptor;
	struct file *file;

	descriptor = kzalloc(sizeof(*descriptor), GFP_KERNEL_ACCOUNT);
	if (!descriptor)
		return ERR_PTR(-ENOMEM);
	descriptor->context = context;
	descriptor->rights = rights;
	descriptor->weak = weak;
	INIT_LIST_HEAD(&descriptor->of_table);
	INIT_LIST_HEAD(&descriptor->of_names);

	file = anon_inode_getfile(context->snapshot ? "[lwc-snapshot]" : "[lwc]",
				  &descriptor_fops, descriptor, O_RDWR);
	if (IS_ERR(file)) {
		kfree(descriptor);
		return file;
	}
	descriptor->file = file;
	lwc_context_get(context);
	if (!weak) {
		context->strong++;
		list_add(&descriptor->of_names, &context->names);
	}
	return file;
}

struct file *lwc_descriptor_open_self(struct lwc_context *context)
{
	struct file *file = lwc_descriptor_open(context, LWC_ALL_RIGHTS & ~LWC_MAY_SYSCALL,
						lwc_broken(SELF_IS_WEAK));
	struct lwc_descriptor *descriptor;

	if (IS_ERR(file) || lwc_broken(SELF_IS_WEAK))
		return file;
	descriptor = file->private_data;
	descriptor->of_self = true;
	context->selves++;
	context->strong--;
	return file;
}

static void remember(struct lwc_context *table, struct lwc_descriptor *descriptor, int fd)
{
	descriptor->table = table;
	descriptor->fd = fd;
	list_move(&descriptor->of_table, &table->descriptors);
}

int lwc_descriptor_install(struct lwc_context *table, struct file *file)
{
	int fd = lwc_files_install(table->files, file);

	if (fd < 0)
		return fd;
	remember(table, file->private_data, fd);
	return fd;
}

static bool stands(const struct lwc_context *table, const struct lwc_descriptor *descriptor)
{
	return lwc_files_holds(table->files, descriptor->fd, descriptor->file);
}

/* Is it of any use to know @context by, and to go back there? Nobody goes to a snapshot. */
static bool is_name_of(const struct lwc_descriptor *descriptor, const struct lwc_context *context)
{
	return descriptor->context == context &&
	       (READ_ONCE(descriptor->rights) & LWC_MAY_SWITCH || context->snapshot);
}

/* Of those that @list knows, the one that stands in @table for @context. */
static struct lwc_descriptor *find_standing(const struct lwc_context *table,
					    struct list_head *list,
					    const struct lwc_context *context)
{
	struct lwc_descriptor *descriptor;

	list_for_each_entry(descriptor, list, of_table) {
		if (!is_name_of(descriptor, context) || !stands(table, descriptor))
			continue;
		/* The next to ask is likely to be the same. */
		list_move(&descriptor->of_table, list);
		return descriptor;
	}
	return NULL;
}

/* What is looked for: a name of @context for the one whose table it is. */
struct wanted_name {
	const struct lwc_context *table;
	const struct lwc_context *context;
};

/* What @caller's name in @table is for; NULL: to switch alone. */
static struct lwc_ranges *ranges_of_caller(const struct lwc_context *table,
					   const struct lwc_context *caller)
{
	return table->creator == caller ? table->grants : NULL;
}

/* Who shares the table of @table, where it stands, has it, and takes it along when it ends. */
static bool is_of_sharer(const struct lwc_descriptor *descriptor, const struct lwc_context *table)
{
	const struct lwc_context *other = descriptor->table;

	return other && other != table && other != table->kept && other->kept != table &&
	       lwc_context_holds_table(other, table->files) && !lwc_broken(CALLER_OF_ANY_SHARER);
}

/* A name that was made for another table's context may be worth more, or less. */
static bool is_anothers_caller(const struct lwc_descriptor *descriptor,
			       const struct lwc_context *table)
{
	return descriptor->for_caller &&
	       (descriptor->ranges != ranges_of_caller(table, descriptor->context) ||
		is_of_sharer(descriptor, table));
}

static bool names_context(const void *context, unsigned int fd, struct file *file)
{
	const struct lwc_descriptor *descriptor = lwc_descriptor_of(file);
	const struct wanted_name *wanted = context;

	return descriptor && is_name_of(descriptor, wanted->context) &&
	       !is_anothers_caller(descriptor, wanted->table);
}

/*
 * Contexts that were made inside of one another, up to what has made @table as well. A
 * family that fills its share of a table takes nothing from others: whoever is one made
 * the others, and a new one is made by someone who has made @table, or by itself.
 */
static const struct lwc_context *family_of(const struct lwc_context *table,
					   const struct lwc_context *caller)
{
	const struct lwc_context *family = caller;

	while (table->depth > caller->depth)
		table = table->creator;
	while (caller->depth > table->depth) {
		family = caller;
		caller = caller->creator;
	}
	while (caller != table && caller->creator) {
		family = caller;
		caller = caller->creator;
		table = table->creator;
	}
	return family;
}

/* Puts @file, of @caller, where a caller stands that is gone. */
static int reuse_number(struct lwc_context *table, const struct lwc_context *caller,
			struct file *file)
{
	const struct lwc_context *family = family_of(table, caller);
	struct lwc_descriptor *descriptor;
	unsigned int callers = 0;

	list_for_each_entry(descriptor, &table->descriptors, of_table) {
		if (!descriptor->for_caller || !stands(table, descriptor))
			continue;
		if (descriptor->context->alive) {
			callers += family_of(table, descriptor->context) == family ||
				   lwc_broken(ONE_FAMILY);
			continue;
		}
		if (lwc_files_replace(table->files, descriptor->fd, descriptor->file, file)) {
			struct file *before = descriptor->file;
			int fd = descriptor->fd;

			remember(table, file->private_data, fd);
			filp_close(before, table->files);
			return fd;
		}
	}
	return callers < LWC_MAX_CALLERS ? -ENOENT : -EMFILE;
}

long lwc_descriptor_references(const struct lwc_context *context)
{
	const struct lwc_descriptor *descriptor;
	long references = 0;

	list_for_each_entry(descriptor, &context->names, of_names)
		references += file_count(descriptor->file);
	return references;
}

void lwc_descriptor_visit(void (*visit)(struct lwc_context *named), const void *process,
			  struct file *file)
{
	const struct lwc_descriptor *descriptor = lwc_descriptor_of(file);

	if (descriptor && !descriptor->weak && descriptor->context->process == process)
		visit(descriptor->context);
}

int lwc_descriptor_number(struct lwc_context *table, struct lwc_context *context)
{
	const struct wanted_name wanted = { table, context };
	struct lwc_descriptor *descriptor;
	struct file *file;
	int fd;

	descriptor = find_standing(table, &table->descriptors, context);
	/* What its kept state has the context has had from there. */
	if (!descriptor && table->kept)
		descriptor = find_standing(table, &table->kept->descriptors, context);
	if (descriptor) {
		context->known_as = descriptor;
		return descriptor->fd;
	}
	file = lwc_files_find(table->files, names_context, &wanted, &fd);
	if (!file)
		return -1;
	descriptor = file->private_data;
	/* The table that it was made for takes it along. */
	if (!descriptor->for_caller || !descriptor->table || !stands(descriptor->table, descriptor))
		remember(table, descriptor, fd);
	fput(file);
	return fd;
}

int lwc_descriptor_for_caller(struct lwc_context *table, struct lwc_context *caller)
{
	struct lwc_descriptor *descriptor;
	struct file *file;
	int fd = -1;

	if (!lwc_broken(CALLER_LEAK))
		fd = lwc_descriptor_number(table, caller);
	if (fd >= 0)
		return fd;
	file = lwc_descriptor_open(caller, LWC_MAY_SWITCH, true);
	if (IS_ERR(file))
		return PTR_ERR(file);
	descriptor = file->private_data;
	descriptor->for_caller = true;
	descriptor->ranges = lwc_ranges_get(ranges_of_caller(table, caller));
	if (descriptor->ranges)
		descriptor->rights |= LWC_MAY_OVERLAY;
	descriptor->for_fresh = table->frozen;
	fd = reuse_number(table, caller, file);
	if (fd == -ENOENT)
		fd = lwc_descriptor_install(table, file);
	fput(file);
	return fd;
}
