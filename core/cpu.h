/* SPDX-License-Identifier: Apache-2.0 */
/* Which instruction sets this build and this machine have. */
#ifndef TSPK_CORE_CPU_H
#define TSPK_CORE_CPU_H

#include <stdbool.h>

#include "transpike/spike.h"

/** True when kernels of this instruction set can run here; SCALAR and AUTO always can. AVX2 means
 * AVX2 and FMA, AVX512VNNI these and AVX-512 F, BW, DQ, VL and VNNI, NEON the
 * dot products of ARMv8.2. */
bool tspk_isa_is_supported(tspk_isa isa);

/** AUTO becomes the best supported set; others stay. */
tspk_isa tspk_isa_resolve(tspk_isa isa);

/** "scalar", "avx2", "avx512vnni", "neon", "auto"; static text. */
const char *tspk_isa_name(tspk_isa isa);

#endif
