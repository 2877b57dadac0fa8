// SPDX-License-Identifier: GPL-2.0
/*
 * sync.c - the engine: makes one address space equal to another by copying
 * what either has written since they were last equal (pair.h).
 *
 * The sum
 *
 * No notifier tells of a page that is made where none was. But it adds one to
 * the anonymous pages and swap entries of its mm, which nothing else does
 * unnoticed: so where that sum has moved by exactly what the pages that are
 * looked at account for, there is no other. What a page accounts for is how it
 * is now less how it was at the last time; where that is not known, it is taken
 * to have been there, which can only make the sum too small. Where it does not
 * add up all page tables are compared.
 *
 * A page that is taken out of its mm by reclaim moves from one count to the
 * other, one after the other; so the sums are only good where no invalidation
 * was under way (lwc_side_is_undisturbed()).
 *
 * Both mmap locks are held for writing, and no task but the current one uses
 * either: what may still happen is what holds page-table locks alone, that is
 * reclaim, migration and truncation.
 */
#include <linux/mman.h>
#include <linux/mm_inline.h>
#include <linux/sched/mm.h>
#include <linux/swap.h>
#include <linux/swapops.h>
#include <linux/userfaultfd_k.h>

#include "broken.h"
#include "kernel/compat.h"
#include "mm.h"
#include "pair.h"
#include "stats.h"
#include "sync.h"
#include "tables.h"

static unsigned long max_kept_pages = 16384;
module_param(max_kept_pages, ulong, 0644);
MODULE_PARM_DESC(max_kept_pages,
		 "pages that a snapshot or renewed context keeps to copy into");

/* Roles. */
enum { DST, SRC };

/* In instructions, to weigh one thing against another. */
#define COST_IDLE_PAGE		20
#define COST_DUPLICATE_PAGE	100
#define COST_DUPLICATE		200000

/* Notes that cover more page tables than this together are as good as none. */
#define MAX_NOTED_TABLES	1024

/* What a page needs before it can be copied. */
enum need {
	NOTHING,
	FAULT_SRC,	/* make the source's present */
	FAULT_DST,	/* give the destination a page of its own */
	RENEW_DST,	/* the same, in place of one that cannot be kept */
	DROP_DST,	/* take the destination's out */
	GIVE_UP,
};

/**
 * struct sync - one run
 * @pair: the pair
 * @side: by role
 * @index: of that in the pair
 * @vma: by role, a cache of the last one looked up
 * @delta: by role, what the pages looked at account for
 * @written: by role, range whose entries were marked clean, to be flushed
 * @pte: by role, the page table that is locked; NULL: there is none
 * @lock: of @pte
 * @others: by role, other pairs want to know
 * @noted: page tables that notes cover
 * @live: by role, the program runs in it
 * @half_locked: only @pte of the destination is locked
 * @forget: page tables may have gone, so that where they are is not known
 * @made: pages may have been made or taken out, by this run
 * @copied: pages
 * @kept: pages that were not before
 */
struct sync {
	struct lwc_pair *pair;
	struct lwc_side *side[2];
	unsigned int index[2];
	struct vm_area_struct *vma[2];
	long delta[2];
	struct lwc_note written[2];
	pte_t *pte[2];
	spinlock_t *lock[2]; /* the kernel's, over a page table */
	bool others[2];
	unsigned long noted;
	bool live[2];
	bool half_locked;
	bool forget;
	bool made;
	unsigned long copied;
	unsigned long kept;
};

static struct mm_struct *mm_of(const struct sync *sync, unsigned int role)
{
	return sync->side[role]->mm;
}

static struct vm_area_struct *vma_of(struct sync *sync, unsigned int role, unsigned long address)
{
	struct vm_area_struct *vma = sync->vma[role];

	if (!vma || address < vma->vm_start || address >= vma->vm_end) {
		vma = vma_lookup(mm_of(sync, role), address);
		sync->vma[role] = vma;
	}
	return vma;
}

/* Mappings */

/* What a duplicate has not, though what it was made of has. */
#define NOT_INHERITED	(VM_LOCKED_MASK | __VM_UFFD_FLAGS)

static bool same_mapping(const struct vm_area_struct *dst, const struct vm_area_struct *src)
{
	const vm_flags_t ignored = VM_SOFTDIRTY | (NOT_INHERITED & ~dst->vm_flags);

	return !((dst->vm_flags ^ src->vm_flags) & ~ignored) &&
	       dst->vm_file == src->vm_file && dst->vm_ops == src->vm_ops &&
	       lwc_same_policy(dst, src) && lwc_same_name(dst, src);
}

static bool same_offset(const struct vm_area_struct *dst, const struct vm_area_struct *src)
{
	return (dst->vm_pgoff << PAGE_SHIFT) - dst->vm_start ==
	       (src->vm_pgoff << PAGE_SHIFT) - src->vm_start;
}

static int unmap(struct sync *sync, unsigned long start, unsigned long end)
{
	sync->vma[DST] = NULL;
	sync->forget = true;
	return lwc_mm_unmap(mm_of(sync, DST), start, end);
}

static struct vm_area_struct *next_inherited(struct ma_state *mas)
{
	struct vm_area_struct *vma;

	do {
		vma = mas_find(mas, ULONG_MAX);
	} while (vma && (vma->vm_flags & VM_DONTCOPY));
	return vma;
}

static void add_wiped(struct lwc_pair *pair, const struct vm_area_struct *vma)
{
	if (pair->n_wiped == LWC_MAX_WIPED)
		pair->wipes = true;
	else
		pair->wiped[pair->n_wiped++] = (struct lwc_note){ vma->vm_start, vma->vm_end };
}

/*
 * Takes out of the destination what the source does not map. Return: 0, or
 * -EAGAIN where something else differs.
 */
