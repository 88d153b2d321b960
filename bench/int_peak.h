/* SPDX-License-Identifier: Apache-2.0 */
/* What this machine's integer multipliers can do: a loop over registers, no memory. */
#ifndef TSPK_BENCH_INT_PEAK_H
#define TSPK_BENCH_INT_PEAK_H

#include <stdbool.h>

#include "runtime/spike/kernels.h"

/**
 * Exact multiply-accumulates a second into int32 on one core, over about `seconds` of processor
 * time. AVX2: vpmaddubsw, vpmaddwd and vpaddd for bytes, vpmaddwd and vpaddd for words; AVX-512
 * VNNI: vpdpbusd and vpdpwssd. 0 for other instruction sets.
 */
double tspk_int_peak(tspk_isa isa, tspk_width width, double seconds);

/**
 * The same loop for a fixed number of products on the calling thread; false, and nothing done, for
 * other instruction sets.
 */
bool tspk_int_peak_work(tspk_isa isa, tspk_width width, double products);

#endif
