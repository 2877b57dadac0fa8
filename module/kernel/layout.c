// SPDX-License-Identifier: GPL-2.0
/*
 * kernel/layout.c - have the mappings of an address space changed?
 *
 * Since 6.4 the mmap lock counts how often it was held for writing. Before,
 * all mappings are compared with what they were; to do so in a few instructions
 * each, the nodes of the tree are read as lib/maple_tree.c lays them out.
 */
#include <linux/jiffies.h>
#include <linux/mm.h>
#include <linux/slab.h>

#include "kernel/compat.h"
#include "kernel/layout.h"

#ifdef CONFIG_PER_VMA_LOCK

/* It began as a count of how often the lock was let go; now it has both. */
#define LOCK_STEP(mm)	(__same_type((mm)->mm_lock_seq, int) ? 1 : 2)

/*
 * It comes round after 2^31 steps, which takes a program minutes: whoever counts along could
 * be back where it was. So it is believed for as long as nobody can.
 */
#define BELIEVED_FOR	(10 * HZ)

static unsigned int lock_sequence(const struct mm_struct *mm)
{
	return READ_ONCE(*(const unsigned int *)&mm->mm_lock_seq);
}

void lwc_layout_record(struct lwc_layout *layout, struct mm_struct *mm, bool changed)
{
	layout->sequence = lock_sequence(mm) + LOCK_STEP(mm);
	layout->recorded = jiffies;
	layout->known = true;
}

bool lwc_layout_is_unchanged(const struct lwc_layout *layout, const struct mm_struct *mm)
{
	return layout->known && layout->sequence == lock_sequence(mm) &&
	       time_is_after_jiffies(layout->recorded + BELIEVED_FOR);
}

void lwc_layout_free(struct lwc_layout *layout)
{
}

#else

/* What it points to is held by the mapping of the other side of the pair. */
struct lwc_mapping {
	unsigned long start;
	unsigned long end;
	unsigned long flags;
	unsigned long offset;
	const struct file *file;
	const struct vm_operations_struct *ops;
	const void *name;
};

static const void *name_of(const struct vm_area_struct *vma)
{
#ifdef CONFIG_ANON_VMA_NAME
	return vma->vm_file ? NULL : vma->anon_name;
#else
	return NULL;
#endif
}

static bool has_policy(const struct vm_area_struct *vma)
{
#ifdef CONFIG_NUMA
	return vma->vm_policy;
#else
	return false;
#endif
}

void lwc_layout_record(struct lwc_layout *layout, struct mm_struct *mm, bool changed)
{
	MA_STATE(mas, &mm->mm_mt, 0, 0);
	struct lwc_mapping *mapping;
	struct vm_area_struct *vma;

	if (!changed)
		return;
	layout->known = false;
	layout->n = 0;
	if (mm->map_count > layout->max) {
		lwc_layout_free(layout);
		layout->max = mm->map_count + mm->map_count / 4;
		layout->mappings = kvmalloc_array(layout->max, sizeof(*mapping),
						  GFP_KERNEL_ACCOUNT);
		if (!layout->mappings) {
			layout->max = 0;
			return;
		}
	}
	mas_for_each(&mas, vma, ULONG_MAX) {
		/* One that is made anew may be where the old one was. */
		if (has_policy(vma) || layout->n == layout->max)
			return;
		layout->mappings[layout->n++] = (struct lwc_mapping){
			vma->vm_start, vma->vm_end, vma->vm_flags & ~VM_SOFTDIRTY,
			vma->vm_pgoff, vma->vm_file, vma->vm_ops, name_of(vma),
		};
	}
	layout->known = true;
}

static bool is_same(const struct lwc_mapping *mapping, const struct vm_area_struct *vma)
{
	return mapping->start == vma->vm_start && mapping->end == vma->vm_end &&
	       mapping->flags == (vma->vm_flags & ~VM_SOFTDIRTY) &&
	       mapping->offset == vma->vm_pgoff && mapping->file == vma->vm_file &&
	       mapping->ops == vma->vm_ops && mapping->name == name_of(vma) &&
	       !has_policy(vma);
}

/*
 * Compares the mappings of a leaf, of which the last address is @max, with those from
 * @mapping on. Return: the first that was not compared, or NULL.
 */
static const struct lwc_mapping *compare_leaf(const struct lwc_layout *layout,
					      const struct lwc_mapping *mapping,
					      const struct maple_node *node, unsigned long max)
{
	const struct lwc_mapping *end = layout->mappings + layout->n;
	unsigned int i;

	for (i = 0; i < MAPLE_RANGE64_SLOTS; i++) {
		const struct vm_area_struct *vma = rcu_dereference_raw(node->mr64.slot[i]);

		if (vma) {
			if (mapping == end || !is_same(mapping, vma))
				return NULL;
			mapping++;
			/* Nothing is behind it. */
			if (vma->vm_end > max)
				break;
		} else if (i == MAPLE_RANGE64_SLOTS - 1 || node->mr64.pivot[i] >= max ||
			   (!node->mr64.pivot[i] && i)) {
			break;
		}
	}
	return mapping;
}

/* The same of all that is below @entry. */
static const struct lwc_mapping *compare_node(const struct lwc_layout *layout,
					      const struct lwc_mapping *mapping, void *entry,
					      unsigned long max)
{
	const unsigned long value = (unsigned long)entry;
	const struct maple_node *node = (void *)(value & ~MAPLE_NODE_MASK);
	const enum maple_type type = (value >> 3) & 0xf;
	const unsigned long *pivots = node->mr64.pivot;
	void __rcu *const *slots = node->mr64.slot;
	unsigned int i, n = MAPLE_RANGE64_SLOTS;
	unsigned long last = 0;

	if (type == maple_leaf_64)
		return compare_leaf(layout, mapping, node, max);
	if (type == maple_arange_64) {
		pivots = node->ma64.pivot;
		slots = node->ma64.slot;
		n = MAPLE_ARANGE64_SLOTS;
	}
	for (i = 0; i < n && last < max && mapping; i++) {
		last = i < n - 1 ? pivots[i] : max;
		/* Behind the last pivot that is in use. */
		if (!last && i)
			last = max;
		mapping = compare_node(layout, mapping, rcu_dereference_raw(slots[i]), last);
	}
	return mapping;
}

bool lwc_layout_is_unchanged(const struct lwc_layout *layout, const struct mm_struct *mm)
{
	void *root = rcu_dereference_raw(mm->mm_mt.ma_root);

	/* No program has so few mappings that there is no node. */
	if (!layout->known || !xa_is_node(root) || mm->map_count != layout->n)
		return false;
	return compare_node(layout, layout->mappings, root, ULONG_MAX) ==
	       layout->mappings + layout->n;
}

void lwc_layout_free(struct lwc_layout *layout)
{
	kvfree(layout->mappings);
	layout->mappings = NULL;
	layout->max = 0;
}

#endif