static int equalise_mappings(struct sync *sync)
{
	MA_STATE(dst_mas, &mm_of(sync, DST)->mm_mt, 0, 0);
	MA_STATE(src_mas, &mm_of(sync, SRC)->mm_mt, 0, 0);
	struct vm_area_struct *dst = mas_find(&dst_mas, ULONG_MAX);
	struct vm_area_struct *src = next_inherited(&src_mas);
	unsigned long start, end;

	sync->pair->wipes = false;
	sync->pair->filled_by_others = false;
	sync->pair->n_wiped = 0;
	while (dst || src) {
		if (dst && src && dst->vm_start == src->vm_start && dst->vm_end == src->vm_end) {
			if (!same_mapping(dst, src) || !same_offset(dst, src))
				return -EAGAIN;
			/* Their pages are counted and reserved in ways of their own. */
			if (is_vm_hugetlb_page(src) && !(src->vm_flags & VM_SHARED))
				return -EAGAIN;
			if (src->vm_flags & VM_WIPEONFORK)
				add_wiped(sync->pair, src);
			if (src->vm_flags & __VM_UFFD_FLAGS)
				sync->pair->filled_by_others = true;
			dst = mas_find(&dst_mas, ULONG_MAX);
			src = next_inherited(&src_mas);
			continue;
		}
		if (!dst || (src && dst->vm_start > src->vm_start))
			return -EAGAIN;
		start = dst->vm_start;
		end = dst->vm_end;
		if (src && start == src->vm_start) {
			if (end < src->vm_end)
				return -EAGAIN;
			start = src->vm_end;
		} else if (src) {
			end = min(end, src->vm_start);
		}
		if (unmap(sync, start, end))
			return -EAGAIN;
		/* What is left of it is looked at again. */
		mas_set(&dst_mas, src && start == src->vm_end ? src->vm_start : end);
		dst = mas_find(&dst_mas, ULONG_MAX);
	}
	return 0;
}

static bool have_mappings_changed(const struct sync *sync)
{
	unsigned int role;

	for (role = DST; role <= SRC; role++) {
		const struct lwc_side *side = sync->side[role];

		if (side->track && !lwc_layout_is_unchanged(&side->layout, side->mm))
			return !lwc_broken(MAPPING_MISSED);
	}
	return false;
}

/* Page tables */

/* A huge page is split: what follows knows single ones alone. */
static int split_huge(struct sync *sync, unsigned int role, unsigned long address, pmd_t *pmd)
{
	struct vm_area_struct *vma = find_vma(mm_of(sync, role), address);

	if (!vma || vma->vm_start >= (address & PMD_MASK) + PMD_SIZE || is_vm_hugetlb_page(vma))
		return -EAGAIN;
	lwc_split_huge_pmd(vma, pmd, address);
	return lwc_is_huge(READ_ONCE(*pmd)) ? -EAGAIN : 0;
}

static void unlock_tables(struct sync *sync)
{
	unsigned int role;

	for (role = SRC + 1; role-- > DST;) {
		if (!sync->lock[role])
			continue;
		__acquire(sync->lock[role]);
		spin_unlock(sync->lock[role]);
		sync->lock[role] = NULL;
	}
}

/* The destination's first: a role is the class of its lock. */
static int find_and_lock_tables(struct sync *sync, unsigned long address, pmd_t **pmd)
{
	unsigned int role;

	for (role = DST; role <= SRC; role++) {
		pmd[role] = lwc_find_pmd(mm_of(sync, role), address);
		if (pmd[role] && unlikely(lwc_is_huge(READ_ONCE(*pmd[role]))) &&
		    split_huge(sync, role, address, pmd[role]))
			return -EAGAIN;
	}
	for (role = DST; role <= SRC; role++)
		sync->pte[role] = lwc_lock_table(mm_of(sync, role), pmd[role], role,
						 &sync->lock[role]);
	return 0;
}

/*
 * Locks the page table of one side. What points to it is kept in @table, and
 * only goes when something is unmapped (struct lwc_track.unmapped). Return: is it
 * locked, or known not to be there?
 */
static __always_inline bool lock_known(struct sync *sync, unsigned int role,
				       const struct lwc_table *table)
{
	pmd_t *pmd = table->pmd[sync->index[role]];

	sync->pte[role] = lwc_lock_table(mm_of(sync, role), pmd, role, &sync->lock[role]);
	return likely(sync->pte[role]) || (pmd && pmd_none(READ_ONCE(*pmd)));
}

static noinline int lock_unknown(struct sync *sync, struct lwc_table *table)
{
	pmd_t *pmd[2];
	unsigned int role;
	int err;

	unlock_tables(sync);
	err = find_and_lock_tables(sync, table->address, pmd);
	for (role = DST; !err && role <= SRC; role++)
		table->pmd[sync->index[role]] = pmd[role];
	return err;
}

/* Locks the destination's page table of @table, and the source's if need be. */
static __always_inline int lock_destination(struct sync *sync, struct lwc_table *table)
{
	sync->half_locked = false;
	if (unlikely(!lock_known(sync, DST, table)))
		return lock_unknown(sync, table);
	sync->half_locked = true;
	return 0;
}

/* And the source's, where it is not yet. */
static __always_inline int lock_source(struct sync *sync, struct lwc_table *table)
{
	if (!sync->half_locked)
		return 0;
	sync->half_locked = false;
	return likely(lock_known(sync, SRC, table)) ? 0 : lock_unknown(sync, table);
}

/* Locks both page tables of @table. */
static int lock_tables(struct sync *sync, struct lwc_table *table)
{
	return lock_destination(sync, table) ?: lock_source(sync, table);
}

static pte_t entry(const struct sync *sync, unsigned int role, unsigned int i)
{
	return sync->pte[role] ? READ_ONCE(sync->pte[role][i]) : __pte(0);
}

/* That of an entry which the processor can use; of others: pte_page(). */
static struct page *page_of(pte_t pte)
{
	return pfn_to_page((native_pte_val(pte) & PTE_PFN_MASK) >> PAGE_SHIFT);
}

static struct page *anonymous_page(pte_t pte)
{
	struct page *page;

