/* SPDX-License-Identifier: GPL-2.0 */
/*
 * context.h - the context object, its life, its descriptors and their rights.
 *
 * Who owns what
 *
 * A task owns one reference to its mm, file table and fs_struct, as ever. The
 * context that it runs in has none of its own then: it takes over the task's
 * when the task leaves, and gives it back when one enters ("moved"). So the
 * counts of a single-threaded process stay at 1, which keeps the kernel's
 * lock-free path for descriptors and the privileges of setuid programs.
 *
 * So where a context has none of its own, every thread of the process is in
 * it. Once a process has had a second thread, a context keeps a reference of its
 * own (@owned) from the first time that a thread leaves it, and a thread that
 * enters takes another. An occupied table is then never at a count of 1: the
 * kernel's lock-free path relies on that its only user is the only one who
 * could raise the count.
 *
 * struct mm_struct itself (mm_count) is always held by the context, so that a
 * pointer may be compared, and the owner cleared, at any time.
 *
 * Life
 *
 * A context lives (@alive) until its last strong descriptor is closed and no
 * thread is in it, or its process ends or has a new program. It is then
 * "doomed": taken off all lists under the process's lock, its resources put
 * after that lock is dropped. The object stays while something points to it.
 */
#ifndef LWC_CONTEXT_H
#define LWC_CONTEXT_H

#include <linux/kref.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/types.h>
#include <linux/lwc.h>

#include "broken.h"
#include "collect.h"
#include "cred.h"
#include "files.h"

struct lwc_pair;
struct lwc_place;
struct lwc_process;
struct lwc_ranges;
struct lwc_snapshot;
struct lwc_specs;
struct lwc_thread;

#define LWC_ALL_RIGHTS	(LWC_MAY_SWITCH | LWC_MAY_OVERLAY | LWC_MAY_SYSCALL | \
			 LWC_MAY_RESTRICT | LWC_MAY_KEEP)

/* Descriptors for callers of one family (see context.c) that one file table holds at most. */
#define LWC_MAX_CALLERS	64

/* How many contexts may have made one another, counting those that have ended. */
#define LWC_MAX_DEPTH	1024

/**
 * struct lwc_context - an address space, a file table, powers
 * @ref: on the object
 * @process: whose, with a reference
 * @of_process: in lwc_process.contexts, or on a list of the doomed
 * @alive: not doomed
 * @owned: has references of its own to @mm, @files, @fs (above)
 * @pinned: the root context: lives as long as its process
 * @counted: against the limits
 * @traps_faults: faults inside become switches to @creator
 * @private: made with LWC_PRIVATE: hidden whenever a thread enters it
 * @looks: lwc_looks() of @mm when a thread last left it; a hint
 * @torn: making it anew failed half-way: nobody may enter until that succeeds
 * @frozen: a record, in which nobody ever runs: of a snapshot, or a kept state
 * @snapshot: set where this is the record behind a snapshot, not a context
 * @kept: the record of its kept state; NULL: made without LWC_KEEP
 * @strong: strong descriptors, without those of lwc_self()
 * @selves: descriptors of lwc_self()
 * @mm: address space
 * @inherited: anonymous pages that it got of another with it, or by an overlay since
 * @emptied: its reference to @mm is put already: the process ends
 * @pair: of it and that of what it records, or of the creator; NULL: what
 *	they differ in is not known
 * @files: file table
 * @shares_files: it is not a table of its own, but the creator's (LWC_SHARE)
 * @fs: working directory, root, umask
 * @powers: credentials and the like, while no thread is inside
 * @specs: what it was made with
 * @grants: what it may overlay from @creator; NULL: nothing
 * @creator: the context it was made in, with a reference; NULL: root
 * @depth: how many made one another up to the root
 * @creator_thread: serial number of who made it
 * @places: of all threads
 * @descriptors: struct lwc_descriptor that stand in this context's table
 * @snapshots: of this context, in the order they were armed
 * @names: strong descriptors of it, those of lwc_self() too, wherever they are
 * @known_as: the descriptor of it that a target was last given as its caller
 * @outside: while rings are looked for: references from outside of parked tables
 * @parked: the same: nobody can change its tables or hand on what is in them
 * @reached: the same: it can be reached
 * @searched: the same: what it reaches is marked
 * @user: who it is counted for
 */
