/* SPDX-License-Identifier: Apache-2.0 */
/* The definition: the baseline instruction set of the build. */
#define TSPK_VECMATH_TABLE tspk_vecmath_scalar
#include "core/vecmath_body.h"

#include "core/compiler.h"

const tspk_vecmath *tspk_vecmath_for(tspk_isa isa)
{
#if TSPK_HAVE_X86
    const tspk_isa resolved = tspk_isa_resolve(isa);

    if (resolved == TSPK_ISA_AVX512VNNI)
        return &tspk_vecmath_avx512;
    if (resolved == TSPK_ISA_AVX2)
        return &tspk_vecmath_avx2;
#endif
    (void)isa;
    return &tspk_vecmath_scalar;
}