	if (!pte_present(pte) || pte_special(pte) || is_zero_pfn(pte_pfn(pte)))
		return NULL;
	page = pte_page(pte);
	return PageAnon(page) ? page : NULL;
}

/* Does @pte count among the anonymous pages and swap entries of its mm? */
static bool is_counted(pte_t pte)
{
	swp_entry_t swap;

	if (pte_none(pte))
		return false;
	if (pte_present(pte))
		return anonymous_page(pte);
	swap = pte_to_swp_entry(pte);
	if (!non_swap_entry(swap))
		return true;
	return is_migration_entry(swap) && PageAnon(pfn_swap_entry_to_page(swap));
}

/* Do both entries stand for the same content, by what they are? */
static bool is_shared(pte_t dst, pte_t src)
{
	if (pte_present(dst) && pte_present(src) && pte_pfn(dst) == pte_pfn(src))
		return true;
	if (pte_none(dst) || pte_none(src) || pte_present(dst) || pte_present(src))
		return !is_counted(dst) && !is_counted(src);
	return pte_to_swp_entry(dst).val == pte_to_swp_entry(src).val;
}

/* Neither written since it was marked clean, nor about to be by a device. */
static bool is_clean(pte_t pte, const struct page *page)
{
	if (lwc_broken(DIRTY_PAGE_MISSED))
		return true;
	return !pte_dirty(pte) && !test_bit(PG_dirty, &page->flags) && page_ref_count(page) == 1;
}

/* The same, for an entry that the processor can use and has the mark of; else false. */
static __always_inline bool is_plainly_clean(pte_t pte)
{
	const struct page *page;

	/* No other entry has the number of a page where page_of() looks for it. */
	if ((native_pte_val(pte) & (_PAGE_PRESENT | LWC_DIRTY_BITS)) != _PAGE_PRESENT)
		return false;
	page = page_of(pte);
	return !(READ_ONCE(page->flags) & BIT(PG_dirty)) && page_ref_count(page) == 1;
}

/*
 * Is this page, known to be an anonymous one, as nearly all are: single, in use
 * by nobody else? With PLAIN_TARGET it belongs to the one who maps it, and
 * content may be copied into it.
 */
static __always_inline bool is_plain(struct page *page, unsigned long flags)
{
	return (READ_ONCE(page->flags) & (flags | BIT(PG_swapcache) | BIT(PG_head))) == flags &&
	       !PageTail(page) && !PageKsm(page) && page_ref_count(page) == 1;
}

#define PLAIN_SOURCE	BIT(PG_swapbacked)
#define PLAIN_TARGET	(PLAIN_SOURCE | BIT(PG_anon_exclusive))

/* A page on its way to the lists has a reference more, which says nothing. */
static void put_on_lists(struct page *page)
{
	if (unlikely(!folio_test_lru(page_folio(page))))
		kernel_call(lru_add_drain)();
}

/* May content be copied into @page, and its marks be cleared? */
static bool is_target(struct page *page, bool fresh)
{
	struct folio *folio = page_folio(page);

	if (!folio_test_anon(folio) || folio_test_ksm(folio) || !PageAnonExclusive(page) ||
	    !folio_test_swapbacked(folio) || folio_test_swapcache(folio))
		return false;
	if (fresh)
		return !folio_maybe_dma_pinned(folio);
	if (folio_test_large(folio))
		return false;
	put_on_lists(page);
	return folio_ref_count(folio) == 1;
}

/*
 * What is in the page is now known. A page that is, or is about to be, in the
 * swap cache keeps its mark: by that reclaim knows what it has to write. It
 * puts a page there, marks it and only then takes it out of page tables, for
 * which it needs the lock that is held here.
 */
static void mark_clean(struct sync *sync, unsigned int role, unsigned long address, pte_t *ptep,
		       struct page *page)
{
	struct lwc_note *written = &sync->written[role];
	struct folio *folio = page_folio(page);
	pte_t old = READ_ONCE(*ptep);

	/*
	 * Of one that another process maps too the marks stay (see is_duplication()); it
	 * counts as written whatever they say.
	 */
	if (folio_test_large(folio) || folio_test_swapcache(folio) ||
	    !folio_test_swapbacked(folio) || atomic_read(&page->_mapcount))
		return;
	if (folio_test_dirty(folio)) {
		folio_clear_dirty(folio);
		/* Reclaim puts it in the cache first and marks it then. */
		smp_mb__after_atomic();
		if (folio_test_swapcache(folio)) {
			folio_set_dirty(folio);
			return;
		}
	}
	if (!pte_dirty(old))
		return;
	while (!try_cmpxchg(&ptep->pte, &old.pte, pte_val(pte_mkclean(old))))
		cpu_relax();
	written->start = min(written->start, address);
	written->end = max(written->end, address + PAGE_SIZE);
}

/*
 * The content of @from, or zeroes, goes to @to. @own: the source's own page,
 * which may be written, and which then is @from.
 */
static void copy_to_kept(struct sync *sync, unsigned long address, unsigned int i,
			 struct page *to, struct page *from, struct page *own)
{
	unsigned int role;

	/* First, so that what is written from now on by who has it pinned is marked. */
	if (own && sync->live[SRC])
		mark_clean(sync, SRC, address, &sync->pte[SRC][i], own);
	if (from)
		copy_highpage(to, from);
	else
		clear_highpage(to);
	sync->copied++;
	if (sync->live[DST])
		mark_clean(sync, DST, address, &sync->pte[DST][i], to);
	for (role = DST; role <= SRC; role++) {
		if (sync->others[role])
			lwc_side_note_others(sync->side[role], address, address + PAGE_SIZE);
	}
}

