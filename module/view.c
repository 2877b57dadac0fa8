// SPDX-License-Identifier: GPL-2.0
/*
 * view.c - reads, checks and applies specs.
 *
 * Must never look at user memory twice: a list is copied once, then judged.
 */
#include <linux/err.h>
#include <linux/mm.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <asm/unistd.h>

#include "broken.h"
#include "context.h"
#include "view.h"

static bool is_whole(const struct lwc_spec *spec)
{
	return spec->from == 0 && spec->to == U64_MAX;
}

/* The end of what a spec of this type may name. */
static u64 type_end(unsigned int type)
{
	switch (type) {
	case LWC_MEMORY:
		return TASK_SIZE_MAX;
	case LWC_FILES:
		return INT_MAX;
	case LWC_SYSCALLS:
		return NR_syscalls;
	default:
		return 0;
	}
}

static int check_files(const struct lwc_spec *spec, enum lwc_purpose purpose)
{
	switch (spec->mode) {
	case LWC_COW:
		return 0;
	case LWC_UNMAP:
		return purpose == LWC_FOR_OVERLAY ? -EINVAL : 0;
	case LWC_SHARE:
		if (!is_whole(spec))
			return -EINVAL;
		return purpose == LWC_FOR_OVERLAY ? -EOPNOTSUPP : 0;
	default:
		return -EINVAL;
	}
}

static int check_memory(const struct lwc_spec *spec, enum lwc_purpose purpose)
{
	if (!is_whole(spec) && !PAGE_ALIGNED(spec->from | spec->to))
		return -EINVAL;
	return spec->mode == LWC_UNMAP && purpose == LWC_FOR_OVERLAY ? -EINVAL : 0;
}

static int check_creds(const struct lwc_spec *spec, enum lwc_purpose purpose)
{
	if (spec->mode != LWC_COW && spec->mode != LWC_SHARE)
		return -EINVAL;
	return spec->mode == LWC_SHARE || purpose != LWC_FOR_CREATE ? -EOPNOTSUPP : 0;
}

static int check_syscalls(const struct lwc_spec *spec, enum lwc_purpose purpose)
{
	/* What is refused is nothing that another could take over. */
	if (purpose != LWC_FOR_CREATE)
		return -EINVAL;
	return spec->mode == LWC_UNMAP || spec->mode == LWC_SHARE ? -EOPNOTSUPP : -EINVAL;
}

static bool may_be_granted(const struct lwc_spec *spec, enum lwc_purpose purpose)
{
	return purpose == LWC_FOR_CREATE &&
	       (spec->type == LWC_FILES || spec->type == LWC_MEMORY);
}

/* Return: 0, -EINVAL for one that never works, -EOPNOTSUPP for one that will. */
static int check(const struct lwc_spec *spec, enum lwc_purpose purpose)
{
	if (spec->mode < LWC_COW || spec->mode > LWC_UNMAP)
		return -EINVAL;
	if (spec->flags & ~(LWC_GRANT | LWC_INHERIT))
		return -EINVAL;
	if ((spec->flags & LWC_INHERIT) && spec->type != LWC_FILES)
		return -EINVAL;
	if ((spec->flags & LWC_GRANT) && !may_be_granted(spec, purpose))
		return -EINVAL;
	if (!is_whole(spec) && (spec->from >= spec->to || spec->to > type_end(spec->type)))
		return -EINVAL;

	switch (spec->type) {
	case LWC_MEMORY:
		return check_memory(spec, purpose);
	case LWC_FILES:
		return check_files(spec, purpose);
	case LWC_CREDS:
		return check_creds(spec, purpose);
	case LWC_SYSCALLS:
		return check_syscalls(spec, purpose);
	default:
		return -EINVAL;
	}
}

bool lwc_specs_share_files(const struct lwc_specs *specs)
{
	unsigned int i;

	for (i = specs ? specs->n : 0; i-- > 0; ) {
		if (specs->list[i].type == LWC_FILES)
			return specs->list[i].mode == LWC_SHARE;
	}
	return false;
}

/* A table is shared whole: no later line may leave some of it out. */
static bool cuts_shared_files(const struct lwc_specs *specs)
{
	bool shared = false;
	unsigned int i;

	for (i = 0; i < specs->n; i++) {
		const struct lwc_spec *spec = &specs->list[i];

		if (spec->type != LWC_FILES)
			continue;
		if (shared && !is_whole(spec))
			return true;
		shared = spec->mode == LWC_SHARE;
	}
	return false;
}

static int check_all(const struct lwc_specs *specs, enum lwc_purpose purpose)
{
	unsigned int i;
	int err = 0;

	/* A bad spec is bad whatever stands before it. */
	for (i = 0; i < specs->n; i++) {
		const int this = check(&specs->list[i], purpose);

		if (this == -EINVAL)
			return this;
		if (this)
			err = this;
	}
	if (purpose == LWC_FOR_CREATE && cuts_shared_files(specs))
		return -EINVAL;
	return err;
}

