// SPDX-License-Identifier: GPL-2.0
/*
 * broken.c - which defect a test-only build has. Must never be part of any other.
 */
#include <linux/module.h>
#include <linux/string.h>

#include "broken.h"

static char *broken;
module_param(broken, charp, 0444);
MODULE_PARM_DESC(broken, "the defect that this test-only build has");

bool lwc_is_broken(const char *defect)
{
	return broken && !strcasecmp(broken, defect);
}
