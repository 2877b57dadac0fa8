/* SPDX-License-Identifier: GPL-2.0 */
/*
 * overlay.h - what is another context's comes into the current one.
 */
#ifndef LWC_OVERLAY_H
#define LWC_OVERLAY_H

#include <linux/lwc.h>

struct lwc_descriptor;

/* LWC_IOC_OVERLAY of uapi/linux/lwc.h; the arguments are checked for size alone. */
long lwc_overlay(const struct lwc_descriptor *descriptor, const struct lwc_overlay_args *args);

#endif /* LWC_OVERLAY_H */
