/* SPDX-License-Identifier: Apache-2.0 */
#include "core/cpu.h"

#include <stddef.h>

#include "core/compiler.h"

#if TSPK_HAVE_NEON
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

bool tspk_isa_is_supported(tspk_isa isa)
{
    switch (isa) {
    case TSPK_ISA_AUTO:
    case TSPK_ISA_SCALAR:
        return true;
#if TSPK_HAVE_X86
    case TSPK_ISA_AVX2:
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    case TSPK_ISA_AVX512VNNI:
        return tspk_isa_is_supported(TSPK_ISA_AVX2) && __builtin_cpu_supports("avx512f") &&
               __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
               __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vnni");
#endif
#if TSPK_HAVE_NEON
    case TSPK_ISA_NEON:
        return (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0;
#endif
    default:
        return false;
    }
}

tspk_isa tspk_isa_resolve(tspk_isa isa)
{
    static const tspk_isa best_first[] = {TSPK_ISA_AVX512VNNI, TSPK_ISA_AVX2, TSPK_ISA_NEON};

    for (size_t i = 0; isa == TSPK_ISA_AUTO && i < TSPK_COUNT_OF(best_first); i++)
        if (tspk_isa_is_supported(best_first[i]))
            return best_first[i];
    return isa == TSPK_ISA_AUTO ? TSPK_ISA_SCALAR : isa;
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
