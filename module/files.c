// SPDX-License-Identifier: GPL-2.0
/*
 * files.c - file tables.
 *
 * Bits and pointers of a table change under its file_lock, as in fs/file.c.
 * Closing runs drivers' code, so it is put off until the caller has dropped all
 * locks (struct lwc_closing). Must never give a table away or change its
 * reference count: who owns it is context.c's business.
 */
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/fs_struct.h>
#include <linux/sched/task.h>

#include "broken.h"
#include "files.h"
#include "kernel/compat.h"

static struct fdtable *table_of(struct files_struct *files)
{
	return rcu_dereference_raw(files->fdt);
}

/* The three below: with files->file_lock held. */
static void mark_open(struct fdtable *fdt, unsigned int fd)
{
	__set_bit(fd, fdt->open_fds);
	if (!~fdt->open_fds[fd / BITS_PER_LONG])
		__set_bit(fd / BITS_PER_LONG, fdt->full_fds_bits);
}

static void mark_free(struct files_struct *files, struct fdtable *fdt, unsigned int fd)
{
	__clear_bit(fd, fdt->open_fds);
	__clear_bit(fd / BITS_PER_LONG, fdt->full_fds_bits);
	if (fd < files->next_fd)
		files->next_fd = fd;
}

static void mark_close_on_exec(struct fdtable *fdt, unsigned int fd, bool on)
{
	if (on)
		__set_bit(fd, fdt->close_on_exec);
	else
		__clear_bit(fd, fdt->close_on_exec);
}

/* A reference to what @fd of @files names, and its close-on-exec flag. */
static struct file *get_slot(struct files_struct *files, unsigned int fd, bool *close_on_exec)
{
	struct file *file = NULL;
	struct fdtable *fdt;

	spin_lock(&files->file_lock);
	fdt = table_of(files);
	if (fd < fdt->max_fds) {
		file = rcu_dereference_raw(fdt->fd[fd]);
		if (file)
			get_file(file);
		*close_on_exec = test_bit(fd, fdt->close_on_exec);
	}
	spin_unlock(&files->file_lock);
	return file;
}

static unsigned int table_size(struct files_struct *files)
{
	unsigned int size;

	spin_lock(&files->file_lock);
	size = table_of(files)->max_fds;
	spin_unlock(&files->file_lock);
	return size;
}

/* The highest descriptor of @model that counts, or NULL; with a reference. */
static struct file *get_last(struct files_struct *model, const struct lwc_files_view *view,
			     unsigned int *fd)
{
	struct file *file, *found = NULL;
	struct fdtable *fdt;
	unsigned int number;

	spin_lock(&model->file_lock);
	fdt = table_of(model);
	for (number = fdt->max_fds; number-- > 0 && !found; ) {
		file = rcu_dereference_raw(fdt->fd[number]);
		if (file && (!view->keep || view->keep(view->context, number, file))) {
			found = get_file(file);
			*fd = number;
		}
	}
	spin_unlock(&model->file_lock);
	return found;
}

struct files_struct *lwc_files_duplicate(struct files_struct *model, lwc_files_filter keep,
					 const void *context)
{
	const struct lwc_files_view view = { .keep = keep, .context = context };
	struct fd_range behind = { .to = UINT_MAX };
	struct files_struct *files;
	struct fdtable *fdt;
	struct file *file;
	unsigned int fd;

	if (!keep)
		return kernel_call(dup_fd)(model, NULL);
	/* Who has thousands of contexts has thousands of descriptors that do not count. */
	file = get_last(model, &view, &fd);
	if (file) {
		behind.from = fd + 1;
		fput(file);
	}
	files = kernel_call(dup_fd)(model, &behind);
	if (IS_ERR(files))
		return files;
	fdt = table_of(files);
	for (fd = 0; fd < fdt->max_fds; fd++) {
		file = rcu_dereference_raw(fdt->fd[fd]);
		cond_resched();
		if (!file || keep(context, fd, file))
			continue;
		rcu_assign_pointer(fdt->fd[fd], NULL);
		mark_close_on_exec(fdt, fd, false);
		mark_free(files, fdt, fd);
		/* Nothing was ever done through the copy, so nothing is flushed. */
		fput(file);
	}
	return files;
}

