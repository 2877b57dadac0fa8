// SPDX-License-Identifier: GPL-2.0
/*
 * pair.c - the life of pairs, and what an MMU notifier tells them.
 *
 * The notifier's functions are called in the middle of faults and of reclaim,
 * with the locks of both held: they must never sleep, take a lock but the
 * track's, or fail. (In the middle of a fork they may take those of page tables.)
 */
#include <linux/sched/mm.h>
#include <linux/slab.h>

#include "kernel/compat.h"
#include "mm.h"
#include "pair.h"
#include "sync.h"

static struct lwc_track *track_of(struct mmu_notifier *notifier)
{
	return container_of(notifier, struct lwc_track, notifier);
}

static void note(struct lwc_side *side, unsigned long start, unsigned long end)
{
	struct lwc_note *last;

	if (side->lost)
		return;
	if (side->n_notes) {
		last = &side->notes[side->n_notes - 1];
		if (start <= last->end && end >= last->start) {
			last->start = min(last->start, start);
			last->end = max(last->end, end);
			return;
		}
	}
	if (side->n_notes == LWC_MAX_NOTES) {
		side->lost = true;
		return;
	}
	side->notes[side->n_notes++] = (struct lwc_note){ start, end };
}

/* Protections change neither content nor who has a page: the layout tells. */
static bool is_harmless(const struct mmu_notifier_range *range)
{
	return range->event == MMU_NOTIFY_PROTECTION_VMA ||
	       range->event == MMU_NOTIFY_PROTECTION_PAGE ||
	       range->event == MMU_NOTIFY_SOFT_DIRTY;
}

/*
 * Is the range about to be shared with a duplicate, by us or by fork()? A page
 * whose marks were cleared must not be: MADV_FREE by one who shares it would
 * have reclaim drop a page that is clean for all others too. Others who write-protect
 * pages do not hold the lock.
 */
static bool is_duplication(const struct mmu_notifier_range *range)
{
	return range->event == MMU_NOTIFY_PROTECTION_PAGE &&
	       lwc_holds_mmap_lock(range->mm);
}

static int invalidate_start(struct mmu_notifier *notifier, const struct mmu_notifier_range *range)
{
	struct lwc_track *track = track_of(notifier);
	struct lwc_side *side;
	bool equaliser;

	if (is_duplication(range))
		lwc_mark_written(range->mm, range->start, range->end);
	if (is_harmless(range))
		return 0;
	spin_lock(&track->lock);
	equaliser = track->equaliser == current;
	if (!equaliser) {
		WRITE_ONCE(track->begun, track->begun + 1);
		track->running++;
	}
	/* Nothing else frees those that hold other tables. */
	if (range->event == MMU_NOTIFY_UNMAP)
		track->unmapped++;
	list_for_each_entry(side, &track->sides, of_track) {
		if (!equaliser || !side->busy)
			note(side, range->start, range->end);
	}
	spin_unlock(&track->lock);
	return 0;
}

static void invalidate_end(struct mmu_notifier *notifier, const struct mmu_notifier_range *range)
{
	struct lwc_track *track = track_of(notifier);

	if (is_harmless(range))
		return;
	spin_lock(&track->lock);
	/* None was under way when this was registered: mm_take_all_locks(). */
	if (track->equaliser != current)
		track->running--;
	spin_unlock(&track->lock);
}

static struct mmu_notifier *alloc_track(struct mm_struct *mm)
{
	struct lwc_track *track = kzalloc(sizeof(*track), GFP_KERNEL_ACCOUNT);

	if (!track)
		return ERR_PTR(-ENOMEM);
	spin_lock_init(&track->lock);
	INIT_LIST_HEAD(&track->sides);
	return &track->notifier;
}

static void free_track(struct mmu_notifier *notifier)
{
	kfree(track_of(notifier));
}

static const struct mmu_notifier_ops track_ops = {
	.invalidate_range_start = invalidate_start,
	.invalidate_range_end = invalidate_end,
	.alloc_notifier = alloc_track,
	.free_notifier = free_track,
};

/* What is under way counts as what comes later. With the track's lock held. */
static void watch(struct lwc_side *side)
{
	side->begun = side->track->begun - (side->track->running != 0);
}

/* @side listens to @mm. */
static int side_attach(struct lwc_side *side, struct mm_struct *mm)
{
	struct mmu_notifier *notifier;

	side->notes = kmalloc_array(LWC_MAX_NOTES, sizeof(*side->notes), GFP_KERNEL_ACCOUNT);
	side->spare = kmalloc_array(LWC_MAX_NOTES, sizeof(*side->spare), GFP_KERNEL_ACCOUNT);
	if (!side->notes || !side->spare)
		return -ENOMEM;
	notifier = mmu_notifier_get(&track_ops, mm);
	if (IS_ERR(notifier))
		return PTR_ERR(notifier);
	side->track = track_of(notifier);
	spin_lock(&side->track->lock);
	list_add(&side->of_track, &side->track->sides);
	side->unmapped = side->track->unmapped;
	watch(side);
	spin_unlock(&side->track->lock);
	return 0;
}

static void side_free(struct lwc_side *side)
{
	if (side->track) {
		spin_lock(&side->track->lock);
		list_del(&side->of_track);
		spin_unlock(&side->track->lock);
		mmu_notifier_put(&side->track->notifier);
	}
	lwc_layout_free(&side->layout);
	kfree(side->notes);
	kfree(side->spare);
	if (side->mm)
		mmdrop(side->mm);
}

