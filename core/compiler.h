/* SPDX-License-Identifier: Apache-2.0 */
/* The one place for compiler extensions. */
#ifndef TSPK_CORE_COMPILER_H
#define TSPK_CORE_COMPILER_H

#define TSPK_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define TSPK_ALIGNED(n) __attribute__((aligned(n)))
#define TSPK_UNUSED __attribute__((unused))
#define TSPK_TARGET(isa) __attribute__((target(isa)))
/* Everything after it in the file is compiled for AVX2 and FMA, whatever the build's baseline is. */
#define TSPK_TARGET_FILE_AVX2 _Pragma("GCC target(\"avx2,fma\")")
/* Before a loop: no iteration depends on another, though pointers may be equal. */
#define TSPK_IVDEP _Pragma("GCC ivdep")
#define TSPK_ALWAYS_INLINE __attribute__((always_inline)) inline
#define TSPK_LIKELY(x) __builtin_expect(!!(x), 1)
#define TSPK_UNLIKELY(x) __builtin_expect(!!(x), 0)
#define TSPK_COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))

#if defined(__x86_64__) && !defined(TSPK_NO_SIMD)
#define TSPK_HAVE_X86 1
#else
#define TSPK_HAVE_X86 0
#endif

/* Compiles a loop-heavy function for AVX2 too and picks at load time. Only for code whose float
 * operations are one rounding each, in any lane order: both copies give the same bytes. */
#if TSPK_HAVE_X86 && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__)
#define TSPK_VECTOR_CLONES __attribute__((target_clones("avx2", "default")))
#else
#define TSPK_VECTOR_CLONES
#endif

#endif