/* What a page accounts for in the sums; before anything is changed. */
static void account(struct sync *sync, const struct lwc_table *table, unsigned int i)
{
	const unsigned int d = sync->index[DST], s = sync->index[SRC];
	const bool dst = is_counted(entry(sync, DST, i)), src = is_counted(entry(sync, SRC, i));
	bool dst_was = test_bit(i, table->kept[d]), src_was = test_bit(i, table->kept[s]);

	/*
	 * Of one that is not kept both had one or neither; one taken out is noted,
	 * unless nobody listens.
	 */
	if (!dst_was && !src_was) {
		dst_was = (dst || test_bit(i, table->noted[d]) || !sync->side[DST]->track) &&
			  (src || test_bit(i, table->noted[s]) || !sync->side[SRC]->track);
		src_was = dst_was;
	}
	sync->delta[DST] += dst - dst_was;
	sync->delta[SRC] += src - src_was;
}

/*
 * With both tables locked: make page @i of @table equal, or say what it needs
 * after it was provided with what it needed at @last.
 */
static enum need sync_page(struct sync *sync, struct lwc_table *table, unsigned int i,
			   enum need last)
{
	const unsigned int d = sync->index[DST], s = sync->index[SRC];
	const unsigned long address = table->address + i * PAGE_SIZE;
	const bool kept = test_bit(i, table->kept[d]) || test_bit(i, table->kept[s]);
	pte_t dst = entry(sync, DST, i), src = entry(sync, SRC, i);
	struct page *to, *from = NULL, *own;
	struct vm_area_struct *vma;
	bool wiped = false;

	if (sync->pair->wipes) {
		vma = vma_of(sync, SRC, address);
		wiped = vma && (vma->vm_flags & VM_WIPEONFORK);
	}
	if (wiped)
		src = __pte(0);
	if (is_shared(dst, src)) {
		__assign_bit(i, table->kept[d], false);
		__assign_bit(i, table->kept[s], false);
		sync->pair->n_kept -= kept;
		return NOTHING;
	}
	if (!pte_present(src) && !pte_none(src))
		return lwc_broken(SWAPPED_PAGE_MISSED) ? NOTHING : FAULT_SRC;
	own = anonymous_page(src);
	to = anonymous_page(dst);
	if (!to) {
		if (!pte_present(dst) && !pte_none(dst))
			return RENEW_DST;
		return FAULT_DST;
	}
	if (!is_target(to, last == FAULT_DST || last == RENEW_DST))
		return RENEW_DST;
	if (own) {
		from = own;
	} else if (pte_present(src) && !is_zero_pfn(pte_pfn(src))) {
		if (pte_special(src))
			return GIVE_UP;
		from = pte_page(src);
	} else if (!wiped && pte_none(src)) {
		vma = vma_of(sync, SRC, address);
		if (!vma)
			return DROP_DST;
		/* Once it is present in the source, its content is known here. */
		if (!vma_is_anonymous(vma))
			return last == FAULT_SRC ? DROP_DST : FAULT_SRC;
	}

	copy_to_kept(sync, address, i, to, from, own);
	__assign_bit(i, table->kept[d], true);
	__assign_bit(i, table->kept[s], own);
	sync->pair->n_kept += !kept;
	sync->kept += !kept;
	return NOTHING;
}

static int fault(struct sync *sync, unsigned int role, unsigned long address, bool write)
{
	struct vm_area_struct *vma = vma_of(sync, role, address);
	unsigned int flags = FAULT_FLAG_REMOTE | (write ? FAULT_FLAG_WRITE : 0);
	vm_fault_t result;
	bool small;

	/* What can never be written has no page of its own in either. */
	if (!vma || (write && !is_cow_mapping(vma->vm_flags)))
		return -EAGAIN;
	/* Under these locks nobody could end the wait; a duplicate needs no content. */
	if (!lwc_mm_is_at_hand(vma, address))
		return -EAGAIN;
	lwc_side_note_others(sync->side[role], address, address + PAGE_SIZE);
	/* A large one would bring in neighbours that nobody knows of. */
	small = !(vma->vm_flags & VM_NOHUGEPAGE);
	if (small)
		vm_flags_set(vma, VM_NOHUGEPAGE);
	result = kernel_call(handle_mm_fault)(vma, address, flags, NULL);
	if (small)
		vm_flags_clear(vma, VM_NOHUGEPAGE);
	return result & VM_FAULT_ERROR ? -EFAULT : 0;
}

static int drop(struct sync *sync, unsigned long address)
{
	struct vm_area_struct *vma = vma_of(sync, DST, address);

	if (!vma)
		return -EAGAIN;
	kernel_call(zap_page_range_single)(vma, address, PAGE_SIZE, NULL);
	return 0;
}

/* With nothing locked but the mmap locks. */
static int provide(struct sync *sync, enum need need, unsigned long address)
{
	int err;

	sync->made = true;
	switch (need) {
	case FAULT_SRC:
		err = fault(sync, SRC, address, false);
		/* Behind the end of its file: the same has to happen in the other. */
		return err == -EFAULT ? drop(sync, address) : err;
	case RENEW_DST:
		err = drop(sync, address);
		return err ?: fault(sync, DST, address, true);
	case FAULT_DST:
		return fault(sync, DST, address, true);
	case DROP_DST:
		return drop(sync, address);
	default:
		return -EAGAIN;
	}
}

/* One that does not fit what it is provided with is raced by reclaim or migration. */
#define MAX_ATTEMPTS	8

static int sync_hard_page(struct sync *sync, struct lwc_table *table, unsigned int i,
			  enum need need)
{
	const unsigned long address = table->address + i * PAGE_SIZE;
	unsigned int attempt;
	int err;

	for (attempt = 1; need != NOTHING && attempt <= MAX_ATTEMPTS; attempt++) {
		unlock_tables(sync);
		err = provide(sync, need, address);
		if (err)
			return -EAGAIN;
		if (lock_tables(sync, table))
			return -EAGAIN;
		need = sync_page(sync, table, i, need);
	}
	if (need == NOTHING)
		return 0;
	unlock_tables(sync);
	return -EAGAIN;
}

/*
 * A kept page of which there is no note, so that both entries map what they
 * did. Return: false if it is not a common case.
 */