/*
 * The functions that allocate a descriptor work on current->files alone, so
 * the task borrows the table. It holds the only right to do so: no thread can
 * enter the context meanwhile, and the guard refuses looks at this task.
 */
static struct files_struct *borrow(struct files_struct *files)
{
	struct files_struct *own = current->files;

	task_lock(current);
	current->files = files;
	task_unlock(current);
	return own;
}

int lwc_files_install(struct files_struct *files, struct file *file)
{
	struct files_struct *own = borrow(files);
	int fd = kernel_call(f_dupfd)(3, file, O_CLOEXEC);

	borrow(own);
	/* f_dupfd() says EINVAL where the limit itself is below 3. */
	return fd == -EINVAL ? -EMFILE : fd;
}

/* With both locks held. */
static bool is_same(const struct fdtable *fdt, const struct fdtable *model, unsigned int fd,
		    const struct lwc_files_view *view)
{
	struct file *now = fd < fdt->max_fds ? rcu_dereference_raw(fdt->fd[fd]) : NULL;
	struct file *wanted = fd < model->max_fds ? rcu_dereference_raw(model->fd[fd]) : NULL;

	if (likely(now && now == wanted) &&
	    test_bit(fd, fdt->close_on_exec) == test_bit(fd, model->close_on_exec))
		return !view->keep || view->keep(view->context, fd, wanted);
	if (wanted && view->keep && !view->keep(view->context, fd, wanted))
		wanted = NULL;
	return !wanted && (!now || (view->spare && view->spare(view->context, fd, now)));
}

/* One word of bits of each table from @fd on: those that are the same in both, as nearly all. */
static unsigned long find_same(const struct fdtable *fdt, const struct fdtable *model,
			       unsigned int fd)
{
	const unsigned int word = fd / BITS_PER_LONG;
	unsigned long bits, same;

	/* Tables are as large as whole words. */
	if (fd >= fdt->max_fds || fd >= model->max_fds)
		return 0;
	same = fdt->open_fds[word] & model->open_fds[word] &
	       ~(fdt->close_on_exec[word] ^ model->close_on_exec[word]);
	for (bits = same; bits; bits &= bits - 1) {
		const unsigned int i = fd + __ffs(bits);
		const struct file *file = rcu_access_pointer(fdt->fd[i]);

		/* None: being opened, by a task that shares the table. */
		if (unlikely(!file || file != rcu_access_pointer(model->fd[i])))
			same &= ~(bits & -bits);
	}
	return same;
}

#define NO_DESCRIPTOR	UINT_MAX

/* The first descriptor from @fd on that is not the same in two tables, or NO_DESCRIPTOR. */
static unsigned int next_differing(struct files_struct *files, struct files_struct *model,
				   const struct lwc_files_view *view, unsigned int fd)
{
	const struct fdtable *fdt, *other;
	unsigned int word, end, found = NO_DESCRIPTOR;
	unsigned long bits;

	spin_lock(&files->file_lock);
	spin_lock_nested(&model->file_lock, SINGLE_DEPTH_NESTING);
	fdt = table_of(files);
	other = table_of(model);
	end = max(fdt->max_fds, other->max_fds);
	for (word = round_down(fd, BITS_PER_LONG); word < end; word += BITS_PER_LONG) {
		bits = word < fdt->max_fds ? fdt->open_fds[word / BITS_PER_LONG] : 0;
		bits |= word < other->max_fds ? other->open_fds[word / BITS_PER_LONG] : 0;
		if (word < fd)
			bits &= ~0UL << (fd - word);
		/* Of the same some may be none that count. */
		if (!view->keep)
			bits &= ~find_same(fdt, other, word);
		for (; bits; bits &= bits - 1) {
			if (!is_same(fdt, other, word + __ffs(bits), view)) {
				found = word + __ffs(bits);
				goto unlock;
			}
		}
	}
unlock:
	spin_unlock(&model->file_lock);
	spin_unlock(&files->file_lock);
	return found;
}

