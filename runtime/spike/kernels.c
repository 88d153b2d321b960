/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/spike/kernels.h"

#include "core/cpu.h"
#include "core/fail.h"

tspk_status tspk_kernels_select(tspk_isa isa, const tspk_kernels **kernels_out, tspk_error *err)
{
    const tspk_kernels *kernels = NULL;

    if (isa != TSPK_ISA_AUTO && isa != TSPK_ISA_SCALAR && isa != TSPK_ISA_AVX2)
        return TSPK_FAIL(err, TSPK_UNSUPPORTED, "this build has no %s kernels", tspk_isa_name(isa));
    if (tspk_isa_is_supported(isa))
        switch (tspk_isa_resolve(isa)) {
        case TSPK_ISA_AVX2:
            kernels = tspk_kernels_avx2();
            break;
        case TSPK_ISA_SCALAR:
        case TSPK_ISA_AUTO:
            kernels = tspk_kernels_scalar();
            break;
        case TSPK_ISA_AVX512VNNI:
        case TSPK_ISA_NEON:
            break;
        }
    if (!kernels)
        return TSPK_FAIL(err, TSPK_UNSUPPORTED,
                         "this machine or build lacks the instruction set %s", tspk_isa_name(isa));
    *kernels_out = kernels;
    return TSPK_OK;
}
