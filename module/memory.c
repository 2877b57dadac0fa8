// SPDX-License-Identifier: GPL-2.0
/*
 * memory.c - applies memory specs to a new duplicate.
 *
 * UNMAP and READ change the duplicate alone, which nobody has seen yet. So they
 * are simply done, and it is thrown away if something fails.
 *
 * SHARE makes shared memory of private, in place: each range gets a file of its
 * own, as if it had been mapped MAP_SHARED | MAP_ANONYMOUS from the start. That
 * nothing is lost, and that a failure changes nothing, rests on three things.
 *
 * - The duplicate was made first, by copy_page_range(). So each page of the source
 *   is write-protected, and none can be pinned for writing any more: that takes a
 *   fault, and faults wait for the mmap lock, which is held for writing until the
 *   end. What was pinned before is found, and refused.
 * - All that can fail is done before anything is changed: the files and their
 *   pages are there, the source's pages are held, mappings are split. With a
 *   reference on it and no fault possible a page of the source stays the one that
 *   counts, whatever reclaim or migration want.
 * - Then the source's page-table entries are taken out and flushed. From there on
 *   nobody can write to the old pages, and they are copied.
 *
 * Must never leave a writable way to what a context may only read.
 */
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/highmem.h>
#include <linux/hugetlb.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/rmap.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/shmem_fs.h>
#include <linux/slab.h>
#include <linux/userfaultfd_k.h>
#include <linux/xarray.h>

#include "broken.h"
#include "kernel/compat.h"
#include "memory.h"
#include "mm.h"
#include "private.h"
#include "tables.h"
#include "view.h"

/* Somewhere there has been a context that is left a part of an object. */
static bool objects_are_limited;

/* A page and the one that takes its place. */
struct moved {
	struct page *from;
	struct page *to;
};

#define MOVED_PER_BATCH	((PAGE_SIZE - sizeof(struct list_head) - sizeof(long)) / \
			 sizeof(struct moved))

struct batch {
	struct list_head of_piece;
	unsigned long n;
	struct moved moved[MOVED_PER_BATCH];
};

/*
 * A range of private memory that becomes shared. What was mapped there, in the source
 * and when a record of it was made, is known by @root, the top of its anonymous pages'
 * rmap, and @origin, its file; both are only compared.
 */
struct piece {
	struct list_head of_memory;
	const struct anon_vma *root;
	const struct file *origin;
	unsigned long start;
	unsigned long end;
	bool locked;
	struct file *file;
	struct list_head batches;
};

static bool is_shared_mapping(const struct vm_area_struct *vma)
{
	return vma->vm_flags & (VM_SHARED | VM_MAYSHARE);
}

/* Not there in a duplicate, or empty, so that there is nothing to share. */
static bool is_left_out(const struct vm_area_struct *vma)
{
	return vma->vm_flags & (VM_DONTCOPY | VM_WIPEONFORK);
}

bool lwc_memory_is_private(struct vm_area_struct *vma)
{
	if (is_shared_mapping(vma) || is_left_out(vma) || !(vma->vm_flags & VM_MAYWRITE))
		return false;
	return vma_is_anonymous(vma) || (vma->vm_flags & VM_WRITE);
}

static bool can_be_shared(struct vm_area_struct *vma)
{
	if (vma->vm_flags & (VM_GROWSDOWN | VM_GROWSUP | VM_PFNMAP | VM_MIXEDMAP | VM_IO))
		return false;
	if (is_vm_hugetlb_page(vma))
		return false;
	return !userfaultfd_armed(vma);
}

bool lwc_memory_hides(const struct lwc_memory *memory, const struct vm_area_struct *vma)
{
	unsigned long start = vma->vm_start, end = start;

	/* The range that the first page is in, or the next one. */
	return memory && lwc_specs_next_memory(memory->specs, &start, &end) == LWC_UNMAP &&
	       start <= vma->vm_start && end >= vma->vm_end;
}

