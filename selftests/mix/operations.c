// SPDX-License-Identifier: GPL-2.0
/*
 * operations.c - what a worker does, and that it finds what it must.
 *
 * Each context of a worker runs the same loop, on a stack of its own. What a call must
 * answer is known before it is made. Nothing in here may use malloc() or stdio: in a
 * context the locks of another thread stay held.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../descriptors.h"
#include "mix.h"

/* Who the context that runs was entered from, for each worker: each has its own. */
static int callers[WORKERS];

/* Splitmix64: Steele, Lea, Flood, "Fast splittable pseudorandom number generators". */
uint64_t mix_random(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15ull;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

static unsigned int below(struct worker *w, unsigned int n)
{
	return mix_random(&w->random) % n;
}

static bool chance(struct worker *w, unsigned int percent)
{
	return below(w, 100) < percent;
}

static struct worker *worker_here(void)
{
	pid_t tid = syscall(SYS_gettid);
	int i;

	for (i = 0; i < WORKERS; i++)
		if (atomic_load(&mix->workers[i].tid) == tid)
			return &mix->workers[i];
	mix_fail("thread %d is nobody", tid);
}

static struct context *current_of(struct worker *w)
{
	return &w->contexts[w->current];
}

/* What was done, for who wants to know how it came to a failure. */
static void note(struct worker *w, enum operation what, int about)
{
	typeof(w->log[0]) *entry = &w->log[w->n_log++ % LOG];

	entry->what = what;
	entry->context = w->current;
	entry->about = about;
	entry->result = 1;
}

static void expect(struct worker *w, const char *what, long wanted, long result)
{
	w->log[(w->n_log - 1) % LOG].result = result;
	if (result != wanted)
		mix_fail("%s in context %d: %s instead of %s", what, w->current,
			 strerrorname_np(-result) ?: "0", strerrorname_np(-wanted) ?: "0");
}

static void done(enum operation what)
{
	atomic_fetch_add(&mix->done[what], 1);
}

/* Looking */

static volatile uint64_t *word(const struct worker *w, int page, int offset)
{
	return (volatile uint64_t *)(REGION(w->owner) + page * PAGE_SIZE + offset);
}

static const int offsets[] = { 0, 2048, 4088 };

static void put(struct worker *w, int i, uint64_t value)
{
	for (int j = 0; j < 3; j++)
		*word(w, i, offsets[j]) = value;
}

/* The kernel is asked, as nobody may be inside who is told of a signal. */
static bool is_there(const struct worker *w, int i)
{
	return syscall(SYS_access, word(w, i, 0), F_OK) != -1 || errno != EFAULT;
}

static bool is_writable(const struct worker *w, int i)
{
	return !syscall(SYS_clock_getres, CLOCK_MONOTONIC, word(w, i, 1024));
}

static void check_page(struct worker *w, int i)
{
	const struct page *page = &current_of(w)->now.pages[i];
	const uint64_t value = view_value(w, page);
	const bool wanted = page->kind != ABSENT;

	if (is_there(w, i) != wanted)
		mix_fail("page %d in context %d is %s", i, w->current,
			 wanted ? "not there" : "there");
	if (!wanted)
		return;
	for (int j = 0; j < 3; j++)
		if (*word(w, i, offsets[j]) != value)
			mix_fail("page %d (%s) in context %d holds %llx instead of %llx", i,
				 page->kind == SHARED ? "shared" : "private", w->current,
				 (unsigned long long)*word(w, i, offsets[j]),
				 (unsigned long long)value);
	if (!page->writable && is_writable(w, i))
		mix_fail("page %d in context %d can be written to", i, w->current);
	if (page->promised && !mprotect((void *)word(w, i, 0), PAGE_SIZE, PROT_READ | PROT_WRITE))
		mix_fail("page %d in context %d could be made writable", i, w->current);
}

static uint64_t inode_at(int fd)
{
	struct stat s;

	return fstat(fd, &s) ? 0 : s.st_ino;
}

/* What is open in context @i. */
static uint64_t *files_of(struct worker *w, int i)
{
	while (w->contexts[i].shares_files)
		i = w->contexts[i].parent;
	return w->contexts[i].now.files;
}

static void check_files(struct worker *w)
{
	const uint64_t *files = files_of(w, w->current);

	for (int i = 0; i < FILES; i++)
		if (inode_at(FIRST_FILE(w->owner) + i) != files[i])
			mix_fail("file %d in context %d is %llu instead of %llu", i, w->current,
				 (unsigned long long)inode_at(FIRST_FILE(w->owner) + i),
				 (unsigned long long)files[i]);
}

static void check_all(struct worker *w)
{
	for (int i = 0; i < PAGES; i++)
		check_page(w, i);
	check_files(w);
}

/* Contexts */

static int depth(const struct worker *w, int i)
{
	int n = 0;

	while (i) {
		i = w->contexts[i].parent;
		n++;
	}
	return n;
}

/* One that the current context has a descriptor of; 0: none. */
static int pick(struct worker *w)
{
	int found[CONTEXTS], n = 0;

	for (int i = 1; i < CONTEXTS; i++)
		if (w->contexts[i].used && w->contexts[i].parent == w->current)
			found[n++] = i;
	return n ? found[below(w, n)] : 0;
}

static bool has_children(const struct worker *w, int parent)
{
	for (int i = 1; i < CONTEXTS; i++)
		if (w->contexts[i].used && w->contexts[i].parent == parent)
			return true;
	return false;
}

/* The descriptors in @parent's table are gone. */
static void drop_children(struct worker *w, int parent)
{
	for (int i = 1; i < CONTEXTS; i++)
		if (w->contexts[i].used && w->contexts[i].parent == parent) {
			w->contexts[i].used = false;
			drop_children(w, i);
		}
}

static void put_back(struct worker *w, int i)
{
	w->contexts[i].now = w->contexts[i].kept;
	drop_children(w, i);
}

/* What a call that returned in context @i, where this thread came from another, was told. */
static void arrive(struct worker *w, int i, const struct lwc_event *ev)
{
	const bool from_above = w->contexts[i].parent == w->from;

	w->current = i;
	if (ev->reason != LWC_EV_SWITCH || ev->created != -1 || ev->arg != w->sent)
		mix_fail("context %d is told reason %u, created %d, arg %llx", i, ev->reason,
			 ev->created, (unsigned long long)ev->arg);
	if (from_above)
		callers[w - mix->workers] = ev->caller;
	else if (ev->caller != w->contexts[w->from].fd)
		mix_fail("context %d is told of caller %d instead of %d", i, ev->caller,
			 w->contexts[w->from].fd);
}

static struct lwc_spec random_range(struct worker *w, bool memory)
{
	const int n = memory ? PAGES : FILES, from = below(w, n);
	const int to = from + 1 + below(w, n - from);
	struct lwc_spec spec = { .type = memory ? LWC_MEMORY : LWC_FILES };

	if (memory) {
		spec.from = REGION(w->owner) + from * PAGE_SIZE;
		spec.to = REGION(w->owner) + to * PAGE_SIZE;
	} else {
		spec.from = FIRST_FILE(w->owner) + from;
		spec.to = FIRST_FILE(w->owner) + to;
	}
	return spec;
}

/* What is another's is never shared: it would not know. */
static struct lwc_spec of_another(struct worker *w)
{
	static const int modes[] = { LWC_COW, LWC_READ, LWC_UNMAP };
	const int other = (w->owner + 1 + below(w, THREADS - 1)) % THREADS;

	return (struct lwc_spec){
		.type = LWC_MEMORY, .mode = modes[below(w, 3)],
		.from = REGION(other), .to = REGION(other) + (1 + below(w, PAGES)) * PAGE_SIZE,
	};
}

static unsigned int create_specs(struct worker *w, struct lwc_spec *specs, bool *shares_files)
{
	static const int modes[] = { LWC_COW, LWC_SHARE, LWC_READ, LWC_UNMAP };
	const unsigned int n = below(w, SPECS - 1);

	for (unsigned int i = 0; i < n; i++) {
		const bool memory = chance(w, 75);

		if (chance(w, 15)) {
			specs[i] = of_another(w);
			continue;
		}
		specs[i] = random_range(w, memory);
		specs[i].mode = memory ? modes[below(w, 4)] : chance(w, 60) ? LWC_UNMAP : LWC_COW;
		specs[i].flags = chance(w, 50) ? LWC_GRANT : 0;
	}
	/* The last word, and for all of it. */
	if (chance(w, 15)) {
		specs[n] = (struct lwc_spec){ LWC_FILES, LWC_SHARE, 0, 0, UINT64_MAX };
		*shares_files = true;
		return n + 1;
	}
	return n;
}

static unsigned int overlay_specs(struct worker *w, struct lwc_spec *specs)
{
	static const int modes[] = { LWC_COW, LWC_SHARE, LWC_READ };
	const unsigned int n = 1 + below(w, 3);

	for (unsigned int i = 0; i < n; i++) {
		const bool memory = chance(w, 80);

		specs[i] = random_range(w, memory);
		specs[i].mode = memory ? modes[below(w, 3)] : LWC_COW;
	}
	return n;
}

static bool has_room(const struct worker *w)
{
	return w->n_objects + PAGES <= OBJECTS;
}

static void do_create(struct worker *w)
{
	const int parent = w->current;
	struct context *c, made = { .used = true, .placed = true, .parent = parent,
				    .rights = ALL_RIGHTS };
	struct lwc_event ev;
	int i, r;

	for (i = 1; i < CONTEXTS && w->contexts[i].used; i++)
		;
	if (i == CONTEXTS || depth(w, parent) == DEPTH || !has_room(w))
		return;
	note(w, OP_create, i);
	if (chance(w, 40))
		made.flags |= LWC_KEEP;
	if (chance(w, 12))
		made.flags |= LWC_PRIVATE;
	made.n_specs = create_specs(w, made.specs, &made.shares_files);
	r = lwc_create(made.specs, made.n_specs, made.flags, &ev);
	if (!r && ev.reason == LWC_EV_SWITCH) {
		arrive(w, i, &ev);
		return;
	}
	expect(w, "create", 0, r);
	c = &w->contexts[i];
	*c = made;
	c->fd = ev.created;
	view_create(w, &w->contexts[parent].now, files_of(w, parent), &c->now, c->specs,
		    c->n_specs);
	c->kept = c->now;
	done(OP_create);
}

static void do_close(struct worker *w)
{
	const int i = pick(w);

	if (!i)
		return;
	note(w, OP_close, i);
	expect(w, "close", 0, lwc_close(w->contexts[i].fd));
	w->contexts[i].used = false;
	drop_children(w, i);
	done(OP_close);
}

static void do_renew(struct worker *w)
{
	const int i = pick(w), me = w->current;
	struct context *c = &w->contexts[i];
	struct lwc_event ev;
	int r, wanted = 0;

	if (!i || !has_room(w))
		return;
	note(w, OP_renew, i);
	if (!(c->rights & LWC_MAY_KEEP))
		wanted = -EPERM;
	else if (!c->placed)
		wanted = -EINVAL;
	r = lwc_renew(c->fd, 0, &ev);
	if (!r && ev.reason == LWC_EV_SWITCH) {
		arrive(w, i, &ev);
		return;
	}
	expect(w, "renew", wanted, r);
	if (r)
		return;
	if (ev.created != c->fd)
		mix_fail("renew of %d created %d", c->fd, ev.created);
	view_create(w, &w->contexts[me].now, files_of(w, me), &c->now, c->specs, c->n_specs);
	c->kept = c->now;
	drop_children(w, i);
	done(OP_renew);
}

static void do_keep(struct worker *w)
{
	const int i = pick(w);
	struct context *c = &w->contexts[i];
	int wanted = 0;

	/* What becomes of descriptors in a kept table is not known here. */
	if (!i || !c->placed || has_children(w, i))
		return;
	note(w, OP_keep, i);
	if (!(c->rights & LWC_MAY_KEEP))
		wanted = -EPERM;
	else if (!(c->flags & LWC_KEEP))
		wanted = -EINVAL;
	expect(w, "keep", wanted, lwc_keep(c->fd));
	if (wanted)
		return;
	c->kept = c->now;
	done(OP_keep);
}

/*
 * Goes to the context that @fd names, and on here when control comes back. With @flags
 * context @reset is put back on the way.
 */
static void go(struct worker *w, enum operation what, int fd, unsigned int flags, int reset,
	       int wanted)
{
	static const char * const names[2][2] = {
		{ "enter", "enter afresh" }, { "leave", "leave, discarding" },
	};
	const int me = w->current;
	struct lwc_event ev;
	int r;

	w->sent = mix_random(&w->random);
	w->from = me;
	if (!wanted && flags)
		put_back(w, reset);
	if (!wanted)
		done(what);
	r = lwc_switch(fd, flags, w->sent, &ev);
	if (!r && !wanted)
		arrive(w, me, &ev);
	else
		expect(w, names[what == OP_leave][flags != 0], wanted, r);
}

static void do_enter(struct worker *w)
{
	const int i = pick(w);
	const struct context *c = &w->contexts[i];
	unsigned int flags = 0;
	int wanted = 0;

	if (!i)
		return;
	note(w, OP_enter, i);
	if (c->flags & LWC_KEEP ? chance(w, 40) : chance(w, 4))
		flags = LWC_FRESH;
	if (!(c->rights & LWC_MAY_SWITCH) || (flags && !(c->rights & LWC_MAY_KEEP)))
		wanted = -EPERM;
	else if (flags && !(c->flags & LWC_KEEP))
		wanted = -EINVAL;
	else if (!c->placed)
		wanted = -ENXIO;
	go(w, OP_enter, c->fd, flags, i, wanted);
}

static void leave(struct worker *w, bool discard)
{
	const struct context *c = current_of(w);

	note(w, OP_leave, c->parent);
	go(w, OP_leave, callers[w - mix->workers], discard ? LWC_DISCARD : 0, w->current,
	   discard && !(c->flags & LWC_KEEP) ? -EINVAL : 0);
}

static void do_leave(struct worker *w)
{
	if (w->current)
		leave(w, current_of(w)->flags & LWC_KEEP ? chance(w, 40) : chance(w, 4));
}

static void do_overlay(struct worker *w)
{
	const int i = pick(w);
	struct context *c = &w->contexts[i];
	struct lwc_spec specs[SPECS];
	unsigned int n;
	int wanted = 0;

	if (!i || !has_room(w))
		return;
	note(w, OP_overlay, i);
	n = overlay_specs(w, specs);
	if (!(c->rights & LWC_MAY_OVERLAY))
		wanted = -EPERM;
	else if (c->n_allowed && !view_grants(w, c->allowed, c->n_allowed, specs, n))
		wanted = -EPERM;
	expect(w, "overlay", wanted, lwc_overlay(c->fd, specs, n));
	if (wanted)
		return;
	view_overlay(w, &c->now, &current_of(w)->now, specs, n);
	view_overlay_files(w, files_of(w, i), files_of(w, w->current), specs, n);
	done(OP_overlay);
}

/*
 * May context @c overlay that from who made it? Where the descriptor of that stands in the
 * same table, the two know it by that one.
 */
static bool may_take(struct worker *w, const struct context *c, const struct lwc_spec *specs,
		     unsigned int n)
{
	const struct context *parent = &w->contexts[c->parent];

	if (!c->parent || !(parent->rights & LWC_MAY_SWITCH) ||
	    files_of(w, w->current) != files_of(w, parent->parent))
		return view_grants(w, c->specs, c->n_specs, specs, n);
	return parent->rights & LWC_MAY_OVERLAY &&
	       (!parent->n_allowed ||
		view_grants(w, parent->allowed, parent->n_allowed, specs, n));
}

static void do_overlay_granted(struct worker *w)
{
	struct context *c = current_of(w);
	struct lwc_spec specs[SPECS];
	unsigned int n;
	int wanted = 0;

	if (!w->current || !has_room(w))
		return;
	note(w, OP_overlay_granted, c->parent);
	n = overlay_specs(w, specs);
	/* By chance hardly anything is granted whole. */
	if (c->n_specs && chance(w, 70)) {
		const struct lwc_spec *line = &c->specs[below(w, c->n_specs)];

		if (line->flags & LWC_GRANT) {
			n = 1;
			specs[0] = *line;
			specs[0].flags = 0;
			specs[0].mode = line->type == LWC_MEMORY && chance(w, 50) ?
					LWC_READ : LWC_COW;
		}
	}
	if (!may_take(w, c, specs, n))
		wanted = -EPERM;
	expect(w, "overlay of what was granted", wanted,
	       lwc_overlay(callers[w - mix->workers], specs, n));
	if (wanted)
		return;
	view_overlay(w, &w->contexts[c->parent].now, &c->now, specs, n);
	view_overlay_files(w, files_of(w, c->parent), files_of(w, w->current), specs, n);
	done(OP_overlay_granted);
}

static void do_restrict(struct worker *w)
{
	static const int modes[] = { LWC_COW, LWC_READ, LWC_UNMAP };
	const int i = pick(w);
	struct context *c = &w->contexts[i];
	const unsigned int rights = ALL_RIGHTS & ~(1u << below(w, 5));
	struct lwc_spec specs[SPECS] = { 0 };
	unsigned int n = 0;
	int wanted = 0;

	if (!i)
		return;
	note(w, OP_restrict, i);
	if (!(c->rights & LWC_MAY_RESTRICT))
		wanted = -EPERM;
	/* Once: what remains of two lists is not known here. */
	while (!c->n_allowed && n < SPECS && chance(w, 60)) {
		const bool memory = chance(w, 75);

		specs[n] = random_range(w, memory);
		specs[n].mode = memory ? modes[below(w, 3)] : LWC_COW;
		n++;
	}
	expect(w, "restrict", wanted, lwc_restrict(c->fd, rights, specs, n));
	if (wanted)
		return;
	c->rights &= rights;
	if (n) {
		c->n_allowed = n;
		memcpy(c->allowed, specs, n * sizeof(*specs));
		for (unsigned int j = 0; j < n; j++)
			c->allowed[j].flags = specs[j].mode == LWC_UNMAP ? 0 : LWC_GRANT;
	}
	done(OP_restrict);
}

/* Descriptors that go around */

static void do_send(struct worker *w)
{
	const int i = pick(w);
	int r;

	if (!i)
		return;
	note(w, OP_send, i);
	r = send_descriptor_with(SOCKET_OUT, w->contexts[i].fd, w->owner, MSG_DONTWAIT);
	if (!r)
		done(OP_send);
	else if (r != -EAGAIN && r != -ETOOMANYREFS)
		mix_fail("a descriptor cannot be sent: %s", strerrorname_np(-r));
}

/* By a capability of a context that another thread uses, restricts and closes meanwhile. */
static void expect_one_of(struct worker *w, const char *what, long result, const int *errors)
{
	w->log[(w->n_log - 1) % LOG].result = result;
	while (*errors)
		if (result == -*errors++)
			return;
	mix_fail("%s of another's context in %d: %s", what, w->current,
		 strerrorname_np(-result) ?: "0");
}

static void fresh_pages(struct worker *w, int from, int n)
{
	void *p = (void *)word(w, from, 0);

	if (mmap(p, n * PAGE_SIZE, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != p)
		mix_fail("mmap: %s", strerrorname_np(errno));
	for (int i = from; i < from + n; i++)
		current_of(w)->now.pages[i] = (struct page){ .kind = PRIVATE, .writable = true };
}

/*
 * What another's context has of this one's region is what was there when that was made,
 * perhaps in the middle of a write: so it is some value of that page, and made anew.
 */
static void overlay_another(struct worker *w, int fd)
{
	static const int modes[] = { LWC_COW, LWC_SHARE, LWC_READ };
	static const int errors[] = { EPERM, ESRCH, EBUSY, ENOTRECOVERABLE, 0 };
	struct lwc_spec spec = random_range(w, true);
	const int first = (spec.from - REGION(w->owner)) / PAGE_SIZE;
	const int n = (spec.to - spec.from) / PAGE_SIZE;
	uint64_t value;
	long r;

	spec.mode = modes[below(w, 3)];
	r = lwc_overlay(fd, &spec, 1);
	if (r) {
		expect_one_of(w, "overlay", r, errors);
		return;
	}
	for (int i = first; i < first + n; i++)
		for (int j = 0; j < 3 && is_there(w, i); j++) {
			value = *word(w, i, offsets[j]);
			if (value && value >> 48 != (uint64_t)w->owner + 1)
				mix_fail("page %d of another's context held %llx", i,
					 (unsigned long long)value);
		}
	fresh_pages(w, first, n);
}

static void do_receive(struct worker *w)
{
	static const int switch_errors[] = { EPERM, ESRCH, ENXIO, ENOTRECOVERABLE, 0 };
	static const int renew_errors[] = { EPERM, ESRCH, EINVAL, EBUSY, 0 };
	struct lwc_event ev;
	char sender;
	int fd;

	note(w, OP_receive, 0);
	fd = take_descriptor_with(SOCKET_IN, &sender, MSG_DONTWAIT);
	if (fd == -EPROTO)
		mix_fail("a message has come without its descriptor");
	if (fd < 0)
		return;
	if (sender != w->owner) {
		switch (below(w, 4)) {
		case 0:
			expect_one_of(w, "switch", lwc_switch(fd, 0, 0, &ev), switch_errors);
			break;
		case 1:
			expect_one_of(w, "renew", lwc_renew(fd, 0, &ev), renew_errors);
			break;
		default:
			overlay_another(w, fd);
		}
	}
	expect(w, "close", 0, lwc_close(fd));
	done(OP_receive);
}

/* Memory and files */

static void do_write(struct worker *w)
{
	int i, n = 1 + below(w, 6);

	note(w, OP_write, n);
	while (n--) {
		struct page *page = &current_of(w)->now.pages[i = below(w, PAGES)];
		const uint64_t value = ((uint64_t)w->owner + 1) << 48 | (uint64_t)i << 40 |
				       ++w->versions;

		if (page->kind == ABSENT || !page->writable)
			continue;
		check_page(w, i);
		view_write(w, page, value);
		put(w, i, value);
		done(OP_write);
	}
}

static void do_protect(struct worker *w)
{
	const int i = below(w, PAGES);
	struct page *page = &current_of(w)->now.pages[i];
	const bool writable = chance(w, 60);

	if (page->kind == ABSENT || page->promised)
		return;
	note(w, OP_protect, i);
	if (mprotect((void *)word(w, i, 0), PAGE_SIZE, PROT_READ | (writable ? PROT_WRITE : 0)))
		mix_fail("mprotect: %s", strerrorname_np(errno));
	page->writable = writable;
	done(OP_protect);
}

static void do_map(struct worker *w)
{
	const int n = 1 + below(w, 4);

	note(w, OP_map, n);
	fresh_pages(w, below(w, PAGES - n), n);
	done(OP_map);
}

static void do_unmap(struct worker *w)
{
	const int i = below(w, PAGES);

	note(w, OP_unmap, i);
	if (munmap((void *)word(w, i, 0), PAGE_SIZE))
		mix_fail("munmap: %s", strerrorname_np(errno));
	current_of(w)->now.pages[i] = (struct page){ .kind = ABSENT };
	done(OP_unmap);
}

static void do_open(struct worker *w)
{
	const int i = below(w, FILES), at = FIRST_FILE(w->owner) + i;
	uint64_t *file = &files_of(w, w->current)[i];
	int fd;

	note(w, OP_open, i);
	if (*file && chance(w, 50)) {
		close(at);
		*file = 0;
		return;
	}
	fd = memfd_create("mix", MFD_CLOEXEC);
	if (fd < 0 || dup3(fd, at, O_CLOEXEC) != at)
		mix_fail("memfd: %s", strerrorname_np(errno));
	close(fd);
	*file = inode_at(at);
	done(OP_open);
}

/* Processes and threads */

/* What @parent knows here and now; it may go on before the child reads it. */
static void prepare_child(struct worker *w, struct worker *child)
{
	child->random = mix_random(&w->random);
	memcpy(child->contexts, w->contexts, sizeof(w->contexts));
	child->child = true;
	child->owner = w->owner;
	child->current = w->current;
	child->over = false;
	child->left = 10 + below(w, 20);
	child->versions = w->versions;
	child->n_objects = 0;
	child->n_log = 0;
}

/* A child is the only thread of its process, and where it begins is its root context. */
static void begin_child(struct worker *w)
{
	static const int errors[] = { ESRCH, EPERM, 0 };
	const int begun = w->current;
	struct lwc_event ev;

	atomic_store(&w->tid, syscall(SYS_gettid));
	for (int i = 1; i < CONTEXTS; i++) {
		const struct context *c = &w->contexts[i];

		if (!c->used || c->parent != begun)
			continue;
		note(w, OP_fork, i);
		/* It is the same open descriptor, which the parent may restrict by now. */
		expect_one_of(w, "switch", lwc_switch(c->fd, 0, 0, &ev), errors);
		expect(w, "close the parent's", 0, lwc_close(c->fd));
	}
	memcpy(w->contexts[begun].now.files, files_of(w, begun), sizeof(w->contexts[0].now.files));
	w->contexts[0] = w->contexts[begun];
	w->contexts[0].flags = 0;
	w->contexts[0].shares_files = false;
	w->current = 0;
	for (int i = 1; i < CONTEXTS; i++)
		w->contexts[i].used = false;
	/* What is shared the parent writes to. */
	for (int i = 0; i < PAGES; i++)
		if (w->contexts[0].now.pages[i].kind == SHARED)
			fresh_pages(w, i, 1);
	check_all(w);
}

/*
 * The C library's fork() would wait for what another thread held when this context was
 * made.
 */
static void do_fork(struct worker *w)
{
	struct worker *child = NULL;
	int status = 0;
	pid_t pid;

	for (int i = THREADS; i < WORKERS && !child; i++) {
		int nobody = 0;

		if (atomic_compare_exchange_strong(&mix->workers[i].tid, &nobody, -1))
			child = &mix->workers[i];
	}
	if (!child)
		return;
	note(w, OP_fork, child - mix->workers);
	prepare_child(w, child);
	pid = syscall(SYS_fork);
	if (pid < 0)
		mix_fail("fork: %s", strerrorname_np(errno));
	if (!pid) {
		begin_child(child);
		return;
	}
	done(OP_fork);
	/* Else whoever waits for all does. */
	if (chance(w, 60) && (syscall(SYS_wait4, pid, &status, 0, NULL) != pid || status))
		mix_fail("child %d ended with status %#x", pid, status);
}

/* Here and now: not through the C library, which would clean up in the wrong memory. */
static void do_end(struct worker *w)
{
	note(w, OP_end, 0);
	done(OP_end);
	if (w->current)
		atomic_fetch_add(&mix->ended_inside, 1);
	w->over = true;
	if (!w->child && !w->current)
		return;
	if (w->child) {
		atomic_store(&w->tid, 0);
		_exit(0);
	}
	syscall(SYS_exit, 0);
}

static void one(struct worker *w)
{
	static const struct {
		unsigned int weight;
		void (*run)(struct worker *w);
	} operations[] = {
#define LINE(name, weight) { weight, do_##name },
		MIX_OPERATIONS(LINE)
#undef LINE
	};
	unsigned int sum = 0, i, n;

	for (i = 0; i < OPERATIONS; i++)
		sum += operations[i].weight;
	n = below(w, sum);
	for (i = 0; n >= operations[i].weight; i++)
		n -= operations[i].weight;
	operations[i].run(w);
}

/* After a fork, and where a context begins, the thread is another worker or elsewhere. */
void mix_work(void)
{
	struct worker *w;

	while (w = worker_here(), w->left > 0 && !w->over) {
		w->left--;
		if (mix->ending == EXITS && w == mix->workers && w->left == mix->exits_at)
			_exit(EXIT_EARLY);
		one(w);
		w = worker_here();
		if (chance(w, 12))
			check_all(w);
		else
			check_page(w, below(w, PAGES));
	}
	while (w->current)
		leave(w, false);
	check_all(w);
	if (w->child) {
		atomic_store(&w->tid, 0);
		_exit(0);
	}
}