struct lwc_context {
	struct kref ref;
	struct lwc_process *process;
	struct list_head of_process;
	bool alive;
	bool owned;
	bool pinned;
	bool counted;
	bool traps_faults;
	bool private;
	u8 looks;
	bool torn;
	bool frozen;
	struct lwc_snapshot *snapshot;
	struct lwc_context *kept;
	unsigned int strong;
	unsigned int selves;
	struct mm_struct *mm;
	unsigned long inherited;
	bool emptied;
	struct lwc_pair *pair;
	struct files_struct *files;
	bool shares_files;
	struct fs_struct *fs;
	struct lwc_powers powers;
	struct lwc_specs *specs;
	struct lwc_ranges *grants;
	struct lwc_context *creator;
	unsigned int depth;
	u64 creator_thread;
	struct list_head places;
	struct list_head descriptors;
	struct list_head snapshots;
	struct list_head names;
	struct lwc_descriptor *known_as;
	long outside;
	bool parked;
	bool reached;
	bool searched;
	kuid_t user;
};

/**
 * struct lwc_descriptor - what an open file of ours stands for
 * @context: which context, with a reference
 * @rights: LWC_MAY_*
 * @ranges: what LWC_MAY_OVERLAY is for; NULL: everything
 * @weak: does not keep @context alive
 * @of_self: lwc_self() has made it: strong, but not in tables of @context itself
 * @for_caller: made for a target to learn who called
 * @for_fresh: the same, in the record of the target's kept state
 * @file: the open file; only compared
 * @table: the context in whose file table it was put
 * @of_table: in @table's list of descriptors
 * @fd: the number it was put at
 * @of_names: in @context's list, if strong
 */
struct lwc_descriptor {
	struct lwc_context *context;
	unsigned int rights;
	struct lwc_ranges *ranges;
	bool weak;
	bool of_self;
	bool for_caller;
	bool for_fresh;
	struct file *file;
	struct lwc_context *table;
	struct list_head of_table;
	int fd;
	struct list_head of_names;
};

/* Module parameters. */
extern unsigned int lwc_max_contexts;

/**
 * lwc_context_root() - the context that the current task is in so far
 * @process: of the current task; its lock is held
 *
 * Return: the context, on @process's list, or NULL without memory.
 */
struct lwc_context *lwc_context_root(struct lwc_process *process);

/**
 * lwc_context_new() - a context to be filled in, counted against the limits
 * @process: of the current task; its lock is held
 * @doomed: gets what turns out to be out of reach when a limit is met
 *
 * Return: the context, on no list, ERR_PTR(-EMFILE), ERR_PTR(-EAGAIN) (limits),
 * ERR_PTR(-EPERM) (contexts are switched off), ERR_PTR(-ENOMEM).
 */
struct lwc_context *lwc_context_new(struct lwc_process *process, struct list_head *doomed);

/**
 * lwc_context_record() - one that only ever holds what another was
 * @process: its lock is held
 *
 * It is on no list and counts against no limit. Return: it; NULL without memory.
 */
struct lwc_context *lwc_context_record(struct lwc_process *process);

/**
 * lwc_context_enlist() - it is one of its process's
 * @context: new, that process's lock is held
 */
void lwc_context_enlist(struct lwc_context *context);

/**
 * lwc_contexts_take_memory() - references to the address spaces of contexts of a process
 * @process: ends; its lock is held
 * @memory: set to some that were not taken before, to be put
 * @most: how many there is room for
 *
 * What the OOM killer has chosen the process for comes last: once that is free it looks
 * for another.
 *
 * Return: how many they are.
 */
unsigned int lwc_contexts_take_memory(struct lwc_process *process, struct mm_struct **memory,
				      unsigned int most);

/**
 * lwc_context_is_quiet() - does nobody but the current task use its mm?
 *
 * Who reads /proc may, for a moment.
 */
bool lwc_context_is_quiet(const struct lwc_context *context);

/**
 * lwc_context_fill() - give a new context duplicates of all that another has, or what it shares
 * @context: of lwc_context_new() or lwc_context_record(); one that is frozen is
 *	paired with @model
 * @model: the one that the task is in, with its powers up to date, or one that
 *	nobody is in
 * @keep: which descriptors, NULL: all
 * @view: handed to @keep
 *
 * Return: 0, -ENOMEM, -EMFILE, -EINTR, -EOPNOTSUPP (see lwc_pair_duplicate());
 * what it has got then is put when it is buried.
 */
int lwc_context_fill(struct lwc_context *context, struct lwc_context *model,
		     lwc_files_filter keep, const void *view);