/* By its flags a mapping is counted among its kind (VmData and the like). */
static void change_flags(struct vm_area_struct *vma, vm_flags_t clear, vm_flags_t set)
{
	kernel_call(vm_stat_account)(vma->vm_mm, vma->vm_flags, -vma_pages(vma));
	vm_flags_clear(vma, clear);
	vm_flags_set(vma, set);
	kernel_call(vm_stat_account)(vma->vm_mm, vma->vm_flags, vma_pages(vma));
}

/* READ */

/*
 * copy_page_range() gives a duplicate pages of its own for those that are pinned,
 * writable at once.
 */
static void protect_pages(struct vm_area_struct *vma)
{
	struct mm_struct *mm = vma->vm_mm;
	unsigned long address, next;
	spinlock_t *lock; /* of the page table */
	pte_t *table;

	for (address = vma->vm_start; address < vma->vm_end; address = next) {
		next = min((address & PMD_MASK) + PMD_SIZE, vma->vm_end);
		cond_resched();
		table = lwc_lock_table(mm, lwc_find_pmd(mm, address), 0, &lock);
		if (!table)
			continue;
		for (; address < next; address += PAGE_SIZE) {
			pte_t *ptep = &table[pte_index(address)];
			pte_t pte = READ_ONCE(*ptep);

			if (pte_present(pte) && pte_write(pte))
				ptep_set_wrprotect(mm, address, ptep);
		}
		__acquire(lock);
		spin_unlock(lock);
	}
}

int lwc_memory_make_read_only(struct vm_area_struct *vma, bool pinned)
{
	if (is_vm_hugetlb_page(vma))
		return -EOPNOTSUPP;
	/* Their pages are mapped once and for all. */
	if (is_shared_mapping(vma) && (vma->vm_flags & (VM_PFNMAP | VM_MIXEDMAP | VM_IO)))
		return -EOPNOTSUPP;
	if (lwc_broken(READ_IS_WRITABLE))
		return 0;
	vma_start_write(vma);
	if (vma->vm_file && vma_is_shared_maywrite(vma))
		mapping_unmap_writable(vma->vm_file->f_mapping);
	change_flags(vma, VM_WRITE | VM_MAYWRITE | VM_SHARED, 0);
	kernel_call(vma_set_page_prot)(vma);
	if (pinned && vma->anon_vma)
		protect_pages(vma);
	return 0;
}

/* What ends where a stack goes on would be made anew by a touch, as that grows. */
static int leave_out(struct mm_struct *mm, struct mm_struct *source, unsigned long start,
		     unsigned long end)
{
	MA_STATE(below, &source->mm_mt, end - 1, end - 1);
	MA_STATE(above, &mm->mm_mt, end, end);
	struct vm_area_struct *vma;
	int err = lwc_mm_unmap(mm, start, end);

	if (err || !mas_walk(&below) || lwc_broken(STACK_GROWS_BACK))
		return err;
	vma = mas_walk(&above);
	if (vma && vma->vm_start == end && (vma->vm_flags & VM_GROWSDOWN)) {
		vma_start_write(vma);
		change_flags(vma, VM_GROWSDOWN, 0);
	}
	return 0;
}

static int split_at(struct mm_struct *mm, unsigned long start, unsigned long end)
{
	return lwc_split_vma(mm, start) ?: lwc_split_vma(mm, end);
}

static int read_only(struct mm_struct *mm, unsigned long start, unsigned long end, bool pinned)
{
	MA_STATE(mas, &mm->mm_mt, start, start);
	struct vm_area_struct *vma;
	int err = split_at(mm, start, end);

	if (err)
		return err;
	mas_for_each(&mas, vma, end - 1) {
		err = lwc_memory_make_read_only(vma, pinned);
		if (err)
			return err;
	}
	return 0;
}

/* Objects that a context may see a part of */

static unsigned long object_of(const struct vm_area_struct *vma)
{
	return (unsigned long)vma->vm_file->f_mapping / sizeof(long);
}

