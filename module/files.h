/* SPDX-License-Identifier: GPL-2.0 */
/*
 * files.h - file tables and working directories: duplicate, make equal, restore.
 */
#ifndef LWC_FILES_H
#define LWC_FILES_H

#include <linux/fdtable.h>
#include <linux/fs_struct.h>

struct lwc_context;

/**
 * typedef lwc_files_filter - is a descriptor part of a copy?
 * @context: the caller's
 * @fd: number
 * @file: what it names
 */
typedef bool (*lwc_files_filter)(const void *context, unsigned int fd, struct file *file);

/**
 * lwc_files_duplicate() - a copy of a file table
 * @model: of the current task, or one that no task uses
 * @keep: which descriptors the copy has, NULL: all
 * @context: handed to @keep
 *
 * Return: the table, or ERR_PTR(-ENOMEM), ERR_PTR(-EMFILE).
 */
struct files_struct *lwc_files_duplicate(struct files_struct *model, lwc_files_filter keep,
					 const void *context);

/**
 * struct lwc_files_view - what counts where one table is made equal to another
 * @keep: which descriptors of the model count, NULL: all
 * @spare: which descriptors stay where the model has nothing, NULL: none
 * @context: handed to both, which may not sleep
 */
struct lwc_files_view {
	lwc_files_filter keep;
	lwc_files_filter spare;
	const void *context;
};

/**
 * struct lwc_closing - files to be closed once no lock is held
 * @of: the table that they are taken out of, or that is replaced; with a reference, or NULL
 * @replacement: what takes its place, with a reference, or NULL
 * @n: how many
 * @max: room for
 * @files: they, each with the reference that the table had
 */
struct lwc_closing {
	struct files_struct *of;
	struct files_struct *replacement;
	unsigned int n;
	unsigned int max;
	struct file *files[];
};

/**
 * lwc_closing_alloc() - one with room for @max, of no table yet; NULL without memory
 */
struct lwc_closing *lwc_closing_alloc(unsigned int max);

/**
 * lwc_files_reserve() - all memory that lwc_files_equalise() may need
 * @files: grows if it has to; no task uses it, but the current one may
 * @model: the other
 * @view: what counts
 *
 * Return: what takes the files to be closed; NULL: nothing differs that counts, or
 * both are one table;
 * or ERR_PTR(): -ENOMEM, -EMFILE.
 */
struct lwc_closing *lwc_files_reserve(struct files_struct *files, struct files_struct *model,
				      const struct lwc_files_view *view);

/**
 * lwc_files_equalise() - make one table equal to another, in place
 * @files: changed; what it has open and @model has not is taken out
 * @model: not changed
 * @view: what counts
 * @closing: of lwc_files_reserve(); gets what is taken out
 *
 * Cannot fail. The table stays the same object.
 */
void lwc_files_equalise(struct files_struct *files, struct files_struct *model,
			const struct lwc_files_view *view, struct lwc_closing *closing);

/**
 * lwc_files_close() - close what was taken out of a table, free the list
 * @closing: of lwc_files_reserve(), whether it was used or not; NULL is allowed
 *
 * Record locks on files that the table still has open stay. Runs drivers' code:
 * no lock may be held.
 */
void lwc_files_close(struct lwc_closing *closing);

/**
 * lwc_files_visit() - call a function for each file of a table
 * @files: its lock is held meanwhile
 * @visit: called with @argument, @context and the file
 * @argument: a function that @visit may call
 * @context: the caller's
 */
void lwc_files_visit(struct files_struct *files,
		     void (*visit)(void (*argument)(struct lwc_context *), const void *context,
				   struct file *file),
		     void (*argument)(struct lwc_context *), const void *context);

/**
 * lwc_files_take_out() - @file is to be nowhere that descriptor @fd of @files names
 * @files: with its reference to @file, which is put
 * @fd: number
 * @file: which the caller holds
 *
 * Unless a task that shares the table has put another there. For a file of which
 * nothing has to be flushed.
 */
void lwc_files_take_out(struct files_struct *files, unsigned int fd, struct file *file);

/**
 * lwc_files_put_back() - put @file at a descriptor that is free, close-on-exec
 *
 * Nothing changes where it is not free, or beyond the table's size.
 */
void lwc_files_put_back(struct files_struct *files, unsigned int fd, struct file *file);

/**
 * lwc_files_holds() - does descriptor @fd of @files name @file?
 *
 * @file is only compared, so it need not be alive.
 */
static inline bool lwc_files_holds(const struct files_struct *files, unsigned int fd,
				   const struct file *file)
{
	const struct fdtable *fdt;
	bool holds;

	/* As good as rcu_read_lock(), which is two calls. */
	preempt_disable();
	fdt = rcu_dereference_sched(files->fdt);
	holds = fd < fdt->max_fds && rcu_access_pointer(fdt->fd[fd]) == file;
	preempt_enable();
	return holds;
}

/**
 * lwc_files_install() - give @file a descriptor of 3 or more, close-on-exec
 * @files: a table, the current task's or one that it may borrow
 * @file: the table gets a reference of its own
 *
 * Return: the descriptor, or -EMFILE, -ENOMEM.
 */
int lwc_files_install(struct files_struct *files, struct file *file);

/**
 * lwc_files_replace() - put @file where a descriptor names @before
 *
 * Return: true if it did name it; the table has a reference to @file then and
 * the caller the one to @before.
 */
bool lwc_files_replace(struct files_struct *files, unsigned int fd, struct file *before,
		       struct file *file);

/**
 * lwc_files_find() - the lowest descriptor of 3 or more that passes a filter
 * @files: where
 * @filter: what it has to pass
 * @context: handed to @filter
 * @fd: set to the number
 *
 * Return: its file with a reference, or NULL.
 */
struct file *lwc_files_find(struct files_struct *files, lwc_files_filter filter,
			    const void *context, int *fd);

/**
 * lwc_fs_equalise() - working directory, root and umask of @fs as in @model
 */
void lwc_fs_equalise(struct fs_struct *fs, struct fs_struct *model);

/**
 * lwc_fs_get() - take a reference
 */
void lwc_fs_get(struct fs_struct *fs);

/**
 * lwc_fs_put() - drop a reference
 */
void lwc_fs_put(struct fs_struct *fs);

#endif /* LWC_FILES_H */