/* Of each page the last word. */
static int note_range(struct lwc_specs *specs, unsigned long start, unsigned long end,
		      unsigned int mode)
{
	return mtree_store_range(&specs->memory, start, end - 1, xa_mk_value(mode),
				 GFP_KERNEL_ACCOUNT);
}

static int note_memory(struct lwc_specs *specs, const struct lwc_spec *spec)
{
	if (spec->type != LWC_MEMORY)
		return 0;
	return note_range(specs, spec->from, min_t(u64, spec->to, TASK_SIZE_MAX), spec->mode);
}

static int note_all_memory(struct lwc_specs *specs)
{
	unsigned int i;
	int err = 0;

	for (i = 0; !err && i < specs->n; i++)
		err = note_memory(specs, &specs->list[i]);
	return err;
}

static struct lwc_specs *specs_alloc(unsigned int n)
{
	struct lwc_specs *specs = kvmalloc(struct_size(specs, list, n), GFP_KERNEL_ACCOUNT);

	if (!specs)
		return NULL;
	mt_init(&specs->memory);
	specs->n = n;
	return specs;
}

struct lwc_specs *lwc_specs_read(u64 user_specs, unsigned int n, enum lwc_purpose purpose)
{
	struct lwc_specs *specs;
	int err;

	if (!n)
		return NULL;
	if (n > LWC_MAX_SPECS)
		return ERR_PTR(-E2BIG);
	specs = specs_alloc(n);
	if (!specs)
		return ERR_PTR(-ENOMEM);
	err = -EFAULT;
	if (!copy_from_user(specs->list, u64_to_user_ptr(user_specs),
			    array_size(n, sizeof(specs->list[0]))))
		err = check_all(specs, purpose) ?: note_all_memory(specs);
	if (err) {
		lwc_specs_free(specs);
		return ERR_PTR(err);
	}
	return specs;
}

void lwc_specs_free(struct lwc_specs *specs)
{
	if (!specs)
		return;
	mtree_destroy(&specs->memory);
	kvfree(specs);
}

unsigned int lwc_specs_next_range(const struct lwc_specs *specs, unsigned long *start,
				  unsigned long *end)
{
	MA_STATE(mas, NULL, *end, *end);
	void *entry;

	if (!specs)
		return 0;
	/* Nothing is stored any more: it is only read. */
	mas.tree = (struct maple_tree *)&specs->memory;
	rcu_read_lock();
	entry = mas_find(&mas, ULONG_MAX);
	rcu_read_unlock();
	if (!entry)
		return 0;
	*start = mas.index;
	*end = mas.last + 1;
	return xa_to_value(entry);
}

unsigned int lwc_specs_next_memory(const struct lwc_specs *specs, unsigned long *start,
				   unsigned long *end)
{
	unsigned int mode;

	do {
		mode = lwc_specs_next_range(specs, start, end);
	} while (mode == LWC_COW);
	return mode;
}

/* The last word on a descriptor; NULL: there is none. */
static const struct lwc_spec *last_word(const struct lwc_specs *specs, unsigned int fd)
{
	unsigned int i;

	for (i = specs ? specs->n : 0; i-- > 0; ) {
		const struct lwc_spec *spec = &specs->list[i];

		if (spec->type == LWC_FILES && fd >= spec->from && fd < spec->to)
			return spec;
	}
	return NULL;
}

bool lwc_specs_keep_file(const void *context, unsigned int fd, struct file *file)
{
	const struct lwc_descriptor *descriptor = lwc_descriptor_of(file);
	const struct lwc_spec *spec;

	/* A snapshot is of use nowhere but in the context that it is of. */
	if (descriptor && descriptor->context->snapshot)
		return false;
	/* One that is only being made would get a descriptor of itself. */
	if (descriptor && !descriptor->context->mm)
		return false;
	if (lwc_broken(INHERIT_UNASKED))
		descriptor = NULL;
	spec = last_word(context, fd);
	if (!spec)
		return !descriptor;
	return spec->mode != LWC_UNMAP && (!descriptor || (spec->flags & LWC_INHERIT));
}

bool lwc_specs_name_file(const void *context, unsigned int fd, struct file *file)
{
	return last_word(context, fd) && lwc_specs_keep_file(context, fd, file);
}

bool lwc_specs_name_memory(const struct lwc_specs *specs)
{
	return specs && !mtree_empty(&specs->memory);
}

struct lwc_specs *lwc_specs_shared(const struct lwc_specs *specs)
{
	struct lwc_specs *shared = specs_alloc(0);
	unsigned long start, end = 0;
	unsigned int mode;
	int err;

	if (!shared)
		return ERR_PTR(-ENOMEM);
	err = note_range(shared, 0, TASK_SIZE_MAX, LWC_UNMAP);
	while (!err && (mode = lwc_specs_next_memory(specs, &start, &end))) {
		if (mode == LWC_SHARE)
			err = note_range(shared, start, end, mode);
	}
	if (!err)
		return shared;
	lwc_specs_free(shared);
	return ERR_PTR(err);
}
