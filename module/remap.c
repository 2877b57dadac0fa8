// SPDX-License-Identifier: GPL-2.0
/*
 * remap.c - keeps remap_file_pages(2) from what a context was not shown of an object.
 *
 * It is the one call by which a mapping can come to show another part of its object.
 * Looking at the mapping in question would not do: another thread may move one there.
 * So it is refused where any mapping is limited, and it and the call that limits one in
 * memory that is in use wait for each other.
 *
 * Must never wait for somebody in other memory.
 */
#include <linux/list.h>
#include <linux/sched.h>
#include <linux/spinlock.h>
#include <linux/wait.h>

#include "kernel/hook.h"
#include "kernel/symbols.h"
#include "memory.h"
#include "remap.h"
#include "stats.h"

DEFINE_STATIC_CALL_NULL(original_remap, __x64_sys_remap_file_pages);
#ifdef CONFIG_IA32_EMULATION
DEFINE_STATIC_CALL_NULL(original_remap_ia32, __ia32_sys_remap_file_pages);
#endif

static DEFINE_SPINLOCK(users_lock); /* over both lists */
static LIST_HEAD(remapping);
static LIST_HEAD(limiting);
static DECLARE_WAIT_QUEUE_HEAD(users_changed);

/* On @own, unless somebody on @other is at the same memory. */
static bool try_begin(struct lwc_remap_user *user, struct list_head *own,
		      const struct list_head *other)
{
	const struct lwc_remap_user *there;
	bool alone = true;

	spin_lock(&users_lock);
	list_for_each_entry(there, other, of_kind)
		alone = alone && there->mm != user->mm;
	if (alone)
		list_add(&user->of_kind, own);
	spin_unlock(&users_lock);
	return alone;
}

static int begin(struct lwc_remap_user *user, struct list_head *own,
		 const struct list_head *other)
{
	user->mm = current->mm;
	return wait_event_killable(users_changed, try_begin(user, own, other)) ? -EINTR : 0;
}

int lwc_remap_exclude(struct lwc_remap_user *user)
{
	return begin(user, &limiting, &remapping);
}

void lwc_remap_end(struct lwc_remap_user *user)
{
	spin_lock(&users_lock);
	list_del(&user->of_kind);
	spin_unlock(&users_lock);
	wake_up_all(&users_changed);
}

/* Return: 0, to be followed by lwc_remap_end(); or the error. */
static int begin_remap(struct lwc_remap_user *user)
{
	int err = begin(user, &remapping, &limiting);

	if (err)
		return err;
	if (!lwc_memory_is_limited(current->mm))
		return 0;
	lwc_remap_end(user);
	lwc_count(refusals);
	return -EPERM;
}

static long guarded_remap(const struct pt_regs *regs)
{
	struct lwc_remap_user user;
	long err;

	lwc_hook_enter();
	err = begin_remap(&user);
	if (!err) {
		err = static_call(original_remap)(regs);
		lwc_remap_end(&user);
	}
	lwc_hook_leave();
	return err;
}

#ifdef CONFIG_IA32_EMULATION
static long guarded_remap_ia32(const struct pt_regs *regs)
{
	struct lwc_remap_user user;
	long err;

	lwc_hook_enter();
	err = begin_remap(&user);
	if (!err) {
		err = static_call(original_remap_ia32)(regs);
		lwc_remap_end(&user);
	}
	lwc_hook_leave();
	return err;
}
#endif

static bool concerns_all(const struct pt_regs *regs)
{
	return true;
}

enum {
	HOOK_REMAP,
#ifdef CONFIG_IA32_EMULATION
	HOOK_REMAP_IA32,
#endif
	N_HOOKS
};

static struct lwc_hook hooks[N_HOOKS] = {
	[HOOK_REMAP] = {
		.name = "__x64_sys_remap_file_pages",
		.concerns = concerns_all,
		.replacement = guarded_remap,
	},
#ifdef CONFIG_IA32_EMULATION
	[HOOK_REMAP_IA32] = {
		.name = "__ia32_sys_remap_file_pages",
		.concerns = concerns_all,
		.replacement = guarded_remap_ia32,
	},
#endif
};

int lwc_remap_init(void)
{
	int err = lwc_hooks_find(hooks, N_HOOKS);

	if (err)
		return err;
	static_call_update(original_remap,
			   (typeof(__x64_sys_remap_file_pages) *)hooks[HOOK_REMAP].original);
#ifdef CONFIG_IA32_EMULATION
	static_call_update(original_remap_ia32, (typeof(__ia32_sys_remap_file_pages) *)
						hooks[HOOK_REMAP_IA32].original);
#endif
	return lwc_hooks_install(hooks, N_HOOKS);
}

void lwc_remap_exit(void)
{
	lwc_hooks_remove(hooks, N_HOOKS);
}
