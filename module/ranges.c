// SPDX-License-Identifier: GPL-2.0
/*
 * ranges.c - what lwc_restrict() leaves of a descriptor, and what LWC_GRANT gives.
 *
 * Must never answer yes for a part: all that is asked for is in, or nothing is.
 */
#include <linux/err.h>
#include <linux/mm.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>

#include "broken.h"
#include "ranges.h"
#include "view.h"

/* What may be done to a range: bits of what the trees hold. */
#define OVERLAY_READ	BIT(0)	/* it may be overlaid at all: memory by LWC_READ */
#define OVERLAY_WRITE	BIT(1)	/* memory by the other modes, too */
#define OVERLAY_INHERIT	BIT(2)	/* descriptors of contexts, too */

static unsigned long mode_bits(const struct lwc_spec *spec)
{
	unsigned long bits = OVERLAY_READ;

	if (spec->mode != LWC_READ)
		bits |= OVERLAY_WRITE;
	if (spec->flags & LWC_INHERIT)
		bits |= OVERLAY_INHERIT;
	return bits;
}

/* What neither tree is for is not overlaid, nor restricted, nor granted. */
static const struct maple_tree *tree_of(const struct lwc_ranges *ranges,
					const struct lwc_spec *spec)
{
	switch (spec->type) {
	case LWC_MEMORY:
		return &ranges->memory;
	case LWC_FILES:
		return &ranges->files;
	default:
		return NULL;
	}
}

static unsigned long last_of(const struct lwc_spec *spec)
{
	const u64 end = spec->type == LWC_MEMORY ? TASK_SIZE_MAX : INT_MAX;

	return min(spec->to, end) - 1;
}

static struct lwc_ranges *ranges_alloc(void)
{
	struct lwc_ranges *ranges = kzalloc(sizeof(*ranges), GFP_KERNEL_ACCOUNT);

	if (!ranges)
		return NULL;
	kref_init(&ranges->ref);
	mt_init(&ranges->memory);
	mt_init(&ranges->files);
	return ranges;
}

static void ranges_free(struct kref *ref)
{
	struct lwc_ranges *ranges = container_of(ref, struct lwc_ranges, ref);

	mtree_destroy(&ranges->memory);
	mtree_destroy(&ranges->files);
	kfree(ranges);
}

void lwc_ranges_put(struct lwc_ranges *ranges)
{
	if (ranges)
		kref_put(&ranges->ref, ranges_free);
}

static int store(struct lwc_ranges *ranges, const struct lwc_spec *spec, unsigned long bits)
{
	const struct maple_tree *tree = tree_of(ranges, spec);

	if (!tree)
		return 0;
	return mtree_store_range((struct maple_tree *)tree, spec->from, last_of(spec),
				 xa_mk_value(bits), GFP_KERNEL_ACCOUNT);
}

static unsigned long listed_bits(const struct lwc_spec *spec)
{
	return spec->mode == LWC_UNMAP ? 0 : mode_bits(spec);
}

static unsigned long granted_bits(const struct lwc_spec *spec)
{
	return spec->flags & LWC_GRANT ? mode_bits(spec) : 0;
}

/* @bits_of: what a line is worth; the later wins. */
static struct lwc_ranges *read_specs(const struct lwc_specs *specs,
				     unsigned long (*bits_of)(const struct lwc_spec *spec))
{
	struct lwc_ranges *ranges = ranges_alloc();
	unsigned int i;
	int err = 0;

	if (!ranges)
		return ERR_PTR(-ENOMEM);
	for (i = 0; !err && i < specs->n; i++)
		err = store(ranges, &specs->list[i], bits_of(&specs->list[i]));
	if (!err)
		return ranges;
	lwc_ranges_put(ranges);
	return ERR_PTR(err);
}

struct lwc_ranges *lwc_ranges_listed(const struct lwc_specs *specs)
{
	return read_specs(specs, listed_bits);
}

static bool grants_any(const struct lwc_specs *specs)
{
	unsigned int i;

	for (i = 0; specs && i < specs->n; i++) {
		if (specs->list[i].flags & LWC_GRANT)
			return true;
	}
	return false;
}

struct lwc_ranges *lwc_ranges_granted(const struct lwc_specs *specs)
{
	return grants_any(specs) ? read_specs(specs, granted_bits) : NULL;
}

/* A range and what may be done to it. */
struct found {
	unsigned long first;
	unsigned long last;
	unsigned long bits;
};

/* The one that @index is in, or the next. Nothing is stored in @tree any more. */
static bool find(const struct maple_tree *tree, unsigned long index, struct found *found)
{
	MA_STATE(mas, (struct maple_tree *)tree, index, index);
	const void *entry;

	rcu_read_lock();
	entry = mas_find(&mas, ULONG_MAX);
	rcu_read_unlock();
	if (!entry)
		return false;
	*found = (struct found){ mas.index, mas.last, xa_to_value(entry) };
	return true;
}

static int meet(struct maple_tree *to, const struct maple_tree *one,
		const struct maple_tree *other)
{
	struct found a, b;
	unsigned long index = 0, last;
	int err;

	while (find(one, index, &a) && find(other, max(index, a.first), &b)) {
		last = min(a.last, b.last);
		index = max3(index, a.first, b.first);
		if (index <= last) {
			err = mtree_store_range(to, index, last, xa_mk_value(a.bits & b.bits),
						GFP_KERNEL_ACCOUNT);
			if (err)
				return err;
		}
		/* Neither tree reaches so far that this wraps around. */
		index = last + 1;
		cond_resched();
	}
	return 0;
}

struct lwc_ranges *lwc_ranges_meet(struct lwc_ranges *one, struct lwc_ranges *other)
{
	struct lwc_ranges *both;
	int err;

	if (!one || lwc_broken(RANGES_COME_BACK))
		return lwc_ranges_get(other);
	both = ranges_alloc();
	if (!both)
		return ERR_PTR(-ENOMEM);
	err = meet(&both->memory, &one->memory, &other->memory);
	err = err ?: meet(&both->files, &one->files, &other->files);
	if (!err)
		return both;
	lwc_ranges_put(both);
	return ERR_PTR(err);
}

/* Do all from @first to @last have @bits? */
static bool is_within(const struct maple_tree *tree, unsigned long first, unsigned long last,
		      unsigned long bits)
{
	struct found found;

	while (find(tree, first, &found)) {
		if (found.first > first || (found.bits & bits) != bits)
			return false;
		if (found.last >= last)
			return true;
		first = found.last + 1;
	}
	return false;
}

bool lwc_ranges_allow(const struct lwc_ranges *ranges, const struct lwc_specs *specs)
{
	unsigned int i;

	if (!ranges || !specs || lwc_broken(OVERLAY_OF_ALL))
		return true;
	for (i = 0; i < specs->n; i++) {
		const struct lwc_spec *spec = &specs->list[i];
		const struct maple_tree *tree = tree_of(ranges, spec);

		if (!tree || !is_within(tree, spec->from, last_of(spec), mode_bits(spec)))
			return false;
	}
	return true;
}
