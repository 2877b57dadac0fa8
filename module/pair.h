/* SPDX-License-Identifier: GPL-2.0 */
/*
 * pair.h - two address spaces of which one is a duplicate of the other.
 *
 * What is known of a page
 *
 * Once the two are equal, a page of private memory is either *kept* or not.
 * Not kept: both map the same page, or neither has one of its own there. Then a
 * write breaks the sharing, or makes a page where none was. Kept: each has, or
 * only one has, a page of its own whose content is what the other's is; then a
 * write leaves nothing but the dirty mark of its page-table entry, or of the
 * page.
 *
 * So what was written since is among
 * - kept pages that are dirty: all kept pages are looked at;
 * - addresses that an MMU notifier was told of: a broken sharing, a page taken
 *   out, moved or swapped;
 * - addresses where a page was made and none was before, of which no notifier
 *   is told. These are proved absent by a sum: see sync.c.
 *
 * Kept pages and notes belong to a pair. Dirty marks belong to an address
 * space, which may be in many pairs: who clears one, or writes into a page,
 * leaves a note to all others (lwc_side_note_others()).
 */
#ifndef LWC_PAIR_H
#define LWC_PAIR_H

#include <linux/list.h>
#include <linux/mm_types.h>
#include <linux/mmu_notifier.h>
#include <linux/pgtable.h>
#include <linux/xarray.h>

#include "kernel/layout.h"

/* As many as fill half a page; more than that, and everything is compared. */
#define LWC_MAX_NOTES	(PAGE_SIZE / 2 / sizeof(struct lwc_note))

/**
 * struct lwc_note - something happened to [@start, @end)
 */
struct lwc_note {
	unsigned long start;
	unsigned long end;
};

/**
 * struct lwc_track - listens to what happens to one address space
 * @notifier: how; one an address space
 * @lock: over all that follows, and the notes of @sides
 * @sides: struct lwc_side that want to know
 * @begun: how many invalidations have begun, but by @equaliser
 * @running: how many of those have not ended
 * @unmapped: how many of all were for page tables that may go, too
 * @equaliser: the task that makes one of the sides equal, and which the pair
 *	of that side need not be told of
 */
struct lwc_track {
	struct mmu_notifier notifier;
	spinlock_t lock; /* over all below, and the notes of all sides */
	struct list_head sides;
	unsigned long begun;
	unsigned long running;
	unsigned long unmapped;
	const struct task_struct *equaliser;
};

/**
 * struct lwc_side - one address space in a pair
 * @mm: with a reference to the structure
 * @track: NULL: nothing runs in it, and what the kernel does to it changes no
 *	content
 * @of_track: in its sides
 * @busy: it is being made equal by @track's equaliser
 * @notes: since the last time; and room for the next
 * @spare: see @notes
 * @n_notes: how many
 * @lost: there were more
 * @begun: @track's, when the notes were taken and nothing was running
 * @unmapped: @track's, when the notes were taken
 * @layout: its mappings when the pair was equal
 * @base: sum of its anonymous pages and swap entries when the pair was equal
 * @wiped: those of them in the pair's MADV_WIPEONFORK ranges
 */
struct lwc_side {
	struct mm_struct *mm;
	struct lwc_track *track;
	struct list_head of_track;
	bool busy;
	struct lwc_note *notes;
	struct lwc_note *spare;
	unsigned int n_notes;
	bool lost;
	unsigned long begun;
	unsigned long unmapped;
	struct lwc_layout layout;
	long base;
	long wiped;
};

/* More of these ranges than libraries have, and everything is compared. */
#define LWC_MAX_WIPED	8

#define LWC_TABLE_WORDS	(PTRS_PER_PTE / BITS_PER_LONG)

/**
 * struct lwc_table - what is known of the pages of one page table
 * @of_pair: in its tables
 * @address: of the first page
 * @words: which words of those below have any bit, as far as is known
 * @pmd: per side: what points to the page table, where that is known. It stays as
 *	long as nothing is unmapped; what it points to may change
 * @kept: per side: it has a kept page there
 * @noted: per side: to be looked at
 */
struct lwc_table {
	struct list_head of_pair;
	unsigned long address;
	unsigned long words;
	pmd_t *pmd[2];
	unsigned long kept[2][LWC_TABLE_WORDS];
	unsigned long noted[2][LWC_TABLE_WORDS];
};

