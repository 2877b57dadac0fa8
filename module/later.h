/* SPDX-License-Identifier: GPL-2.0 */
/*
 * later.h - calls of the interface that do not work yet.
 */
#ifndef LWC_LATER_H
#define LWC_LATER_H

#include <linux/lwc.h>

struct lwc_descriptor;

/*
 * They check their arguments as they will have to, change nothing, and answer
 * -EOPNOTSUPP where all is right.
 */
long lwc_syscall(const struct lwc_descriptor *descriptor, const struct lwc_syscall_args *args);

#endif /* LWC_LATER_H */