static bool sync_kept_page(struct sync *sync, const struct lwc_table *table, unsigned int i)
{
	const bool own = test_bit(i, table->kept[sync->index[SRC]]);
	const bool live = sync->live[SRC];
	pte_t dst = entry(sync, DST, i), src = entry(sync, SRC, i);
	struct page *to, *from = NULL;

	if (!test_bit(i, table->kept[sync->index[DST]]) || !pte_present(dst))
		return false;
	to = pte_page(dst);
	put_on_lists(to);
	if (pte_present(src)) {
		from = pte_page(src);
		if (own)
			put_on_lists(from);
	}
	if ((!sync->live[DST] || is_clean(dst, to)) &&
	    (!live || (own ? from && is_clean(src, from) : !is_counted(src)))) {
		sync->pair->idle++;
		return true;
	}
	if (!own || !from || !is_plain(to, PLAIN_TARGET) || sync->pair->wipes)
		return false;
	copy_to_kept(sync, table->address + i * PAGE_SIZE, i, to, from, from);
	return true;
}

/*
 * Which of the pages of a word of @table were written, or are no common case? They
 * are kept by the destination, and there are no notes of them, so that both
 * entries map what they did.
 */
static unsigned long find_written(const struct sync *sync, const struct lwc_table *table,
				  unsigned int word)
{
	const unsigned long kept = table->kept[sync->index[DST]][word];
	const pte_t *dst = sync->pte[DST] + word * BITS_PER_LONG;
	unsigned long bits, written = 0;

	if (lwc_broken(DIRTY_PAGE_MISSED))
		return 0;
	for (bits = kept; bits; bits &= bits - 1) {
		if (!is_plainly_clean(READ_ONCE(dst[__ffs(bits)])))
			written |= bits & -bits;
	}
	return written;
}

/* The same of the source, where the program runs in that too. */
static unsigned long find_written_source(const struct sync *sync, const struct lwc_table *table,
					 unsigned int word)
{
	const unsigned long kept = table->kept[sync->index[DST]][word];
	const unsigned long own = table->kept[sync->index[SRC]][word];
	const pte_t *src = sync->pte[SRC] + word * BITS_PER_LONG;
	unsigned long bits, written = 0;

	if (lwc_broken(DIRTY_PAGE_MISSED))
		return 0;
	for (bits = kept & own; bits; bits &= bits - 1) {
		if (!is_plainly_clean(READ_ONCE(src[__ffs(bits)])))
			written |= bits & -bits;
	}
	for (bits = kept & ~own; bits; bits &= bits - 1) {
		if (is_counted(READ_ONCE(src[__ffs(bits)])))
			written |= bits & -bits;
	}
	return written;
}

/* The marks of a page that is_plain(). */
static __always_inline void mark_plain_clean(struct sync *sync, unsigned int role,
					     unsigned long address, pte_t *ptep,
					     struct page *page)
{
	if (unlikely(READ_ONCE(page->flags) & (BIT(PG_dirty) | BIT(PG_swapcache))))
		mark_clean(sync, role, address, ptep, page);
	else
		atomic64_andnot(LWC_DIRTY_BITS, (atomic64_t *)ptep);
}

/* A page that find_written() has found. Return: false if it is not a common case. */
static __always_inline bool copy_written(struct sync *sync, struct lwc_table *table,
					 unsigned int i)
{
	pte_t *dst = &sync->pte[DST][i], *src = &sync->pte[SRC][i];
	const unsigned long address = table->address + i * PAGE_SIZE;
	pte_t to_entry = READ_ONCE(*dst), from_entry = READ_ONCE(*src);
	struct page *to, *from;

	if (unlikely(!(native_pte_val(to_entry) & native_pte_val(from_entry) & _PAGE_PRESENT)))
		return false;
	to = page_of(to_entry);
	from = page_of(from_entry);
	if (unlikely(!is_plain(to, PLAIN_TARGET)))
		return false;
	if (sync->live[SRC]) {
		if (unlikely(!is_plain(from, PLAIN_SOURCE)))
			return false;
		/* First, so that what is written from now on by who has it pinned is marked. */
		mark_plain_clean(sync, SRC, address, src, from);
	}
	copy_highpage(to, from);
	if (sync->live[DST])
		mark_plain_clean(sync, DST, address, dst, to);
	return true;
}

static void copied(struct sync *sync, const struct lwc_table *table, unsigned int word,
		   unsigned long pages)
{
	const unsigned long base = table->address + word * BITS_PER_LONG * PAGE_SIZE;
	const unsigned long start = base + __ffs(pages) * PAGE_SIZE;
	const unsigned long end = base + (__fls(pages) + 1) * PAGE_SIZE;
	unsigned int role;

	sync->copied += hweight_long(pages);
	for (role = DST; role <= SRC; role++) {
		struct lwc_note *written = &sync->written[role];

		if (!sync->live[role])
			continue;
		written->start = min(written->start, start);
		written->end = max(written->end, end);
		if (unlikely(sync->others[role]))
			lwc_side_note_others(sync->side[role], start, end);
	}
}

/*
 * The pages of a word of which there is no note. @rest: those that are not a
 * common case, with both tables locked.
 */
static int sync_kept_pages(struct sync *sync, struct lwc_table *table, unsigned int word,
			   unsigned long *rest)
{
	const unsigned long kept = table->kept[sync->index[DST]][word];
	const unsigned long own = table->kept[sync->index[SRC]][word];
	unsigned long bits, written = 0, done = 0;

	if (sync->live[DST])
		written = find_written(sync, table, word);
	if (sync->live[SRC]) {
		if (lock_source(sync, table))
			return -EAGAIN;
		if (likely(sync->pte[SRC]))
			written |= find_written_source(sync, table, word);
		else
			written |= kept & own;
	}
	sync->pair->idle += hweight_long(kept & ~written);
	*rest = own & ~kept;
	if (likely(!(written | *rest)))
		return 0;
	if (lock_source(sync, table))
		return -EAGAIN;
	bits = sync->pte[DST] && sync->pte[SRC] ? written & own : 0;
	for (; bits; bits &= bits - 1) {
		if (copy_written(sync, table, word * BITS_PER_LONG + __ffs(bits)))
			done |= bits & -bits;
	}
	if (done)
		copied(sync, table, word, done);
	*rest |= written & ~done;
	return 0;
}

