// SPDX-License-Identifier: GPL-2.0
/*
 * kernel/symbols.c - resolves what symbols.h lists.
 *
 * Must never leave a static call unset: a missing symbol fails the load.
 */
#include <linux/kallsyms.h>
#include <linux/kprobes.h>
#include <linux/utsname.h>

#include "kernel/symbols.h"

#define LWC_DEFINE_SYMBOL(symbol)	DEFINE_STATIC_CALL_NULL(lwc_##symbol, symbol);
LWC_SYMBOLS(LWC_DEFINE_SYMBOL)
DEFINE_STATIC_CALL_NULL(lwc_kallsyms_lookup_name, kallsyms_lookup_name);

/* An address that the kernel itself calls indirectly, so never sealed. */
typeof(do_no_restart_syscall) *lwc_do_no_restart_syscall;
struct percpu_counter *lwc_committed;
const int *lwc_max_map_count;

unsigned long lwc_symbol_address(const char *name)
{
	return static_call(lwc_kallsyms_lookup_name)(name);
}

/* A kprobe is the one door through which a module learns an address. */
static unsigned long kallsyms_address(void)
{
	struct kprobe probe = { .symbol_name = "kallsyms_lookup_name" };
	unsigned long address;

	if (register_kprobe(&probe))
		return 0;
	address = (unsigned long)probe.addr;
	unregister_kprobe(&probe);
	return address;
}

static unsigned long resolve(const char *name)
{
	unsigned long address = lwc_symbol_address(name);

	if (!address)
		pr_err("kernel %s has no symbol '%s', which contexts need; not loaded\n",
		       utsname()->release, name);
	return address;
}

int lwc_symbols_resolve(void)
{
	unsigned long address = kallsyms_address();

	if (!address) {
		pr_err("kernel %s does not let a kprobe find 'kallsyms_lookup_name' (CONFIG_KPROBES, CONFIG_KALLSYMS_ALL?); not loaded\n",
		       utsname()->release);
		return -ENOENT;
	}
	static_call_update(lwc_kallsyms_lookup_name,
			   (typeof(kallsyms_lookup_name) *)address);

#define LWC_RESOLVE_SYMBOL(symbol)					\
	address = resolve(#symbol);					\
	if (!address)							\
		return -ENOENT;						\
	static_call_update(lwc_##symbol, (typeof(symbol) *)address);
	LWC_SYMBOLS(LWC_RESOLVE_SYMBOL)
#undef LWC_RESOLVE_SYMBOL

	address = resolve("do_no_restart_syscall");
	if (!address)
		return -ENOENT;
	lwc_do_no_restart_syscall = (typeof(do_no_restart_syscall) *)address;
	lwc_committed = (struct percpu_counter *)resolve("vm_committed_as");
	lwc_max_map_count = (const int *)resolve("sysctl_max_map_count");
	if (!lwc_committed || !lwc_max_map_count)
		return -ENOENT;
	return 0;
}
