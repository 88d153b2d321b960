/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/spike/kernels.h"

#include "core/compiler.h"
#include "core/cpu.h"
#include "core/fail.h"

/* NULL when the build has none. */
static const tspk_kernels *kernels_of(tspk_isa isa)
{
    switch (isa) {
    case TSPK_ISA_SCALAR:
        return &tspk_kernels_scalar;
#if TSPK_HAVE_X86
    case TSPK_ISA_AVX2:
        return &tspk_kernels_avx2;
    case TSPK_ISA_AVX512VNNI:
        return &tspk_kernels_avx512vnni;
#endif
#if TSPK_HAVE_NEON
    case TSPK_ISA_NEON:
        return &tspk_kernels_neon;
#endif
    default:
        return NULL;
    }
}

tspk_status tspk_kernels_select(tspk_isa isa, const tspk_kernels **kernels_out, tspk_error *err)
{
    const tspk_kernels *const kernels = kernels_of(tspk_isa_resolve(isa));

    if (!kernels)
        return TSPK_FAIL(err, TSPK_UNSUPPORTED, "this build has no %s kernels", tspk_isa_name(isa));
    if (!tspk_isa_is_supported(isa))
        return TSPK_FAIL(err, TSPK_UNSUPPORTED, "this machine lacks the instruction set %s",
                         tspk_isa_name(isa));
    *kernels_out = kernels;
    return TSPK_OK;
}