static int sync_table(struct sync *sync, struct lwc_table *table)
{
	unsigned long words, kept, noted, bits;
	unsigned int word, i;
	enum need need;
	int err;

	if (lock_destination(sync, table))
		return -EAGAIN;
	for (words = table->words; words; words &= words - 1) {
		word = __ffs(words);
		kept = table->kept[0][word] | table->kept[1][word];
		noted = table->noted[0][word] | table->noted[1][word];
		bits = kept | noted;
		if (likely(!noted && sync->pte[DST] && !sync->pair->wipes))
			err = sync_kept_pages(sync, table, word, &bits);
		else
			err = lock_source(sync, table);
		if (err)
			return err;
		for (; unlikely(bits); bits &= bits - 1) {
			i = word * BITS_PER_LONG + __ffs(bits);
			if (!(noted & bits & -bits) && sync_kept_page(sync, table, i))
				continue;
			account(sync, table, i);
			need = sync_page(sync, table, i, NOTHING);
			if (need != NOTHING && sync_hard_page(sync, table, i, need))
				return -EAGAIN;
		}
		table->noted[0][word] = 0;
		table->noted[1][word] = 0;
		if (!(table->kept[0][word] | table->kept[1][word]))
			__clear_bit(word, &table->words);
		if (unlikely(need_resched())) {
			unlock_tables(sync);
			cond_resched();
			if (lock_destination(sync, table))
				return -EAGAIN;
		}
	}
	unlock_tables(sync);
	return 0;
}

static int sync_tables(struct sync *sync)
{
	struct lwc_table *table, *next;
	int err;

	list_for_each_entry_safe(table, next, &sync->pair->tables, of_pair) {
		err = sync_table(sync, table);
		if (err)
			return err;
		if (!table->words)
			lwc_pair_forget_table(sync->pair, table);
	}
	return 0;
}

/* Notes */

/* Marks in the tables what the notes of one side say. */
static int mark_noted(struct sync *sync, unsigned int role, const struct lwc_note *note)
{
	unsigned long address = note->start & PAGE_MASK;
	const unsigned long end = PAGE_ALIGN(min(note->end, TASK_SIZE_MAX));
	struct lwc_table *table;
	unsigned int first, last;
	unsigned long next;

	if (address >= end)
		return 0;
	sync->noted += ((end - 1) >> PMD_SHIFT) - (address >> PMD_SHIFT) + 1;
	if (sync->noted > MAX_NOTED_TABLES)
		return -ENOSPC;
	for (; address < end; address = next) {
		next = min((address & PMD_MASK) + PMD_SIZE, end);
		table = lwc_pair_table(sync->pair, address);
		if (!table)
			return -EAGAIN;
		first = pte_index(address);
		last = pte_index(next - 1);
		bitmap_set(table->noted[sync->index[role]], first, last - first + 1);
		table->words |= GENMASK(last / BITS_PER_LONG, first / BITS_PER_LONG);
	}
	return 0;
}

/*
 * Return: 0, -ENOSPC (they do not tell all), -EAGAIN.
 */
static int gather_notes(struct sync *sync)
{
	unsigned int role, i, n;
	bool lost = false;
	int err = 0, result = 0;

	for (role = DST; role <= SRC; role++) {
		struct lwc_side *side = sync->side[role];

		if (!side->track)
			continue;
		n = lwc_side_take_notes(side, &lost, &sync->forget);
		for (i = 0; i < n; i++) {
			err = mark_noted(sync, role, &side->spare[i]);
			if (err == -EAGAIN)
				return err;
			result = result ?: err;
		}
	}
	return lost ? -ENOSPC : result;
}

/*
 * Notes were lost, among them perhaps that a page was replaced by one that another
 * pair has marked clean since: the marks of what is kept say nothing.
 */
static void note_all_kept(struct lwc_pair *pair)
{
	struct lwc_table *table;
	unsigned int i;

	list_for_each_entry(table, &pair->tables, of_pair) {
		for (i = 0; i < 2; i++)
			bitmap_or(table->noted[0], table->noted[0], table->kept[i], PTRS_PER_PTE);
	}
}

/* Ranges that a duplicate does not inherit the pages of */

/* How many pages that count has one side in [@start, @end)? Or -EAGAIN. */
static long count_pages(struct sync *sync, unsigned int role, unsigned long start,
			unsigned long end)
{
	struct mm_struct *mm = mm_of(sync, role);
	unsigned long address, next;
	spinlock_t *lock; /* of the page table */
	pte_t *table;
	pmd_t *pmd;
	long n = 0;

	for (address = start; address < end; address = next) {
		next = min((address & PMD_MASK) + PMD_SIZE, end);
		pmd = lwc_find_pmd(mm, address);
		if (pmd && lwc_is_huge(READ_ONCE(*pmd)) && split_huge(sync, role, address, pmd))
			return -EAGAIN;
		table = lwc_lock_table(mm, pmd, 0, &lock);
		if (!table)
			continue;
		for (; address < next; address += PAGE_SIZE)
			n += is_counted(READ_ONCE(table[pte_index(address)]));
		__acquire(lock);
		spin_unlock(lock);
		cond_resched();
	}
	return n;
}