/*
 * Who maps a part of an object, shared or privately, could make that mapping larger,
 * and so come to the rest. @limited: the objects that this is not to happen to.
 */
static int note_objects(struct xarray *limited, struct mm_struct *source, unsigned long start,
			unsigned long end)
{
	MA_STATE(mas, &source->mm_mt, start, start);
	struct vm_area_struct *vma;
	int err;

	mas_for_each(&mas, vma, end - 1) {
		if (!vma->vm_file)
			continue;
		err = xa_err(xa_store(limited, object_of(vma), xa_mk_value(1),
				      GFP_KERNEL_ACCOUNT));
		if (err)
			return err;
	}
	return 0;
}

void lwc_memory_limit(struct vm_area_struct *vma)
{
	if (lwc_broken(OBJECT_GROWS))
		return;
	WRITE_ONCE(objects_are_limited, true);
	vma_start_write(vma);
	vm_flags_set(vma, VM_DONTEXPAND);
}

static void limit_objects(struct xarray *limited, struct mm_struct *mm)
{
	MA_STATE(mas, &mm->mm_mt, 0, 0);
	struct vm_area_struct *vma;

	if (xa_empty(limited))
		return;
	mas_for_each(&mas, vma, ULONG_MAX) {
		if (vma->vm_file && xa_load(limited, object_of(vma)))
			lwc_memory_limit(vma);
	}
}

/*
 * Was it limited by the above? Others who set the flag: drivers, perf, AIO, on what is neither
 * a file nor a disk.
 */
static bool is_limited(const struct vm_area_struct *vma)
{
	umode_t mode;

	if (!(vma->vm_flags & VM_DONTEXPAND) || !(vma->vm_flags & VM_SHARED) ||
	    (vma->vm_flags & (VM_IO | VM_PFNMAP | VM_MIXEDMAP)))
		return false;
	if ((vma->vm_flags & VM_DONTCOPY) && lwc_broken(FLAG_LIFTS_LIMIT))
		return false;
	mode = file_inode(vma->vm_file)->i_mode;
	return S_ISREG(mode) || S_ISBLK(mode);
}

bool lwc_memory_is_limited(struct mm_struct *mm)
{
	MA_STATE(mas, &mm->mm_mt, 0, 0);
	struct vm_area_struct *vma;
	bool limited = false;

	if (!READ_ONCE(objects_are_limited))
		return false;
	mmap_read_lock(mm);
	mas_for_each(&mas, vma, ULONG_MAX) {
		limited = is_limited(vma);
		if (limited)
			break;
	}
	mmap_read_unlock(mm);
	return limited;
}

/* SHARE: what may fail */

/*
 * Is there nothing in the source that its content would have to be taken from?
 * @empty: not even a page of zeroes
 */
static bool is_hole(struct mm_struct *mm, unsigned long address, bool empty, unsigned long *next)
{
	pmd_t *pmd = lwc_find_pmd(mm, address);
	spinlock_t *lock; /* of the page table */
	pte_t *table, pte;

	*next = address + PAGE_SIZE;
	if (!pmd || pmd_none(READ_ONCE(*pmd))) {
		*next = (address & PMD_MASK) + PMD_SIZE;
		return true;
	}
	table = lwc_lock_table(mm, pmd, 0, &lock);
	if (!table)
		return false;
	pte = READ_ONCE(table[pte_index(address)]);
	__acquire(lock);
	spin_unlock(lock);
	return pte_none(pte) || (!empty && pte_present(pte) && is_zero_pfn(pte_pfn(pte)));
}

static bool is_behind_end_of_file(const struct vm_area_struct *vma, unsigned long address)
{
	const loff_t offset = ((loff_t)vma->vm_pgoff << PAGE_SHIFT) + (address - vma->vm_start);

	return vma->vm_file && offset >= i_size_read(file_inode(vma->vm_file));
}

static bool is_pinned(struct mm_struct *mm, struct page *page)
{
	return test_bit(MMF_HAS_PINNED, &mm->flags) && PageAnon(page) &&
	       folio_maybe_dma_pinned(page_folio(page));
}