/**
 * lwc_context_refill_mm() - its address space becomes what another's is now
 * @context: filled before from @model; frozen, or a context that nobody is in
 * @model: the one that the task is in, or one that nobody is in
 * @old_mm: set to what @context had if that was replaced, to be given to
 *	lwc_mm_put() once no lock is held; else NULL
 *
 * Copies what was written since, where that is known, else everything.
 *
 * Return: 0, -EINTR, -ENOMEM, -EOPNOTSUPP: nothing has changed, or else
 * @context is torn.
 */
int lwc_context_refill_mm(struct lwc_context *context, struct lwc_context *model,
			  struct mm_struct **old_mm);

/**
 * lwc_context_restore_mm() - an address space becomes what was recorded of it
 * @context: the one that the task is in, or one that nobody is in
 * @record: of @context, frozen
 * @mm: set to what takes the place of @context's, with one user, where it could
 *	not be done in place; else NULL
 *
 * Copies what was written since, where that is known, else everything.
 *
 * Return: 0, -EINTR, -ENOMEM, -ENOTRECOVERABLE (@record is torn): nothing has
 * changed, or else @context is torn.
 */
int lwc_context_restore_mm(struct lwc_context *context, struct lwc_context *record,
			   struct mm_struct **mm);

/**
 * lwc_context_set_mm() - give it an address space, in place of the one it may have
 * @context: its process's lock is held
 * @mm: a duplicate of another's, with a user that is the caller's to give away
 */
void lwc_context_set_mm(struct lwc_context *context, struct mm_struct *mm);

/**
 * lwc_context_holds_table() - is it a context's file table, or its kept state's?
 * @files: only compared
 */
static inline bool lwc_context_holds_table(const struct lwc_context *context,
					   const struct files_struct *files)
{
	return context->files == files || (context->kept && context->kept->files == files);
}

/**
 * lwc_context_reserve_files() - what a context needs to have the descriptors of another
 * @context: nobody but the current task is in it
 * @model: the other's table
 * @shared: that table itself, not what it has
 * @view: what counts, if not
 *
 * Who shares @context's own table keeps it: @context gets another then.
 *
 * Return: as lwc_files_reserve(); ERR_PTR(-EOPNOTSUPP): @context shares a table, and has
 * to get one of its own.
 */
struct lwc_closing *lwc_context_reserve_files(struct lwc_context *context,
					      struct files_struct *model, bool shared,
					      const struct lwc_files_view *view);

/**
 * lwc_context_equalise_files() - it gets them. Cannot fail
 * @context: nobody is in it
 * @model: as above
 * @shared: as above
 * @view: what counts
 * @closing: of the above, for lwc_files_close()
 */
void lwc_context_equalise_files(struct lwc_context *context, struct files_struct *model,
				bool shared, const struct lwc_files_view *view,
				struct lwc_closing *closing);

/**
 * lwc_context_share_memory() - private memory of a context becomes shared, as by LWC_SHARE
 * @context: its process's lock is held
 * @specs: which
 * @unused: set to what has to be given to lwc_mm_put() once that is dropped, or NULL
 *
 * Return: 0, or the errors of lwc_mm_duplicate(): nothing has changed.
 */
int lwc_context_share_memory(struct lwc_context *context, const struct lwc_specs *specs,
			     struct mm_struct **unused);

/* The rare part of the next. */
int lwc_context_adopt(struct lwc_context *context);

/**
 * lwc_context_settle() - is the current task's table the context's?
 * @context: the one that the current task is in
 *
 * It is not after unshare(). Alone in the context, the task has it take the new
 * ones; with company it is refused.
 *
 * Return: 0, -EOPNOTSUPP, -ENOMEM, -ESRCH (the task is ending).
 */
static inline int lwc_context_settle(struct lwc_context *context)
{
	if (likely(context->files == current->files && context->fs == current->fs))
		return 0;
	return lwc_context_adopt(context);
}

/**
 * lwc_context_put() - drop a reference on the object
 */
void lwc_context_put(struct lwc_context *context);

static inline void lwc_context_get(struct lwc_context *context)
{
	kref_get(&context->ref);
}

/**
 * lwc_context_doom() - end a context's life
 * @context: alive; its process's lock is held
 * @doomed: list that it goes on, for lwc_context_bury()
 */
void lwc_context_doom(struct lwc_context *context, struct list_head *doomed);

/**
 * lwc_context_doom_unused() - the same, if nothing keeps it alive
 *
 * Kept alive: by strong descriptors, by a thread inside, by being the root.
 */
void lwc_context_doom_unused(struct lwc_context *context, struct list_head *doomed);

