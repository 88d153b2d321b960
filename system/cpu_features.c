/* SPDX-License-Identifier: Apache-2.0 */
#include "system/cpu_features.h"

#if defined(__aarch64__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

size_t tspk_cpu_features(tspk_cpu_feature features_out[TSPK_MAX_CPU_FEATURES])
{
    size_t n = 0;

#if defined(__x86_64__)
    features_out[n++] = (tspk_cpu_feature){"avx2", __builtin_cpu_supports("avx2") != 0};
    features_out[n++] = (tspk_cpu_feature){"fma", __builtin_cpu_supports("fma") != 0};
    features_out[n++] = (tspk_cpu_feature){"avx512f", __builtin_cpu_supports("avx512f") != 0};
    features_out[n++] = (tspk_cpu_feature){"avx512bw", __builtin_cpu_supports("avx512bw") != 0};
    features_out[n++] = (tspk_cpu_feature){"avx512dq", __builtin_cpu_supports("avx512dq") != 0};
    features_out[n++] = (tspk_cpu_feature){"avx512vl", __builtin_cpu_supports("avx512vl") != 0};
    features_out[n++] = (tspk_cpu_feature){"avx512vnni", __builtin_cpu_supports("avx512vnni") != 0};
#elif defined(__aarch64__)
    features_out[n++] = (tspk_cpu_feature){"asimd", (getauxval(AT_HWCAP) & HWCAP_ASIMD) != 0};
    features_out[n++] = (tspk_cpu_feature){"asimddp", (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0};
#else
    (void)features_out;
#endif
    return n;
}