/* What a file system says when it is memory that has run out. */
static int memory_error(long err)
{
	return err == -ENOSPC ? -ENOMEM : err;
}

static struct batch *batch_with_room(struct piece *piece)
{
	struct batch *batch = list_first_entry_or_null(&piece->batches, struct batch, of_piece);

	if (batch && batch->n < MOVED_PER_BATCH)
		return batch;
	batch = kmalloc(sizeof(*batch), GFP_KERNEL_ACCOUNT);
	if (!batch)
		return NULL;
	batch->n = 0;
	list_add(&batch->of_piece, &piece->batches);
	return batch;
}

/* Holds the page at @address and makes the one that is to take its place. */
static int hold_page(struct piece *piece, struct vm_area_struct *vma, unsigned long address)
{
	struct batch *batch = batch_with_room(piece);
	struct moved *moved;
	unsigned long next;
	int err;

	if (!batch)
		return -ENOMEM;
	moved = &batch->moved[batch->n];
	if (lwc_mm_reads_file(vma) && is_hole(vma->vm_mm, address, true, &next) &&
	    !is_behind_end_of_file(vma, address) && !lwc_mm_is_at_hand(vma, address))
		return -EAGAIN;
	err = lwc_get_page(vma->vm_mm, address, &moved->from);
	if (err == -EFAULT)
		return !vma_is_anonymous(vma) &&
		       is_behind_end_of_file(vma, address) ? 0 : err;
	if (err)
		return err;
	err = -EBUSY;
	if (is_pinned(vma->vm_mm, moved->from) && !lwc_broken(PINNED_IS_SHARED))
		goto put_page;
	moved->to = shmem_read_mapping_page(piece->file->f_mapping,
					    (address - piece->start) >> PAGE_SHIFT);
	err = memory_error(PTR_ERR_OR_ZERO(moved->to));
	if (err)
		goto put_page;
	batch->n++;
	return 0;

put_page:
	put_page(moved->from);
	return err;
}

static int hold_pages(struct piece *piece, struct vm_area_struct *vma)
{
	unsigned long address = piece->start, next;
	int err;

	while (address < piece->end) {
		if (fatal_signal_pending(current))
			return -EINTR;
		cond_resched();
		next = address + PAGE_SIZE;
		if (!vma_is_anonymous(vma) || !is_hole(vma->vm_mm, address, false, &next)) {
			err = hold_page(piece, vma, address);
			if (err)
				return err;
		}
		address = next;
	}
	return 0;
}

static int add_piece(struct lwc_memory *memory, struct vm_area_struct *vma,
		     unsigned long start, unsigned long end)
{
	struct piece *piece;

	if (!can_be_shared(vma))
		return -EOPNOTSUPP;
	piece = kzalloc(sizeof(*piece), GFP_KERNEL_ACCOUNT);
	if (!piece)
		return -ENOMEM;
	INIT_LIST_HEAD(&piece->batches);
	list_add_tail(&piece->of_memory, &memory->pieces);
	piece->start = max(start, vma->vm_start);
	piece->end = min(end, vma->vm_end);
	piece->locked = vma->vm_flags & VM_LOCKED;
	piece->root = vma->anon_vma ? vma->anon_vma->root : NULL;
	piece->origin = vma->vm_file;
	/* What may be promised of it was counted for @vma, or never. */
	piece->file = shmem_file_setup("lwc-shared", piece->end - piece->start,
				       vma->vm_flags & VM_ACCOUNT ? 0 : VM_NORESERVE);
	if (IS_ERR(piece->file)) {
		int err = memory_error(PTR_ERR(piece->file));

		piece->file = NULL;
		return err;
	}
	return hold_pages(piece, vma);
}