static unsigned int count_differing(struct files_struct *files, struct files_struct *model,
				    const struct lwc_files_view *view)
{
	unsigned int fd, n = 0;

	for (fd = next_differing(files, model, view, 0); fd != NO_DESCRIPTOR;
	     fd = next_differing(files, model, view, fd + 1))
		n++;
	return n;
}

/*
 * @room: for what is there now. If there is none it was put there while this went on, by
 * who shares the table, and stays: as if that had come after.
 *
 * Return: what has to be put, NULL if there is nothing.
 */
static struct file *set_slot(struct files_struct *files, unsigned int fd, struct file *file,
			     bool close_on_exec, bool room)
{
	struct fdtable *fdt;
	struct file *before;

	spin_lock(&files->file_lock);
	fdt = table_of(files);
	before = rcu_dereference_raw(fdt->fd[fd]);
	/* Being opened by a task that shares the table: it is not ours yet. */
	if ((!before && test_bit(fd, fdt->open_fds)) || (before && before != file && !room)) {
		spin_unlock(&files->file_lock);
		return file;
	}
	rcu_assign_pointer(fdt->fd[fd], file);
	mark_close_on_exec(fdt, fd, file && close_on_exec);
	if (file)
		mark_open(fdt, fd);
	else if (before)
		mark_free(files, fdt, fd);
	spin_unlock(&files->file_lock);
	return before;
}

void lwc_files_take_out(struct files_struct *files, unsigned int fd, struct file *file)
{
	struct fdtable *fdt;
	bool held;

	spin_lock(&files->file_lock);
	fdt = table_of(files);
	held = fd < fdt->max_fds && rcu_access_pointer(fdt->fd[fd]) == file;
	if (held) {
		RCU_INIT_POINTER(fdt->fd[fd], NULL);
		mark_close_on_exec(fdt, fd, false);
		mark_free(files, fdt, fd);
	}
	spin_unlock(&files->file_lock);
	if (held)
		fput(file);
}

/*
 * Makes @files as large as what counts of @model. Who shares @files may see a
 * descriptor for a moment: of a file that it is about to get.
 */
static int grow(struct files_struct *files, struct files_struct *model,
		const struct lwc_files_view *view)
{
	struct files_struct *own;
	struct file *file;
	unsigned int last;
	int fd = 0;

	file = get_last(model, view, &last);
	if (!file)
		return 0;
	if (last >= table_size(files)) {
		own = borrow(files);
		fd = kernel_call(f_dupfd)(last, file, O_CLOEXEC);
		borrow(own);
		/* The table stays as large, and nothing may be in it if what follows fails. */
		if (fd >= 0)
			lwc_files_take_out(files, fd, file);
	}
	fput(file);
	if (fd < 0)
		return fd == -EINVAL ? -EMFILE : fd;
	return 0;
}

struct lwc_closing *lwc_closing_alloc(unsigned int max)
{
	struct lwc_closing *closing = kvmalloc(struct_size(closing, files, max),
					       GFP_KERNEL_ACCOUNT);

	if (!closing)
		return NULL;
	closing->of = NULL;
	closing->replacement = NULL;
	closing->n = 0;
	closing->max = max;
	return closing;
}

