/* SPDX-License-Identifier: Apache-2.0 */
/* Calls of the allocator from linked code, counted by the linker's --wrap. */
#ifndef TSPK_TESTS_COUNT_ALLOC_H
#define TSPK_TESTS_COUNT_ALLOC_H

#include <stddef.h>

/** Allocations by any thread since the program began. */
size_t count_alloc_now(void);

#endif
