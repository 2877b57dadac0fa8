/* SPDX-License-Identifier: GPL-2.0 */
/*
 * create.h - contexts are made, made anew, named and restricted.
 */
#ifndef LWC_CREATE_H
#define LWC_CREATE_H

#include <linux/lwc.h>

struct lwc_descriptor;

/* What works, for LWC_IOC_FEATURES. */
#define LWC_CREATE_FLAGS		(LWC_TRAP_SYSCALLS | LWC_TRAP_FAULTS | LWC_KEEP | \
					 LWC_FORK | LWC_PRIVATE)
#define LWC_WORKING_CREATE_FLAGS	(LWC_TRAP_FAULTS | LWC_KEEP | LWC_PRIVATE)

/* The calls of uapi/linux/lwc.h; arguments are checked for size alone. */
long lwc_create(const struct lwc_create_args *args);
long lwc_renew(struct lwc_descriptor *descriptor, const struct lwc_renew_args *args);
long lwc_self(void);
long lwc_restrict(struct lwc_descriptor *descriptor, const struct lwc_restrict_args *args);

#endif /* LWC_CREATE_H */
