/* SPDX-License-Identifier: Apache-2.0 */
/* What a process holds: to compare before and after. */
#ifndef TSPK_TESTS_TRUST_HELD_H
#define TSPK_TESTS_TRUST_HELD_H

#include <stddef.h>

/** Bytes in use on glibc's heap, mapped blocks too; nothing of a sanitizer's heap. */
size_t held_heap_bytes(void);

/** Open descriptors below 1024. */
int held_descriptors(void);

#endif