/* Listens to @mm, which is about to be duplicated or is itself a duplicate. */
static struct lwc_pair *pair_begin(struct mm_struct *mm, bool quiet)
{
	struct lwc_pair *pair = kzalloc(sizeof(*pair), GFP_KERNEL_ACCOUNT);
	struct lwc_side *side;
	int err;

	if (!pair)
		return ERR_PTR(-ENOMEM);
	xa_init(&pair->index);
	INIT_LIST_HEAD(&pair->tables);
	side = &pair->side[0];
	side->mm = mm;
	mmgrab(mm);
	err = side_attach(side, mm);
	/* A signal is waiting (mm_take_all_locks()): handle it, and again. */
	if (err == -EINTR)
		err = -ERESTARTNOINTR;
	if (!err && lwc_mm_has_other_notifiers(mm, &side->track->notifier))
		err = -EOPNOTSUPP;
	if (err) {
		lwc_pair_free(pair);
		return ERR_PTR(err);
	}
	/*
	 * What is pinned for DMA is copied when @mm is duplicated, and stays
	 * writable: neither shared nor kept.
	 */
	pair->trusted = quiet && !test_bit(MMF_HAS_PINNED, &mm->flags);
	/* Before the duplicate: what is made in between only spoils the sum. */
	side->base = lwc_anonymous_pages(mm);
	return pair;
}

/* The other side is there. Return: 0 or -ENOMEM. */
static int pair_complete(struct lwc_pair *pair, struct mm_struct *mm, bool frozen)
{
	struct lwc_side *side = &pair->side[1];
	int err;

	side->mm = mm;
	mmgrab(mm);
	if (!frozen) {
		err = side_attach(side, mm);
		if (err)
			return err;
		side->base = lwc_anonymous_pages(mm);
	}
	if (!lwc_side_is_undisturbed(&pair->side[0]))
		pair->trusted = false;
	return 0;
}

struct mm_struct *lwc_pair_duplicate(struct mm_struct *source, struct task_struct *owner,
				     enum lwc_frozen frozen, bool quiet, struct lwc_pair **pair)
{
	struct lwc_pair *made = NULL;
	struct mm_struct *mm;

	if (frozen != LWC_SOURCE_FROZEN)
		made = pair_begin(source, quiet);
	/* Where the duplicate is not frozen it can do without. */
	if (IS_ERR(made) && frozen == LWC_DUPLICATE_FROZEN)
		return ERR_CAST(made);
	mm = lwc_mm_duplicate(source, owner, frozen == LWC_DUPLICATE_FROZEN, NULL);
	if (IS_ERR(mm))
		goto free_pair;
	/* Nothing has run in the duplicate yet. */
	if (frozen == LWC_SOURCE_FROZEN)
		made = pair_begin(mm, true);
	if (!IS_ERR(made) && pair_complete(made, frozen == LWC_SOURCE_FROZEN ? source : mm,
					   frozen != LWC_NONE_FROZEN)) {
		lwc_pair_free(made);
		made = NULL;
	}
	lwc_pair_free(*pair);
	*pair = IS_ERR(made) ? NULL : made;
	return mm;

free_pair:
	if (!IS_ERR(made))
		lwc_pair_free(made);
	return mm;
}

void lwc_pair_free(struct lwc_pair *pair)
{
	struct lwc_table *table, *next;

	if (!pair)
		return;
	side_free(&pair->side[0]);
	side_free(&pair->side[1]);
	list_for_each_entry_safe(table, next, &pair->tables, of_pair)
		kfree(table);
	xa_destroy(&pair->index);
	kfree(pair);
}

struct lwc_table *lwc_pair_table(struct lwc_pair *pair, unsigned long address)
{
	const unsigned long index = address >> PMD_SHIFT;
	struct lwc_table *table = xa_load(&pair->index, index);

	if (table)
		return table;
	table = kzalloc(sizeof(*table), GFP_KERNEL_ACCOUNT);
	if (!table)
		return NULL;
	table->address = address & PMD_MASK;
	if (xa_err(xa_store(&pair->index, index, table, GFP_KERNEL_ACCOUNT))) {
		kfree(table);
		return NULL;
	}
	list_add_tail(&table->of_pair, &pair->tables);
	return table;
}

void lwc_pair_forget_table(struct lwc_pair *pair, struct lwc_table *table)
{
	xa_erase(&pair->index, table->address >> PMD_SHIFT);
	list_del(&table->of_pair);
	kfree(table);
}

unsigned int lwc_side_take_notes(struct lwc_side *side, bool *lost, bool *unmapped)
{
	struct lwc_track *track = side->track;
	unsigned int n;

	spin_lock(&track->lock);
	side->busy = true;
	track->equaliser = current;
	watch(side);
	swap(side->notes, side->spare);
	n = side->n_notes;
	*lost |= side->lost;
	*unmapped |= side->unmapped != track->unmapped;
	side->unmapped = track->unmapped;
	side->n_notes = 0;
	side->lost = false;
	spin_unlock(&track->lock);
	return n;
}

bool lwc_side_settle(struct lwc_side *side, long base)
{
	struct lwc_track *track = side->track;

	if (!track)
		return true;
	side->base = base;
	spin_lock(&track->lock);
	side->busy = false;
	track->equaliser = NULL;
	spin_unlock(&track->lock);
	return lwc_side_is_undisturbed(side);
}

void lwc_side_note_others(struct lwc_side *side, unsigned long start, unsigned long end)
{
	struct lwc_track *track = side->track;
	struct lwc_side *other;

	if (!track)
		return;
	spin_lock(&track->lock);
	list_for_each_entry(other, &track->sides, of_track) {
		if (other != side)
			note(other, start, end);
	}
	spin_unlock(&track->lock);
}