static int add_pieces(struct lwc_memory *memory, struct mm_struct *source, unsigned long start,
		      unsigned long end)
{
	MA_STATE(mas, &source->mm_mt, start, start);
	struct vm_area_struct *vma;
	int err;

	mas_for_each(&mas, vma, end - 1) {
		if (!lwc_memory_is_private(vma))
			continue;
		err = add_piece(memory, vma, start, end);
		if (err)
			return err;
	}
	return 0;
}

/* Its lock is none of the two that are held. */
static int split_record(struct mm_struct *record, unsigned long start, unsigned long end)
{
	int err;

	mmap_write_lock_nested(record, LWC_THIRD_MMAP_LOCK);
	err = split_at(record, start, end);
	mmap_write_unlock(record);
	return err;
}

static int split_all(const struct lwc_memory *memory, struct mm_struct *mm,
		     struct mm_struct *source)
{
	const struct piece *piece;
	unsigned int i;
	int err;

	list_for_each_entry(piece, &memory->pieces, of_memory) {
		err = split_at(source, piece->start, piece->end);
		err = err ?: split_at(mm, piece->start, piece->end);
		for (i = 0; !err && i < memory->n_records; i++)
			err = split_record(memory->records[i], piece->start, piece->end);
		if (err)
			return err;
	}
	return 0;
}

/* SHARE: what may not */

/* Makes a private mapping one of the file of @piece. */
static void convert(struct vm_area_struct *vma, const struct piece *piece)
{
	const bool accounted = vma->vm_flags & VM_ACCOUNT;

	vma_start_write(vma);
	kernel_call(zap_page_range_single)(vma, vma->vm_start, vma->vm_end - vma->vm_start, NULL);
	lwc_forget_name(vma);
	if (vma->vm_file) {
		kernel_call(unlink_file_vma)(vma);
		if (vma->vm_ops && vma->vm_ops->close)
			vma->vm_ops->close(vma);
		fput(vma->vm_file);
	}
	kernel_call(unlink_anon_vmas)(vma);

	if (accounted)
		lwc_uncommit_memory(vma_pages(vma));
	change_flags(vma, VM_ACCOUNT | VM_MERGEABLE, VM_SHARED | VM_MAYSHARE);
	vma->vm_pgoff = (vma->vm_start - piece->start) >> PAGE_SHIFT;
	vma->vm_private_data = NULL;
	vma->vm_file = piece->file;
	/* Sets vm_ops; it only refuses files that are sealed. */
	WARN_ON_ONCE(call_mmap(piece->file, vma));
	lwc_mm_link_to_file(vma, NULL);
	kernel_call(vma_set_page_prot)(vma);
}

/* Is @vma what became @piece, and not something that was mapped there before or since? */
static bool is_of_piece(struct vm_area_struct *vma, const struct piece *piece)
{
	return lwc_memory_is_private(vma) && can_be_shared(vma) && vma->vm_file == piece->origin &&
	       (!vma->anon_vma || vma->anon_vma->root == piece->root);
}

static void convert_piece(struct mm_struct *mm, const struct piece *piece)
{
	MA_STATE(mas, &mm->mm_mt, piece->start, piece->start);
	struct vm_area_struct *vma;

	mas_for_each(&mas, vma, piece->end - 1) {
		if (is_of_piece(vma, piece))
			convert(vma, piece);
	}
}

static void copy_content(const struct piece *piece)
{
	const struct batch *batch;
	unsigned long i;

	list_for_each_entry(batch, &piece->batches, of_piece) {
		for (i = 0; i < batch->n && !lwc_broken(SHARED_WITHOUT_CONTENT); i++) {
			copy_highpage(batch->moved[i].to, batch->moved[i].from);
			set_page_dirty(batch->moved[i].to);
		}
		cond_resched();
	}
}

static void convert_all(struct lwc_memory *memory, struct mm_struct *mm, struct mm_struct *source)
{
	const struct piece *piece;
	unsigned int i;

	list_for_each_entry(piece, &memory->pieces, of_memory) {
		convert_piece(source, piece);
		convert_piece(mm, piece);
		for (i = 0; i < memory->n_records; i++) {
			mmap_write_lock_nested(memory->records[i], LWC_THIRD_MMAP_LOCK);
			convert_piece(memory->records[i], piece);
			mmap_write_unlock(memory->records[i]);
		}
		copy_content(piece);
		memory->converted = true;
	}
}

