/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TSPK_SYSTEM_CPU_FEATURES_H
#define TSPK_SYSTEM_CPU_FEATURES_H

#include <stdbool.h>
#include <stddef.h>

/** An instruction set extension that kernels ask for, and whether this processor has it. */
typedef struct tspk_cpu_feature {
    const char *name; /* static */
    bool is_present;
} tspk_cpu_feature;

enum { TSPK_MAX_CPU_FEATURES = 8 };

/** Fills in the extensions that matter on this kind of processor and returns how many. */
size_t tspk_cpu_features(tspk_cpu_feature features_out[TSPK_MAX_CPU_FEATURES]);

#endif
