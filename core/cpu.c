/* SPDX-License-Identifier: Apache-2.0 */
#include "core/cpu.h"

#include "core/compiler.h"

bool tspk_isa_is_supported(tspk_isa isa)
{
    if (isa == TSPK_ISA_AVX2) {
#if TSPK_HAVE_X86
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#else
        return false;
#endif
    }
    return isa == TSPK_ISA_SCALAR || isa == TSPK_ISA_AUTO;
}

tspk_isa tspk_isa_resolve(tspk_isa isa)
{
    if (isa != TSPK_ISA_AUTO)
        return isa;
    return tspk_isa_is_supported(TSPK_ISA_AVX2) ? TSPK_ISA_AVX2 : TSPK_ISA_SCALAR;
}

const char *tspk_isa_name(tspk_isa isa)
{
    switch (isa) {
    case TSPK_ISA_AUTO:
        return "auto";
    case TSPK_ISA_SCALAR:
        return "scalar";
    case TSPK_ISA_AVX2:
        return "avx2";
    case TSPK_ISA_AVX512VNNI:
        return "avx512vnni";
    case TSPK_ISA_NEON:
        return "neon";
    }
    return "unknown";
}
