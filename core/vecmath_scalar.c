/* SPDX-License-Identifier: Apache-2.0 */
/* The definition: the baseline instruction set of the build. */
#define TSPK_VECMATH_TABLE tspk_vecmath_scalar
#include "core/vecmath_body.h"

#include "core/compiler.h"

const tspk_vecmath *tspk_vecmath_for(tspk_isa isa)
{
#if TSPK_HAVE_X86
    if (tspk_isa_resolve(isa) != TSPK_ISA_SCALAR)
        return &tspk_vecmath_avx2;
    if (tspk_isa_resolve(isa) == TSPK_ISA_AVX512VNNI)
        return &tspk_vecmath_avx512;
#endif
    (void)isa;
    return &tspk_vecmath_scalar;
}