/* What is known of the pages in [@start, @end) is of no use. */
static void forget_pages(struct lwc_pair *pair, unsigned long start, unsigned long end)
{
	DECLARE_BITMAP(kept, PTRS_PER_PTE);
	unsigned long address, next;
	struct lwc_table *table;
	unsigned int first, n, i;

	for (address = start; address < end; address = next) {
		next = min((address & PMD_MASK) + PMD_SIZE, end);
		table = xa_load(&pair->index, address >> PMD_SHIFT);
		if (!table)
			continue;
		first = pte_index(address);
		n = (next - address) >> PAGE_SHIFT;
		bitmap_or(kept, table->kept[0], table->kept[1], PTRS_PER_PTE);
		pair->n_kept -= bitmap_weight(kept, PTRS_PER_PTE);
		for (i = 0; i < 2; i++) {
			bitmap_clear(table->kept[i], first, n);
			bitmap_clear(table->noted[i], first, n);
		}
		bitmap_or(kept, table->kept[0], table->kept[1], PTRS_PER_PTE);
		pair->n_kept += bitmap_weight(kept, PTRS_PER_PTE);
	}
}

/*
 * MADV_WIPEONFORK: the destination has no pages there, whatever the source has. So
 * what each has is counted, and nothing else has to be known of these pages.
 */
static int wipe(struct sync *sync)
{
	struct lwc_pair *pair = sync->pair;
	long n[2] = {}, count;
	struct vm_area_struct *vma;
	unsigned int i, role;

	for (i = 0; i < pair->n_wiped; i++) {
		const unsigned long start = pair->wiped[i].start, end = pair->wiped[i].end;

		for (role = DST; role <= SRC; role++) {
			count = count_pages(sync, role, start, end);
			if (count < 0)
				return count;
			n[role] += count;
			if (role == SRC || !count)
				continue;
			vma = vma_of(sync, DST, start);
			if (WARN_ON_ONCE(!vma))
				return -EAGAIN;
			kernel_call(zap_page_range_single)(vma, start, end - start, NULL);
			n[DST] -= count;
		}
		forget_pages(pair, start, end);
	}
	for (role = DST; role <= SRC; role++) {
		sync->delta[role] += n[role] - sync->side[role]->wiped;
		sync->side[role]->wiped = n[role];
	}
	return 0;
}

/* Everything */

/* Notes the pages of one page table that are not known to be equal. */
static int compare_table(struct sync *sync, unsigned long start, unsigned long end, bool wiped)
{
	DECLARE_BITMAP(differ, PTRS_PER_PTE) = {};
	struct lwc_table *table;
	unsigned long address;
	bool any = false;
	pte_t src, dst;
	pmd_t *pmd[2];

	if (find_and_lock_tables(sync, start, pmd))
		return -EAGAIN;
	for (address = start; address < end && (sync->pte[DST] || sync->pte[SRC]);
	     address += PAGE_SIZE) {
		const unsigned int i = pte_index(address);

		dst = entry(sync, DST, i);
		src = wiped ? __pte(0) : entry(sync, SRC, i);
		if (is_shared(dst, src))
			continue;
		__set_bit(i, differ);
		any = true;
	}
	unlock_tables(sync);
	if (!any)
		return 0;
	table = lwc_pair_table(sync->pair, start);
	if (!table)
		return -EAGAIN;
	/* What is kept has been looked at. */
	bitmap_andnot(differ, differ, table->kept[0], PTRS_PER_PTE);
	bitmap_andnot(differ, differ, table->kept[1], PTRS_PER_PTE);
	bitmap_or(table->noted[0], table->noted[0], differ, PTRS_PER_PTE);
	bitmap_or(table->noted[1], table->noted[1], differ, PTRS_PER_PTE);
	table->words = GENMASK(LWC_TABLE_WORDS - 1, 0);
	return 0;
}

static bool is_same_huge(pmd_t *dst, pmd_t *src)
{
	return dst && src && pmd_trans_huge(READ_ONCE(*dst)) && pmd_trans_huge(READ_ONCE(*src)) &&
	       pmd_present(READ_ONCE(*dst)) && pmd_pfn(READ_ONCE(*dst)) == pmd_pfn(READ_ONCE(*src));
}

static int compare_all(struct sync *sync)
{
	MA_STATE(mas, &mm_of(sync, DST)->mm_mt, 0, 0);
	struct vm_area_struct *vma, *other;
	unsigned long address, next;
	pmd_t *dst, *src;
	bool wiped;
	int err;

	mas_for_each(&mas, vma, ULONG_MAX) {
		other = vma_of(sync, SRC, vma->vm_start);
		if (WARN_ON_ONCE(!other))
			return -EAGAIN;
		/* Only where there is one of these can there be anonymous pages. */
		if (!vma->anon_vma && !other->anon_vma)
			continue;
		wiped = vma->vm_flags & VM_WIPEONFORK;
		/* See wipe(). */
		if (wiped && !sync->pair->wipes)
			continue;
		for (address = vma->vm_start; address < vma->vm_end; address = next) {
			next = min((address & PMD_MASK) + PMD_SIZE, vma->vm_end);
			if (fatal_signal_pending(current))
				return -EAGAIN;
			/* A program may reserve far more than it ever touches. */
			dst = lwc_find_pmd(mm_of(sync, DST), address);
			src = lwc_find_pmd(mm_of(sync, SRC), address);
			if (!dst && !src) {
				next = min((address & PUD_MASK) + PUD_SIZE, vma->vm_end);
				continue;
			}
			if (!wiped && is_same_huge(dst, src))
				continue;
			err = compare_table(sync, address, next, wiped);
			if (err)
				return err;
			cond_resched();
		}
	}
	return 0;
}

static void flush(struct sync *sync, unsigned int role)
{
	const struct lwc_note *written = &sync->written[role];

	/* Nobody has looked at the entries of one where nothing runs. */
	if (!sync->live[role] || written->start >= written->end || lwc_broken(FLUSH_LEFT_OUT))
		return;
	kernel_call(flush_tlb_mm_range)(mm_of(sync, role), written->start, written->end,
					PAGE_SHIFT, false);
}

static bool sum_is_right(const struct sync *sync, const long *now)
{
	unsigned int role;

	for (role = DST; role <= SRC; role++) {
		if (sync->side[role]->track &&
		    now[role] - sync->side[role]->base != sync->delta[role])
			return false;
	}
	return true;
}

