/* SPDX-License-Identifier: GPL-2.0 */
/*
 * broken.h - test-only builds that break one thing.
 *
 * In a build with `LWC_BREAKABLE=y`, loaded with `broken=no_fpu_save`,
 * lwc_broken(NO_FPU_SAVE) is true; the tests must notice. In every other build it is
 * the constant false and costs nothing. It must never guard anything but such a defect.
 */
#ifndef LWC_BROKEN_H
#define LWC_BROKEN_H

#include <linux/types.h>

#ifdef LWC_BREAKABLE
/**
 * lwc_is_broken() - is this the defect that the module was loaded with?
 */
bool lwc_is_broken(const char *defect);

#define lwc_broken(defect)	lwc_is_broken(#defect)
#else
#define lwc_broken(defect)	false
#endif

#endif /* LWC_BROKEN_H */