/**
 * lwc_context_is_kept() - does it live whether there is a thread in it or not?
 * @context: its process's lock is held
 */
static inline bool lwc_context_is_kept(struct lwc_context *context)
{
	return context->strong || context->pinned ||
	       (unlikely(context->selves) && lwc_is_held_elsewhere(context));
}

/**
 * lwc_context_bury() - put the resources of the doomed
 * @doomed: list; no lock is held, may sleep
 */
void lwc_context_bury(struct list_head *doomed);

/**
 * lwc_context_is_occupied() - is a thread of the process in it?
 * @context: its process's lock is held
 * @except: a task that does not count, or NULL
 */
bool lwc_context_is_occupied(const struct lwc_context *context, const struct task_struct *except);

/**
 * lwc_context_add_place() - a place of @thread in @context, on both's lists
 */
void lwc_context_add_place(struct lwc_context *context, struct lwc_thread *thread,
			   struct lwc_place *place);

/**
 * lwc_context_has_company() - does another process run in it (vfork, CLONE_VM)?
 */
bool lwc_context_has_company(const struct lwc_context *context);

/**
 * lwc_context_forget_place() - take a place off its lists and free it
 */
void lwc_context_forget_place(struct lwc_place *place);

/**
 * lwc_context_forget_places() - all of them, but for threads that are inside
 */
void lwc_context_forget_places(struct lwc_context *context);

/**
 * lwc_descriptor_open() - make an open file for a context
 * @context: gets a reference, and is counted as strong unless @weak
 * @rights: LWC_MAY_*
 * @weak: see struct lwc_descriptor
 *
 * The process's lock is held. Return: the file or an ERR_PTR().
 */
struct file *lwc_descriptor_open(struct lwc_context *context, unsigned int rights, bool weak);

/**
 * lwc_descriptor_open_self() - the same, for the context itself to have
 * @context: the one that the current task is in
 */
struct file *lwc_descriptor_open_self(struct lwc_context *context);

/* The calls on a descriptor: the table is main.c's. */
long lwc_descriptor_ioctl(struct file *file, unsigned int command, unsigned long argument);

/**
 * lwc_descriptor_of() - what a file stands for, NULL if it is none of ours
 */
struct lwc_descriptor *lwc_descriptor_of(struct file *file);

/**
 * lwc_descriptor_install() - put a file of lwc_descriptor_open() into a table
 * @table: the context whose table it is
 * @file: the table gets a reference of its own
 *
 * The process's lock is held. Return: the descriptor or -EMFILE, -ENOMEM.
 */
int lwc_descriptor_install(struct lwc_context *table, struct file *file);

/**
 * lwc_descriptor_references() - to the open files of all strong descriptors
 */
long lwc_descriptor_references(const struct lwc_context *context);

/**
 * lwc_descriptor_visit() - if a file is a strong descriptor, call @visit
 * @visit: gets the context that it names
 * @process: the struct lwc_process that it has to be of
 * @file: any
 *
 * For lwc_files_visit().
 */
void lwc_descriptor_visit(void (*visit)(struct lwc_context *named), const void *process,
			  struct file *file);

/**
 * lwc_descriptor_number() - under which number @table names @context
 *
 * One that may switch there, unless @context is a snapshot's record. Where there are
 * several, the one found before, then the lowest. The process's lock is held.
 *
 * Return: the descriptor or -1.
 */
int lwc_descriptor_number(struct lwc_context *table, struct lwc_context *context);

/**
 * lwc_descriptor_for_caller() - a descriptor of @caller in @table's table
 * @table: the context that control goes to
 * @caller: the context that it comes from
 *
 * One that lives there already, or a weak one which may only switch, and overlay what
 * its creator has granted @table, the same number for the same pair. The process's lock is held.
 *
 * Return: the descriptor or -EMFILE, -ENOMEM.
 */
int lwc_descriptor_for_caller(struct lwc_context *table, struct lwc_context *caller);

/**
 * lwc_descriptor_known() - the same, if it is the one that it was last time
 *
 * Return: the descriptor or -1.
 */
static inline int lwc_descriptor_known(const struct lwc_context *table,
				       const struct lwc_context *caller)
{
	const struct lwc_descriptor *known = caller->known_as;

	/* What its kept state has at a number the context may have there as well. */
	if (likely(known && known->table &&
		   (known->table == table || known->table == table->kept) &&
		   !lwc_broken(CALLER_LEAK) &&
		   lwc_files_holds(table->files, known->fd, known->file)))
		return known->fd;
	return -1;
}

#endif /* LWC_CONTEXT_H */