struct lwc_closing *lwc_files_reserve(struct files_struct *files, struct files_struct *model,
				      const struct lwc_files_view *view)
{
	struct lwc_closing *closing;
	unsigned int n;
	int err;

	/* Contexts that share it. */
	if (files == model)
		return NULL;
	n = count_differing(files, model, view);
	if (!n)
		return NULL;
	closing = lwc_closing_alloc(n);
	if (!closing)
		return ERR_PTR(-ENOMEM);
	/* Who uses it without the lock has raised the count, or is the current task. */
	atomic_inc(&files->count);
	closing->of = files;
	err = grow(files, model, view);
	if (err) {
		lwc_files_close(closing);
		return ERR_PTR(err);
	}
	return closing;
}

/* As lwc_files_find(), from @first on. */
static struct file *find_from(struct files_struct *files, unsigned int first,
			      lwc_files_filter filter, const void *context, int *fd)
{
	struct file *file, *found = NULL;
	struct fdtable *fdt;
	unsigned int number;

	spin_lock(&files->file_lock);
	fdt = table_of(files);
	for (number = first; number < fdt->max_fds && !found; number++) {
		file = rcu_dereference_raw(fdt->fd[number]);
		if (file && filter(context, number, file)) {
			found = get_file(file);
			*fd = number;
		}
	}
	spin_unlock(&files->file_lock);
	return found;
}

static bool is_of_inode(const void *inode, unsigned int fd, struct file *file)
{
	return file_inode(file) == inode && !(file->f_mode & FMODE_PATH);
}

static bool is_file(const void *which, unsigned int fd, struct file *file)
{
	return file == which;
}

/*
 * Closing any descriptor of a file drops all record locks that the table owns
 * on it, also those taken through another descriptor. Where one of the same
 * file stays open all of them are kept, as that one's.
 */
static bool keep_record_locks(struct files_struct *files, struct file *file)
{
	struct file_lock_context *locks = READ_ONCE(file_inode(file)->i_flctx);
	struct file *other, *still;
	int fd;

	/* A file system that keeps its own books ties them to the open file. */
	if (!locks || list_empty_careful(&locks->flc_posix) || file->f_op->lock)
		return false;
	other = find_from(files, 0, is_of_inode, file_inode(file), &fd);
	if (!other)
		return false;
	spin_lock(&locks->flc_lock);
	lwc_move_record_locks(locks, files, file, other);
	spin_unlock(&locks->flc_lock);
	/* Who shares the table may have closed that one in between, and its locks go with it. */
	still = find_from(files, 0, is_file, other, &fd);
	if (!still) {
		filp_close(other, files);
		return true;
	}
	fput(still);
	fput(other);
	return true;
}

static void close_extra(struct files_struct *files, struct file *file)
{
	if (!keep_record_locks(files, file)) {
		filp_close(file, files);
		return;
	}
	if (file->f_op->flush)
		file->f_op->flush(file, files);
	lwc_dnotify_flush(file, files);
	fput(file);
}

void lwc_files_close(struct lwc_closing *closing)
{
	if (!closing)
		return;
	while (closing->n)
		close_extra(closing->of, closing->files[--closing->n]);
	if (closing->of)
		kernel_call(put_files_struct)(closing->of);
	if (closing->replacement)
		kernel_call(put_files_struct)(closing->replacement);
	kvfree(closing);
}

void lwc_files_equalise(struct files_struct *files, struct files_struct *model,
			const struct lwc_files_view *view, struct lwc_closing *closing)
{
	unsigned int fd, end;

	if (!closing)
		return;
	end = table_size(files);
	for (fd = next_differing(files, model, view, 0); fd < end;
	     fd = next_differing(files, model, view, fd + 1)) {
		bool wanted_flag = false, flag = false;
		struct file *wanted = get_slot(model, fd, &wanted_flag);
		struct file *now = get_slot(files, fd, &flag);
		struct file *before;

		if (wanted && view->keep && !view->keep(view->context, fd, wanted)) {
			fput(wanted);
			wanted = NULL;
		}
		if ((now == wanted && (!now || flag == wanted_flag)) ||
		    (!wanted && now && view->spare && view->spare(view->context, fd, now)) ||
		    lwc_broken(DESCRIPTOR_NOT_RESTORED)) {
			if (wanted)
				fput(wanted);
			if (now)
				fput(now);
			continue;
		}
		/* The slot takes our reference to what is wanted. */
		before = set_slot(files, fd, wanted, wanted_flag, closing->n < closing->max);
		if (before && before == wanted)
			fput(before);
		else if (before)
			closing->files[closing->n++] = before;
		if (now)
			fput(now);
		cond_resched();
	}
}