/* Would a new duplicate have been cheaper by now? */
static bool is_overdue(const struct lwc_pair *pair)
{
	const unsigned long duplicate = COST_DUPLICATE +
		pair->side[0].base * COST_DUPLICATE_PAGE;

	return pair->idle * COST_IDLE_PAGE > duplicate ||
	       pair->n_kept > READ_ONCE(max_kept_pages);
}

/* @now: gets, by role, the anonymous pages and swap entries before anything is made. */
static int equalise(struct sync *sync, bool quiet, long *now)
{
	struct lwc_pair *pair = sync->pair;
	const unsigned int n_wiped = pair->n_wiped;
	bool trusted = pair->trusted && quiet;
	struct lwc_table *table;
	unsigned int role;
	bool changed;
	int err;

	for (role = DST; role <= SRC; role++) {
		struct lwc_track *track = sync->side[role]->track;

		if (!track)
			continue;
		if (lwc_mm_has_other_notifiers(mm_of(sync, role), &track->notifier))
			return -ESTALE;
		sync->others[role] = !list_is_singular(&track->sides);
	}
	changed = have_mappings_changed(sync);
	/* What a snapshot records a duplicate must not lack, whichever way it is recorded. */
	if (!sync->side[DST]->track && (changed || pair->lacks)) {
		pair->lacks = lwc_mm_lacks_duplicate(mm_of(sync, SRC));
		if (pair->lacks)
			return -EOPNOTSUPP;
	}
	if (is_overdue(pair)) {
		lwc_count(aged);
		return lwc_broken(AGED_PAGE_MISSED) ? 0 : -ESTALE;
	}
	if (changed) {
		err = equalise_mappings(sync);
		if (err)
			return err;
		/* A program keeps what it has locked since, and the like. */
		pair->lacks = sync->side[DST]->track && lwc_mm_lacks_duplicate(mm_of(sync, DST));
	}
	err = gather_notes(sync);
	if (err == -EAGAIN)
		return err;
	if (sync->forget) {
		list_for_each_entry(table, &pair->tables, of_pair)
			memset(table->pmd, 0, sizeof(table->pmd));
	}
	if (err && !lwc_broken(LOST_NOTES_MISSED))
		note_all_kept(pair);
	if (err || pair->wipes || pair->filled_by_others)
		trusted = false;
	err = pair->wipes ? 0 : wipe(sync);
	if (err)
		return err;
	/* What they were counted in at the last time were other ranges. */
	if (changed && (pair->n_wiped || n_wiped))
		trusted = false;
	for (role = DST; role <= SRC; role++) {
		if (sync->side[role]->track)
			now[role] = lwc_anonymous_pages(mm_of(sync, role));
		/* Of two that share a merged page one may get another, unseen, by swap. */
		if (test_bit(MMF_VM_MERGEABLE, &mm_of(sync, role)->flags))
			trusted = false;
		/* Pages that reclaim is moving count in neither. */
		trusted = trusted && lwc_side_is_undisturbed(sync->side[role]);
	}
	err = sync_tables(sync);
	if (err)
		return err;
	if (!trusted || !(sum_is_right(sync, now) || lwc_broken(STALE_SUM))) {
		lwc_count(compares);
		err = compare_all(sync) ?: sync_tables(sync);
		if (err)
			return err;
	}
	lwc_mm_copy_bounds(mm_of(sync, DST), mm_of(sync, SRC));
	for (role = DST; role <= SRC; role++) {
		if (sync->side[role]->track)
			lwc_layout_record(&sync->side[role]->layout, mm_of(sync, role),
					  changed);
	}
	return 0;
}

int lwc_pair_equalise(struct lwc_pair *pair, struct mm_struct *to, bool quiet)
{
	const unsigned int index = pair->side[0].mm == to ? 0 : 1;
	struct sync sync = {
		.pair = pair,
		.index = { index, !index },
		.side = { &pair->side[index], &pair->side[!index] },
		.written = { { .start = ULONG_MAX }, { .start = ULONG_MAX } },
		.live = { pair->side[index].track, pair->side[!index].track },
	};
	long now[2] = {};
	unsigned int role;
	bool settled;
	int err;

	if (mmap_write_lock_killable(mm_of(&sync, DST)))
		return -EINTR;
	mmap_write_lock_nested(mm_of(&sync, SRC), SINGLE_DEPTH_NESTING);
	err = equalise(&sync, quiet, now);
	settled = quiet && !pair->wipes;
	for (role = DST; role <= SRC; role++) {
		flush(&sync, role);
		if (sync.live[role] && (sync.made || err))
			now[role] = lwc_anonymous_pages(mm_of(&sync, role));
		settled &= lwc_side_settle(sync.side[role], now[role]);
	}
	this_cpu_add(lwc_stats.pages_copied, sync.copied);
	this_cpu_add(lwc_stats.pages_kept, sync.kept);
	pair->trusted = settled && !err;
	mmap_write_unlock(mm_of(&sync, SRC));
	mmap_write_unlock(mm_of(&sync, DST));
	return err;
}

void lwc_mark_written(struct mm_struct *mm, unsigned long start, unsigned long end)
{
	unsigned long address, next;
	spinlock_t *lock; /* of the page table */
	pte_t *table;

	for (address = start; address < end; address = next) {
		next = min((address & PMD_MASK) + PMD_SIZE, end);
		table = lwc_lock_table(mm, lwc_find_pmd(mm, address), 0, &lock);
		if (!table)
			continue;
		for (; address < next; address += PAGE_SIZE) {
			pte_t *ptep = &table[pte_index(address)];
			pte_t old = READ_ONCE(*ptep);

			if (!anonymous_page(old) || pte_dirty(old))
				continue;
			while (!try_cmpxchg(&ptep->pte, &old.pte, pte_val(pte_mkdirty(old))))
				cpu_relax();
		}
		__acquire(lock);
		spin_unlock(lock);
		cond_resched();
	}
}
