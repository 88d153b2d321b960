/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The heap of a program that links failing_heap.c: the n-th allocation from now on can be made to
 * fail, whoever asks for it but the libraries that end the program or cannot be told (libgomp,
 * OpenBLAS, the loader, and the start of a thread in libc). Not for sanitized builds, which have a
 * heap of their own.
 */
#ifndef TSPK_TESTS_FAILING_HEAP_H
#define TSPK_TESTS_FAILING_HEAP_H

#include <stdbool.h>
#include <stddef.h>

/** Finds the excluded libraries; before anything below. */
void failing_heap_init(void);

/** Counts allocations from here on and fails number n, from 1; 0: counts only. */
void failing_heap_arm(size_t n);

/** Stops counting. Returns how many were counted; *has_failed_out: one was made to fail. */
size_t failing_heap_disarm(bool *has_failed_out);

/** Allocations that are not freed. */
long failing_heap_live(void);

#endif