void lwc_files_visit(struct files_struct *files,
		     void (*visit)(void (*argument)(struct lwc_context *), const void *context,
				   struct file *file),
		     void (*argument)(struct lwc_context *), const void *context)
{
	struct fdtable *fdt;
	struct file *file;
	unsigned int fd;

	spin_lock(&files->file_lock);
	fdt = table_of(files);
	for (fd = 0; fd < fdt->max_fds; fd++) {
		file = rcu_dereference_raw(fdt->fd[fd]);
		if (file)
			visit(argument, context, file);
	}
	spin_unlock(&files->file_lock);
}

void lwc_files_put_back(struct files_struct *files, unsigned int fd, struct file *file)
{
	struct fdtable *fdt;

	if (likely(lwc_files_holds(files, fd, file)))
		return;
	spin_lock(&files->file_lock);
	fdt = table_of(files);
	if (fd < fdt->max_fds && !test_bit(fd, fdt->open_fds)) {
		rcu_assign_pointer(fdt->fd[fd], get_file(file));
		mark_close_on_exec(fdt, fd, true);
		mark_open(fdt, fd);
	}
	spin_unlock(&files->file_lock);
}

bool lwc_files_replace(struct files_struct *files, unsigned int fd, struct file *before,
		       struct file *file)
{
	struct fdtable *fdt;
	bool held;

	spin_lock(&files->file_lock);
	fdt = table_of(files);
	held = fd < fdt->max_fds && rcu_access_pointer(fdt->fd[fd]) == before;
	if (held) {
		get_file(file);
		rcu_assign_pointer(fdt->fd[fd], file);
		mark_close_on_exec(fdt, fd, true);
	}
	spin_unlock(&files->file_lock);
	return held;
}

struct file *lwc_files_find(struct files_struct *files, lwc_files_filter filter,
			    const void *context, int *fd)
{
	return find_from(files, 3, filter, context, fd);
}

void lwc_fs_equalise(struct fs_struct *fs, struct fs_struct *model)
{
	struct path root, pwd, old_root, old_pwd;
	bool same;
	int umask;

	/* Of two that no other task uses nothing changes meanwhile. */
	if (likely(fs->users == 1 && model->users == 1 && path_equal(&fs->root, &model->root) &&
		   path_equal(&fs->pwd, &model->pwd) && fs->umask == model->umask))
		return;
	spin_lock(&model->lock);
	root = model->root;
	pwd = model->pwd;
	umask = model->umask;
	same = path_equal(&fs->root, &root) && path_equal(&fs->pwd, &pwd) && fs->umask == umask;
	if (!same) {
		path_get(&root);
		path_get(&pwd);
	}
	spin_unlock(&model->lock);
	if (same)
		return;

	spin_lock(&fs->lock);
	write_seqcount_begin(&fs->seq);
	old_root = fs->root;
	old_pwd = fs->pwd;
	fs->root = root;
	fs->pwd = pwd;
	fs->umask = umask;
	write_seqcount_end(&fs->seq);
	spin_unlock(&fs->lock);
	path_put(&old_root);
	path_put(&old_pwd);
}

void lwc_fs_get(struct fs_struct *fs)
{
	spin_lock(&fs->lock);
	fs->users++;
	spin_unlock(&fs->lock);
}

void lwc_fs_put(struct fs_struct *fs)
{
	bool last;

	spin_lock(&fs->lock);
	last = !--fs->users;
	spin_unlock(&fs->lock);
	if (last)
		kernel_call(free_fs_struct)(fs);
}