/**
 * struct lwc_pair - two address spaces
 * @side: the two
 * @index: struct lwc_table by address
 * @tables: the same
 * @n_kept: kept pages
 * @idle: how often a kept page was looked at in vain
 * @wiped: MADV_WIPEONFORK ranges, which are empty in the one that is made equal
 * @n_wiped: how many
 * @wipes: there are more
 * @filled_by_others: who serves the source's faults (userfaultfd) may give it pages at any
 *	time, as the mmap lock does not keep that out (since 6.9)
 * @trusted: the bases are right, and nothing else stands against the sum
 * @lacks: the side that runs may have something that a duplicate lacks
 */
struct lwc_pair {
	struct lwc_side side[2];
	struct xarray index;
	struct list_head tables;
	unsigned long n_kept;
	unsigned long idle;
	struct lwc_note wiped[LWC_MAX_WIPED];
	unsigned int n_wiped;
	bool wipes;
	bool filled_by_others;
	bool trusted;
	bool lacks;
};

/**
 * enum lwc_frozen - in which of two nothing will ever run
 */
enum lwc_frozen {
	LWC_NONE_FROZEN,
	LWC_SOURCE_FROZEN,
	LWC_DUPLICATE_FROZEN,
};

/**
 * lwc_pair_duplicate() - a duplicate, and the pair of the two
 * @source: the current task's mm or one that no task runs in
 * @owner: see lwc_mm_duplicate()
 * @frozen: in which of them nothing will ever run
 * @quiet: no task but the current one uses @source
 * @pair: gets the pair, or NULL where none can be made; what was there is freed
 *
 * Return: an mm with one user, or the errors of lwc_mm_duplicate(); then @pair
 * stays what it is. A duplicate that is frozen is only made with a pair: else
 * ERR_PTR(-ENOMEM), -EOPNOTSUPP (others have page tables of their own for
 * @source: a guest of KVM), -ERESTARTNOINTR (a signal is to be handled first).
 */
struct mm_struct *lwc_pair_duplicate(struct mm_struct *source, struct task_struct *owner,
				     enum lwc_frozen frozen, bool quiet, struct lwc_pair **pair);

/**
 * lwc_pair_joins() - are these the two of @pair?
 * @pair: or NULL
 */
static inline bool lwc_pair_joins(const struct lwc_pair *pair, const struct mm_struct *one,
				  const struct mm_struct *other)
{
	return pair && ((pair->side[0].mm == one && pair->side[1].mm == other) ||
			(pair->side[0].mm == other && pair->side[1].mm == one));
}

/**
 * lwc_pair_free() - NULL is allowed
 */
void lwc_pair_free(struct lwc_pair *pair);

/**
 * lwc_pair_table() - what is known of the page table that maps @address
 *
 * Return: it, made if there was none; NULL without memory.
 */
struct lwc_table *lwc_pair_table(struct lwc_pair *pair, unsigned long address);

/**
 * lwc_pair_forget_table() - there is nothing to know of it
 */
void lwc_pair_forget_table(struct lwc_pair *pair, struct lwc_table *table);

/**
 * lwc_side_take_notes() - what happened since the last time
 * @side: with a track; its notes are now in @side->spare
 * @lost: set where there were too many
 *
 * @unmapped: set where page tables may have gone since
 *
 * From here until lwc_side_settle() what the current task does leaves no notes
 * to this side. Return: how many.
 */
unsigned int lwc_side_take_notes(struct lwc_side *side, bool *lost, bool *unmapped);

/**
 * lwc_side_is_undisturbed() - has nothing happened since the notes were taken?
 *
 * Nor was anything under way then.
 */
static inline bool lwc_side_is_undisturbed(const struct lwc_side *side)
{
	if (!side->track)
		return true;
	/* Who changes a count has said so before: whoever sees the change sees that too. */
	smp_rmb();
	return READ_ONCE(side->track->begun) == side->begun;
}

/**
 * lwc_side_settle() - the current task has made @side equal
 * @base: its anonymous pages and swap entries now
 *
 * Return: is @base right, that is was it undisturbed?
 */
bool lwc_side_settle(struct lwc_side *side, long base);

/**
 * lwc_side_note_others() - tell other pairs of what is done to [@start, @end)
 * @side: the one that it is done for
 */
void lwc_side_note_others(struct lwc_side *side, unsigned long start, unsigned long end);

#endif /* LWC_PAIR_H */
