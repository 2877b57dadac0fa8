// SPDX-License-Identifier: GPL-2.0
/*
 * view.c - what a context must see, by what the manual pages say of specs.
 *
 * Nothing here looks at real memory, nor at what the module answers.
 */
#include "mix.h"

uint64_t view_value(struct worker *w, const struct page *page)
{
	return page->kind == SHARED ? w->objects[page->value] : page->value;
}

void view_write(struct worker *w, struct page *page, uint64_t value)
{
	if (page->kind == SHARED)
		w->objects[page->value] = value;
	else
		page->value = value;
}

static uint64_t page_address(const struct worker *w, int i)
{
	return REGION(w->owner) + i * PAGE_SIZE;
}

/* The line that counts for what is at @at; NULL if none names it. */
static const struct lwc_spec *line_of(const struct lwc_spec *specs, unsigned int n,
				      unsigned int type, uint64_t at)
{
	const struct lwc_spec *line = NULL;
	unsigned int i;

	for (i = 0; i < n; i++)
		if (specs[i].type == type && at >= specs[i].from && at < specs[i].to)
			line = &specs[i];
	return line;
}

static unsigned int mode_of(const struct lwc_spec *specs, unsigned int n, unsigned int type,
			    uint64_t at)
{
	const struct lwc_spec *line = line_of(specs, n, type, at);

	return line ? line->mode : 0;
}

/* What nobody can write to is shared as it is. */
static void share(struct worker *w, struct page *page)
{
	if (page->kind != PRIVATE || page->promised)
		return;
	w->objects[w->n_objects] = page->value;
	page->kind = SHARED;
	page->value = w->n_objects++;
}

static struct page seen(struct worker *w, struct page *from, unsigned int mode)
{
	struct page to;

	if (mode == LWC_SHARE)
		share(w, from);
	to = *from;
	if (mode == LWC_READ) {
		to.writable = false;
		to.promised = true;
	}
	if (mode == LWC_UNMAP || to.kind == ABSENT)
		to = (struct page){ .kind = ABSENT };
	return to;
}

void view_create(struct worker *w, struct view *from, const uint64_t *files, struct view *to,
		 const struct lwc_spec *specs, unsigned int n)
{
	int i;

	for (i = 0; i < PAGES; i++)
		to->pages[i] = seen(w, &from->pages[i],
				    mode_of(specs, n, LWC_MEMORY, page_address(w, i)));
	for (i = 0; i < FILES; i++)
		to->files[i] = mode_of(specs, n, LWC_FILES, FIRST_FILE(w->owner) + i) == LWC_UNMAP ?
			       0 : files[i];
}

void view_overlay(struct worker *w, struct view *from, struct view *to,
		  const struct lwc_spec *specs, unsigned int n)
{
	unsigned int mode;
	int i;

	for (i = 0; i < PAGES; i++) {
		mode = mode_of(specs, n, LWC_MEMORY, page_address(w, i));
		if (mode && mode != LWC_UNMAP)
			to->pages[i] = seen(w, &from->pages[i], mode);
	}
}

void view_overlay_files(struct worker *w, const uint64_t *from, uint64_t *to,
			const struct lwc_spec *specs, unsigned int n)
{
	int i;

	for (i = 0; i < FILES; i++)
		if (mode_of(specs, n, LWC_FILES, FIRST_FILE(w->owner) + i) && from[i])
			to[i] = from[i];
}

static bool is_granted(const struct lwc_spec *line, unsigned int mode)
{
	if (!line || !(line->flags & LWC_GRANT))
		return false;
	return line->mode != LWC_READ || mode == LWC_READ;
}

bool view_grants(struct worker *w, const struct lwc_spec *granted, unsigned int n_granted,
		 const struct lwc_spec *specs, unsigned int n)
{
	unsigned int mode;
	uint64_t at;
	int i;

	for (i = 0; i < PAGES; i++) {
		at = page_address(w, i);
		mode = mode_of(specs, n, LWC_MEMORY, at);
		if (mode && !is_granted(line_of(granted, n_granted, LWC_MEMORY, at), mode))
			return false;
	}
	for (i = 0; i < FILES; i++) {
		at = FIRST_FILE(w->owner) + i;
		mode = mode_of(specs, n, LWC_FILES, at);
		if (mode && !is_granted(line_of(granted, n_granted, LWC_FILES, at), mode))
			return false;
	}
	return true;
}