/* Return: how far it got, or the error. */
static long read_in_some(struct mm_struct *source, unsigned long start, unsigned long end)
{
	struct vm_area_struct *vma;
	int locked = 1;
	long n = 1;

	if (mmap_read_lock_killable(source))
		return -EINTR;
	vma = find_vma(source, start);
	if (!vma || vma->vm_start >= end) {
		mmap_read_unlock(source);
		return end;
	}
	start = max(start, vma->vm_start);
	end = min(end, vma->vm_end);
	if (lwc_memory_is_private(vma) && can_be_shared(vma) && lwc_mm_reads_file(vma))
		n = lwc_fault_in(source, start, (end - start) >> PAGE_SHIFT, &locked);
	else
		start = end - PAGE_SIZE;
	/* Behind the end of the file there is nothing; else it cannot be read. */
	if (n < 0 && locked && is_behind_end_of_file(vma, start))
		n = 1;
	if (locked)
		mmap_read_unlock(source);
	if (fatal_signal_pending(current))
		return -EINTR;
	if (n < 0 && locked)
		return n;
	/* What was waited for is found in the next round, or missed where it is wanted. */
	return start + max(n, 1L) * PAGE_SIZE;
}

int lwc_memory_read_in(const struct lwc_memory *memory, struct mm_struct *source)
{
	unsigned long start, end = 0;
	unsigned int mode;
	long next;

	while ((mode = lwc_specs_next_memory(memory->specs, &start, &end)) &&
	       !lwc_broken(FILE_WAITED_FOR)) {
		for (next = start; mode == LWC_SHARE && next < end; cond_resched()) {
			next = read_in_some(source, next, end);
			if (next < 0)
				return next;
		}
	}
	return 0;
}

int lwc_memory_apply(struct lwc_memory *memory, struct mm_struct *mm, struct mm_struct *source)
{
	unsigned long start, end = 0;
	struct xarray limited;
	unsigned int mode;
	int err = 0;

	if (memory->hidden)
		lwc_mm_hide(mm);
	xa_init(&limited);
	while (!err && (mode = lwc_specs_next_memory(memory->specs, &start, &end))) {
		if (mode == LWC_SHARE) {
			err = add_pieces(memory, source, start, end);
			continue;
		}
		err = note_objects(&limited, source, start, end);
		if (!err && mode == LWC_UNMAP)
			err = leave_out(mm, source, start, end);
		else if (!err && mode == LWC_READ)
			err = read_only(mm, start, end, test_bit(MMF_HAS_PINNED, &source->flags));
	}
	err = err ?: split_all(memory, mm, source);
	if (!err) {
		limit_objects(&limited, mm);
		convert_all(memory, mm, source);
	}
	xa_destroy(&limited);
	return err;
}

static void free_piece(struct piece *piece)
{
	struct batch *batch, *next;
	unsigned long i;

	list_for_each_entry_safe(batch, next, &piece->batches, of_piece) {
		for (i = 0; i < batch->n; i++) {
			put_page(batch->moved[i].from);
			put_page(batch->moved[i].to);
		}
		kfree(batch);
	}
	if (piece->file)
		fput(piece->file);
	kfree(piece);
}

void lwc_memory_release(struct lwc_memory *memory, struct mm_struct *source)
{
	struct piece *piece, *next;

	list_for_each_entry_safe(piece, next, &memory->pieces, of_memory) {
		/* Locked memory was there without a fault before. */
		if (piece->locked && memory->converted && source == current->mm)
			kernel_call(__mm_populate)(piece->start, piece->end - piece->start, 1);
		free_piece(piece);
	}
	INIT_LIST_HEAD(&memory->pieces);
	kfree(memory->records);
	memory->records = NULL;
	memory->n_records = 0;
}
