/* SPDX-License-Identifier: GPL-2.0 */
/*
 * tables.h - finds and locks the page table of an address.
 *
 * For any address space whose mmap lock is held; the kernel's own functions for
 * this are not there for modules. Must never make a table.
 */
#ifndef LWC_TABLES_H
#define LWC_TABLES_H

#include <linux/mm.h>
#include <linux/pgtable.h>
#include <linux/swapops.h>

#include "kernel/compat.h"

/**
 * lwc_find_pmd() - the entry that points to the page table of @address
 *
 * Return: it, or NULL where there is none.
 */
static inline pmd_t *lwc_find_pmd(struct mm_struct *mm, unsigned long address)
{
	pgd_t *pgd = pgd_offset(mm, address);
	p4d_t *p4d;
	pud_t *pud;

	if (pgd_none(*pgd) || pgd_bad(*pgd))
		return NULL;
	p4d = p4d_offset(pgd, address);
	if (p4d_none(*p4d) || p4d_bad(*p4d))
		return NULL;
	pud = pud_offset(p4d, address);
	if (pud_none(*pud) || pud_bad(*pud))
		return NULL;
	return pmd_offset(pud, address);
}

/**
 * lwc_is_huge() - does it map a huge page, or is it the place of one?
 */
static inline bool lwc_is_huge(pmd_t pmd)
{
	return pmd_trans_huge(pmd) || pmd_devmap(pmd) || is_swap_pmd(pmd);
}

/**
 * lwc_lock_table() - lock the page table that @pmd points to, if it does
 * @mm: address space
 * @pmd: of lwc_find_pmd(); may be NULL
 * @subclass: for lockdep, of one that is locked beside another
 * @lock: set to what is to be let go, or NULL
 *
 * Return: the table, or NULL.
 */
static __always_inline pte_t *lwc_lock_table(struct mm_struct *mm, pmd_t *pmd,
					     unsigned int subclass, spinlock_t **lock)
{
	pte_t *table = NULL;
	struct page *page;
	pmd_t value;

	*lock = NULL;
	if (unlikely(!pmd))
		return NULL;
	lwc_hold_tables();
	for (;;) {
		value = READ_ONCE(*pmd);
		/* None, a huge page or the place of one: bad as a table. */
		if (unlikely(pmd_bad(value)))
			break;
		page = pfn_to_page((native_pmd_val(value) & PTE_PFN_MASK) >> PAGE_SHIFT);
		*lock = lwc_table_lock(mm, &value, page);
		spin_lock_nested(*lock, subclass);
		if (likely(native_pmd_val(value) == native_pmd_val(READ_ONCE(*pmd)))) {
			table = page_address(page);
			/* Sparse cannot see where it is let go. */
			__release(*lock);
			break;
		}
		spin_unlock(*lock);
		*lock = NULL;
	}
	lwc_let_tables_go();
	return table;
}

#endif /* LWC_TABLES_H */
