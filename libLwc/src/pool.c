// SPDX-License-Identifier: MIT
/*
 * pool.c - pools: a function that runs in a fresh context each time.
 *
 * A context can be entered by the thread that made it, so each thread has one of
 * its own, made when it first needs it. Threads claim their slots without a lock.
 * What a slot says is copied into the context that is made for it: it must never
 * hold the context's descriptor then, which names something else there.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <lwc.h>
#include <urcu/uatomic.h>

#include "mask.h"
#include "syscall.h"

/* Slots of different threads share no cache line. */
struct slot {
	struct lwc_pool *pool;
	int taken;
	int ctx;	/* -1: none */
} __attribute__((aligned(64)));

struct lwc_pool {
	pthread_key_t key;
	long (*fn)(void *state, uint64_t arg);
	void *state;
	struct lwc_spec *specs;
	unsigned n;
	unsigned contexts;
	struct slot slots[];
};

static void forget(struct slot *slot)
{
	if (slot->ctx >= 0)
		lwc_close(slot->ctx);
	slot->ctx = -1;
}

/* A thread that has one ends. */
static void give_back(void *arg)
{
	struct slot *slot = arg;

	forget(slot);
	uatomic_xchg(&slot->taken, 0);
}

static struct slot *take(struct lwc_pool *pool)
{
	unsigned i;

	for (i = 0; i < pool->contexts; i++) {
		struct slot *slot = &pool->slots[i];

		if (uatomic_read(&slot->taken) || uatomic_cmpxchg(&slot->taken, 0, 1))
			continue;
		if (!pthread_setspecific(pool->key, slot))
			return slot;
		uatomic_xchg(&slot->taken, 0);
		return NULL;
	}
	return NULL;
}

/* In the context, each time from here: it goes back to here before the next. */
static _Noreturn void serve(struct lwc_pool *pool, struct lwc_event *ev)
{
	lwc_switch(ev->caller, 0, pool->fn(pool->state, ev->arg), ev);
	/* It cannot go back, and behind this there is another context's code. */
	__builtin_trap();
}

static int make(struct slot *slot)
{
	struct lwc_pool *pool = slot->pool;
	struct lwc_features f = { .size = sizeof(f) };
	struct lwc_event ev;
	mask_t before;
	int r;

	r = lwc_features(&f);
	if (r)
		return r;
	slot->ctx = -1;
	before = set_mask(ALL_SIGNALS);
	set_mask(mask_inside(before));
	r = lwc_create(pool->specs, pool->n, LWC_KEEP | (f.create_flags & LWC_TRAP_FAULTS), &ev);
	if (!r && ev.reason == LWC_EV_SWITCH)
		serve(pool, &ev);
	set_mask(before);
	if (!r)
		slot->ctx = ev.created;
	return r;
}

/* Does the number mean nothing here, or something else? As after fork(2). */
static int is_lost(int r)
{
	return r == -EBADF || r == -ESRCH || r == -EPERM || r == -EINVAL || r == -ENXIO ||
	       r == -EDEADLK;
}

static int run(struct slot *slot, uint64_t arg, struct lwc_event *ev)
{
	int r = -EBADF;

	if (slot->ctx >= 0)
		r = lwc_switch(slot->ctx, LWC_FRESH, arg, ev);
	if (!is_lost(r))
		return r;
	/* It is this one, but another process's, or with what keeps it from going back. */
	if (r == -ESRCH || r == -EINVAL)
		forget(slot);
	r = make(slot);
	return r ? r : lwc_switch(slot->ctx, LWC_FRESH, arg, ev);
}

int lwc_pool_open(const struct lwc_spec *specs, unsigned n, unsigned contexts,
		  long (*fn)(void *state, uint64_t arg), void *state, struct lwc_pool **pool)
{
	struct lwc_pool *made;
	size_t size;
	unsigned i;
	int r;

	if (!pool || !fn || (!specs && n))
		return -EFAULT;
	if (n > LWC_MAX_SPECS)
		return -E2BIG;
	if (!contexts)
		return -EINVAL;
	if (__builtin_mul_overflow((size_t)contexts, sizeof(struct slot), &size) ||
	    __builtin_add_overflow(size, sizeof(*made), &size))
		return -ENOMEM;
	made = aligned_alloc(sizeof(struct slot), (size + 63) & ~(size_t)63);
	if (!made)
		return -ENOMEM;
	memset(made, 0, size);
	made->specs = n ? malloc(n * sizeof(*specs)) : NULL;
	r = n && !made->specs ? ENOMEM : pthread_key_create(&made->key, give_back);
	if (r) {
		free(made->specs);
		free(made);
		return -r;
	}
	if (n)
		memcpy(made->specs, specs, n * sizeof(*specs));
	made->n = n;
	made->fn = fn;
	made->state = state;
	made->contexts = contexts;
	for (i = 0; i < contexts; i++)
		made->slots[i] = (struct slot){ .pool = made, .ctx = -1 };
	*pool = made;
	return 0;
}

int lwc_pool_run(struct lwc_pool *pool, uint64_t arg, long *result)
{
	struct lwc_event ev;
	struct slot *slot;
	int r;

	if (!pool)
		return -EFAULT;
	slot = pthread_getspecific(pool->key);
	if (!slot)
		slot = take(pool);
	if (!slot)
		return -EAGAIN;
	r = run(slot, arg, &ev);
	if (r)
		return r;
	if (ev.reason == LWC_EV_FAULT)
		return -EFAULT;
	if (result)
		*result = (long)ev.arg;
	return 0;
}

int lwc_pool_close(struct lwc_pool *pool)
{
	unsigned i;

	if (!pool)
		return -EFAULT;
	/* From here on the end of a thread is nothing to it. */
	pthread_key_delete(pool->key);
	for (i = 0; i < pool->contexts; i++)
		forget(&pool->slots[i]);
	free(pool->specs);
	free(pool);
	return 0;
}
